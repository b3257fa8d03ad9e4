"""The fleet of the tests of moves, with an outlet."""

from __future__ import annotations

import pytest

from integration.moves.conftest import fleet, house, urls
from serai.app import outlet_shard
from serai.shard.connection import Connection

__all__ = ["fleet", "house", "urls"]


@pytest.fixture
def no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every outlet believe that it is its turn."""

    async def alone(_: Connection) -> bool:
        return True

    monkeypatch.setattr(outlet_shard, "alone", alone)
