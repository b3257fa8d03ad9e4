"""Helpers to break a database under a running process and mend it, and to wait for what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Outage = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def outage(postgres_url: str) -> Outage:
    """Return a context manager: inside it, the database of a URL refuses everybody."""

    @contextmanager
    def broken(url: str):
        name = urlsplit(url).path.removeprefix("/")
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with psycopg.connect(postgres_url, autocommit=True) as conn:
            conn.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            try:
                yield
            finally:
                conn.execute(allow.format(sql.Identifier(name), sql.Literal(True)))

    return broken


@pytest.fixture
def eventually() -> Eventually:
    """Return a function that waits until a condition holds, and fails after ten seconds."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)

    return wait
