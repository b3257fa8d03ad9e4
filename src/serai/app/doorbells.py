"""Doorbells of one process: which adapter, by the scheme of SERAI_DOORBELL_URL.

Owns the choice. Promises that a URL which cannot be used is named before anything starts. Never
rings by itself.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from serai.adapters.local import LocalBell, listen_locally
from serai.app.settings import SettingsError, variable
from serai.ports.doorbell import Bell, Ear, Heard


def open_bell(url: str) -> Bell | None:
    """Return the bell of a URL, None for no URL.

    Raises:
        SettingsError: it names no doorbell that there is.
    """
    return LocalBell(_folder(url)) if url else None


async def listen(url: str, heard: Heard) -> Ear | None:
    """Listen to the bell of a URL; None for no URL.

    Raises:
        SettingsError: it names no doorbell that there is, or one that cannot be heard here.
    """
    if not url:
        return None
    folder = _folder(url)
    try:
        return await listen_locally(folder, heard)
    except OSError as error:
        raise SettingsError(
            f"{variable('doorbell_url')} names a folder that cannot be used: {error}."
        ) from error


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "local" or parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(
            f"{variable('doorbell_url')} is local:///FOLDER, the path of a folder of this machine."
        )
    return Path(parts.path)
