"""Which bus the outlet sends to: the scheme of a URL chooses the adapter.

Owns the form of `SERAI_OUTLET_URL`. Promises that a URL which cannot be used is refused before
anything is sent, and that no user and password of it is in a message. Never connects.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from serai.app.settings import SettingsError, variable
from serai.ports.outlet import Bus

SUBJECT_DEFAULT: Final = "serai.changes"
_NAME: Final = variable("outlet_url")
_FORM: Final = "nats://host:4222/STREAM?subject=serai.changes or kafka://host:9092/TOPIC"


def open_bus(url: str) -> Bus:
    """Return the bus; it connects with the first message. Needs a running event loop.

    Raises:
        SettingsError: the URL is none of a bus, or the library for it is not installed.
    """
    parts = urlsplit(url)
    name = parts.path.strip("/")
    if not parts.netloc or not name or "/" in name or name.strip(_PLAIN):
        raise SettingsError(f"{_NAME} is not set to a bus. Set it to {_FORM}.")
    more = dict(parse_qsl(parts.query, keep_blank_values=True))
    match parts.scheme:
        case "nats" | "tls":
            return _nats(parts.scheme, parts.netloc, name, more)
        case "kafka":
            return _kafka(parts.netloc, name, more)
        case scheme:
            raise SettingsError(f"{_NAME}: there is no bus for {scheme}://. Set it to {_FORM}.")


def _nats(scheme: str, places: str, stream: str, more: dict[str, str]) -> Bus:
    try:
        from serai.adapters.nats import NatsBus  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise _missing("nats") from error
    subject = more.pop("subject", SUBJECT_DEFAULT)
    if more or not subject or set(subject) & set(" *>"):
        raise SettingsError(f"{_NAME}: after the stream comes ?subject=NAME, or nothing.")
    return NatsBus([f"{scheme}://{place}" for place in places.split(",")], stream, subject)


def _kafka(places: str, topic: str, more: dict[str, str]) -> Bus:
    try:
        from serai.adapters.kafka import KafkaBus  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise _missing("kafka") from error
    if "@" in places:
        raise SettingsError(
            f"{_NAME}: user and password of Kafka are sasl.username and sasl.password in the query."
        )
    try:
        return KafkaBus(places, topic, more)
    except ValueError as error:
        raise SettingsError(f"{_NAME}: {error}.") from error


def _missing(extra: str) -> SettingsError:
    return SettingsError(f"{_NAME} needs a library: pip install 'serai[{extra}]'.")


_PLAIN: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
