"""What every doorbell does, whatever it goes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from serai.app.doorbells import listen, open_bell
from serai.app.settings import SettingsError
from serai.ports.doorbell import Bell, Ear

SECONDS = 60.0
Ring = tuple[int, int, int]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"local://{tmp_path}/bells"


@pytest_asyncio.fixture
async def bell(url: str) -> AsyncIterator[Bell]:
    opened = open_bell(url)
    assert opened is not None
    yield opened
    await opened.close()


async def heard_by(url: str) -> tuple[asyncio.Queue[Ring], Ear]:
    rings: asyncio.Queue[Ring] = asyncio.Queue()
    ear = await listen(url, lambda *ring: rings.put_nowait(ring))
    assert ear is not None
    return rings, ear


async def test_everyone_who_listens_hears_a_ring_as_it_was_rung(url: str, bell: Bell) -> None:
    first, one = await heard_by(url)
    second, two = await heard_by(url)
    bell.ring(9_000_000_001, 2, 1 << 40)
    for rings in (first, second):
        assert await asyncio.wait_for(rings.get(), SECONDS) == (9_000_000_001, 2, 1 << 40)
    for ear in (one, two):
        await ear.close()


async def test_ringing_when_nobody_listens_does_nothing(bell: Bell) -> None:
    bell.ring(1, 1, 1)


async def test_a_listener_that_has_gone_is_missed_by_nobody(url: str, bell: Bell) -> None:
    gone, one = await heard_by(url)
    stays, two = await heard_by(url)
    bell.ring(1, 1, 1)
    await asyncio.wait_for(stays.get(), SECONDS)
    await one.close()
    bell.ring(1, 1, 2)
    assert await asyncio.wait_for(stays.get(), SECONDS) == (1, 1, 2)
    assert gone.get_nowait() == (1, 1, 1)
    assert gone.empty()
    await two.close()


async def test_a_listener_that_does_not_read_stops_nobody(url: str, bell: Bell) -> None:
    rings, ear = await heard_by(url)
    for version in range(20_000):
        bell.ring(1, 1, version)
    heard = await asyncio.wait_for(rings.get(), SECONDS)
    assert heard == (1, 1, 0)
    await ear.close()


def test_no_url_is_no_bell() -> None:
    assert open_bell("") is None


@pytest.mark.parametrize(
    "url", ["carrier-pigeon://x/y", "local://host/folder", "local:folder", "x"]
)
async def test_a_url_that_is_no_doorbell_is_named(url: str) -> None:
    with pytest.raises(SettingsError, match="SERAI_DOORBELL_URL is local:///FOLDER"):
        open_bell(url)
    with pytest.raises(SettingsError, match="SERAI_DOORBELL_URL is local:///FOLDER"):
        await listen(url, lambda *_: None)


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / ("x" * 120)):
        with pytest.raises(SettingsError, match="names a folder that cannot be used"):
            await listen(f"local://{folder}", lambda *_: None)
