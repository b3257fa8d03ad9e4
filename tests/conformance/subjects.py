"""The two stores as subjects of the conformance suite.

Owns what operators and time do to their data: states, epochs, the horizon, replies that are
dropped, a process that ends. Promises that both do the same to an organisation. Never expects
anything.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.life import MemoryLifeStore
from serai.core.limits import DEVICE_PAST_DAYS
from serai.log.life_postgres import PostgresLifeStore
from serai.log.postgres import PostgresStore
from serai.shard.connection import connect
from serai.shard.pools import PinnedPool
from serai.shard.role import RequestRole
from serai.testing.vertical import VERTICAL


class OneMoment:
    """A clock that stands, so that two stores say the same time."""

    def now(self) -> datetime:
        return datetime(2026, 3, 14, 9, 30, 0, 5, tzinfo=UTC)


class MemorySubject:
    """The reference. Its data live in a dictionary that a new store takes over."""

    def __init__(self) -> None:
        self.store = MemoryStore(VERTICAL, OneMoment())
        self._numbers = itertools.count(1)

    @property
    def lives(self) -> MemoryLifeStore:
        return self.store.lives

    async def new_org(self) -> int:
        org_id = next(self._numbers)
        await self.store.create_org(org_id)
        return org_id

    async def restart(self) -> None:
        data = self.store.snapshot()
        self.store = MemoryStore(VERTICAL, OneMoment())
        self.store.organisations = data

    async def set_state(self, org_id: int, state: str) -> None:
        org = self.store.organisations[org_id]
        org.head = replace(org.head, state=state)

    async def raise_epoch(self, org_id: int) -> None:
        org = self.store.organisations[org_id]
        org.head = replace(org.head, epoch=org.head.epoch + 1)

    async def prune(self, org_id: int, floor: int) -> None:
        self.store.prune(org_id, floor)

    async def forget_replies(self, org_id: int) -> None:
        self.store.forget_replies(org_id)


class PostgresSubject:
    """The store on a real database, connected as the role of requests; what operators do is done as
    the owner. An organisation's number is drawn, so runs share a database.
    """

    def __init__(self, url: str, role: RequestRole, pool: PinnedPool) -> None:
        self._owner_url = url
        self._url = role.url(url)
        self.pool = pool
        self.store = PostgresStore(pool, VERTICAL, OneMoment())

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, role: RequestRole) -> AsyncGenerator[PostgresSubject]:
        subject = cls(url, role, await _pool(role.url(url)))
        try:
            yield subject
        finally:
            await subject.pool.close()

    @property
    def lives(self) -> PostgresLifeStore:
        return PostgresLifeStore(self.pool)

    async def new_org(self) -> int:
        org_id = secrets.randbits(40) + 1
        await self.store.create_org(org_id)
        return org_id

    async def restart(self) -> None:
        await self.pool.close()
        self.pool = await _pool(self._url)
        self.store = PostgresStore(self.pool, VERTICAL, OneMoment())

    async def set_state(self, org_id: int, state: str) -> None:
        await self._run("UPDATE serai.org SET state = $2 WHERE org_id = $1", org_id, state)

    async def raise_epoch(self, org_id: int) -> None:
        await self._run("UPDATE serai.org SET epoch = epoch + 1 WHERE org_id = $1", org_id)

    async def prune(self, org_id: int, floor: int) -> None:
        for statement in (
            "UPDATE serai.org SET floor = greatest(floor, $2) WHERE org_id = $1",
            "DELETE FROM serai.log WHERE org_id = $1 AND version <= $2",
        ):
            await self._run(statement, org_id, floor)

    async def forget_replies(self, org_id: int) -> None:
        # Into the default partition, because no such day was made; from there they are folded.
        await self._run(
            "UPDATE serai.reply SET created_on = created_on - 5 WHERE org_id = $1", org_id
        )
        await self._run("SELECT serai.fold_replies(2, $1, 1000)", DEVICE_PAST_DAYS)

    async def _run(self, statement: str, *arguments: object) -> None:
        owner = await connect(self._owner_url)
        try:
            await owner.execute(statement, *arguments)
        finally:
            await owner.close()


async def _pool(url: str) -> PinnedPool:
    # Patience: six writers at one moment on a busy machine are a case, not an overload.
    # Several connections from the start, else those writers would all wait for the first one.
    pool = PinnedPool(url, size_min=4, size_max=8, wait_seconds=20)
    await pool.open()
    return pool
