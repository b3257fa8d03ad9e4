"""A house of its own for each scenario: its PostgreSQL and its server may be killed."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from scenarios.fleet import Fleet, a_fleet
from scenarios.house import House, a_house
from scenarios.pair import Pair, a_pair
from scenarios.town import Town, a_town

# Places on a network and small disks are made by root; everybody else runs the rest.
BY_ROOT = ("test_disk_is_full.py", "test_mover_is_cut_off.py", "test_network_is_cut.py")
collect_ignore = [] if os.geteuid() == 0 else [*BY_ROOT]
if (sys.platform, platform.machine()) != ("linux", "x86_64"):
    # The library that shifts a clock is made for no other machine.
    collect_ignore.append("test_clock_jumps.py")


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house on running processes."""
    # PostgreSQL runs as another user when the tests run as root.
    os.chmod(tmp_path, 0o755)  # noqa: PTH101, S103 - ruff takes the method of a path for one that waits
    async with a_house(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """A fleet on running processes."""
    os.chmod(tmp_path, 0o755)  # noqa: PTH101, S103 - as for a house
    async with a_fleet(tmp_path) as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def built(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town for all scenarios that have lines cut."""
    async with a_town(tmp_path_factory.mktemp("town")) as made:
        yield made


@pytest.fixture
def town(built: Town) -> Iterator[Town]:
    """The town, with this test at its desk."""
    with built.network.at("desk"):
        yield built


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    """Two shards, one of them with a replica."""
    async with a_pair() as made:
        yield made
