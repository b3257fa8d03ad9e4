"""A fleet on real PostgreSQL, and a shell in which commands are typed.

Owns one fleet a session: a directory and a shard with the vertical's tables. Tests make
organisations of their own on it.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from integration.app.programs import Shell
from integration.conftest import MakeDatabase
from serai.app.fleet import prepare_fleet
from serai.app.settings import Settings


@pytest.fixture(scope="session")
def fleet(make_database: MakeDatabase) -> tuple[str, str]:
    """URLs of a directory and of a shard with the vertical's tables."""
    directory, shard = make_database(), make_database()
    asyncio.run(prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)]))
    return directory, shard


@pytest.fixture
def shell(tmp_path: Path, fleet: tuple[str, str]) -> Shell:
    """A shell that knows the fleet."""
    return Shell(tmp_path, {"SERAI_DIRECTORY_URL": fleet[0]})


@pytest.fixture
def key() -> str:
    """Key of an organisation that nobody else has."""
    return f"h{secrets.token_hex(4)}"
