"""A house of its own for each scenario: its PostgreSQL and its server may be killed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from scenarios.house import House, a_house

# Places on a network and small disks are made by root; everybody else runs the rest.
collect_ignore = [] if os.geteuid() == 0 else ["test_disk_is_full.py", "test_network_is_cut.py"]


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house on running processes."""
    # PostgreSQL runs as another user when the tests run as root.
    os.chmod(tmp_path, 0o755)  # noqa: PTH101, S103 - ruff takes the method of a path for one that waits
    async with a_house(tmp_path) as made:
        yield made
