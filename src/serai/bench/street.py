"""Two shards, each a PostgreSQL of its own, and organisations that live on the first.

Owns their life, what is in them, and the checks after a move. Promises that what is checked is read
from the shards by SQL, not asked of what moved it. Never measures.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from serai.app.fleet import prepare_fleet
from serai.app.partitions import ensure_partitions
from serai.app.runtime import Runtime, open_runtime
from serai.app.settings import Settings
from serai.app.system_actor import SystemActor
from serai.bench.rows import Rows
from serai.core.ids import uuid7
from serai.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresSettings
from serai.gate.caller import Caller, Grant
from serai.log.intent import RowIntent, WriteIntent
from serai.model import Row
from serai.ports.store import IdempotencyKey
from serai.readers.sync import pull
from serai.shard.queries import load_queries
from serai.wire.sync import ChangesRequest, WantedCollection

_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.bench", "bench.sql").items()
}
_AT_ONCE: Final = 500
_HELD: Final = ("properties", "vendors", "accounts", "revenues")
Token = tuple[Caller, str]


@dataclass(frozen=True, slots=True)
class Street:
    """The fleet. `urls`: shard -> URL of its database, as its owner."""

    settings: Settings
    runtime: Runtime
    urls: dict[str, str]

    async def fill(self, org_id: int, count: int) -> None:
        """Write rows of one collection."""
        rows = Rows(self.runtime.vertical)
        shard = await self.runtime.shard_for(org_id)
        for first in range(0, count, _AT_ONCE):
            part = range(min(_AT_ONCE, count - first))
            wishes = [rows.insert(org_id, once=False) for _ in part]
            await asyncio.gather(*map(shard.coalescer.submit, wishes))

    async def furnish(self, orgs: Sequence[int]) -> int:
        """Give each organisation two properties with two revenues each, an account and a vendor, in
        one write each; return how many rows.
        """
        made = 0
        for first in range(0, len(orgs), _AT_ONCE):
            wishes = [self._house(org_id) for org_id in orgs[first : first + _AT_ONCE]]
            made += sum(len(wish.rows) for wish in wishes)
            shard = await self.runtime.shard_for(orgs[first])
            await asyncio.gather(*map(shard.coalescer.submit, wishes))
        return made

    def _house(self, org_id: int) -> WriteIntent:
        vertical = self.runtime.vertical
        actor = SystemActor(vertical)
        account, place, other = uuid7(), uuid7(), uuid7()
        rows = [
            ("accounts", account, _ACCOUNT),
            ("properties", place, _PROPERTY),
            ("properties", other, _PROPERTY),
            *(
                (
                    "revenues",
                    uuid7(),
                    {**_REVENUE, "property_id": str(where), "account_id": str(account)},
                )
                for where in (place, place, other, other)
            ),
            ("vendors", uuid7(), Rows(vertical).row()),
        ]
        wishes = tuple(self._wish(name, row_id, row) for name, row_id, row in rows)
        key = IdempotencyKey(actor.user_id, str(uuid4()))
        return WriteIntent(org_id, actor, wishes, key, bytes(32))

    def _wish(self, name: str, row_id: UUID, row: Row) -> RowIntent:
        collection = self.runtime.vertical.by_name[name]
        blank: Row = {n: None for n, each in collection.fields.items() if not each.server}
        return RowIntent(collection, "insert", row_id, {**blank, **row})

    async def tokens(self, orgs: Iterable[int]) -> list[Token]:
        """Return a device's token of each organisation, taken now."""
        vertical = self.runtime.vertical
        found: list[Token] = []
        for org_id in orgs:
            grant = Grant.from_memberships(vertical, 10**9, [(vertical.owner_role, None)])
            caller = Caller(org_id, uuid4(), grant, vertical)
            token, _, _ = await self._pulled(caller, None)
            found.append((caller, token))
        return found

    async def fetched_again(self, tokens: Sequence[Token]) -> list[int]:
        """Return the organisations whose devices would begin again, or get a row a second time."""
        again: list[int] = []
        for caller, token in tokens:
            _, refetch, filling = await self._pulled(caller, token)
            if refetch or filling:
                again.append(caller.org_id)
        return again

    async def _pulled(self, caller: Caller, token: str | None) -> tuple[str, bool, bool]:
        wanted = [WantedCollection(name=name, since_token=token) for name in _HELD]
        request = ChangesRequest(collections=wanted, batch_size=5_000)
        result = await self.runtime.homes.at_home(
            caller.org_id,
            lambda store, _: pull(
                store, caller, self.runtime.sealer, request, now=self.runtime.clock.now()
            ),
        )
        parts = result.answer.collections
        return (
            parts[0].next_token,
            any(each.must_refetch for each in parts),
            any(each.filling for each in parts),
        )

    async def check(self, told: Sequence[tuple[int, UUID, int]]) -> None:
        """Look for what was answered.

        Raises:
            RuntimeError: a write is lost or there twice, or a version is missing.
        """
        await self.runtime.directory.refresh()
        held: dict[str, list[tuple[Any, ...]]] = {}
        for name, url in self.urls.items():
            async with await psycopg.AsyncConnection.connect(url) as conn:
                held[name] = await (await conn.execute(_SQL["active_log"])).fetchall()
                gaps = await (await conn.execute(_SQL["gaps"])).fetchall()
            if gaps:
                raise RuntimeError(f"versions are missing on {name}: {gaps[:5]}")
        entries = [row for rows in held.values() for row in rows]
        if len(entries) != len(set(entries)):
            raise RuntimeError("a change is there twice")
        lost = set(told) - set(entries)
        if lost:
            raise RuntimeError(f"{len(lost)} answered writes are not there")


_PROPERTY: Final[Row] = {
    "name": "Sea View",
    "kind": "hotel",
    "timezone": "Europe/Lisbon",
    "currency": "EUR",
    "active": True,
}
_ACCOUNT: Final[Row] = {
    "code": "rooms",
    "name": "Rooms",
    "kind": "revenue",
    "usali_schedule": 1,
    "active": True,
}
_REVENUE: Final[Row] = {
    "kind": "charge",
    "amount_minor": 12_345,
    "amount_currency": "EUR",
    "business_date": "2026-11-01",
}


@contextlib.asynccontextmanager
async def open_street(organisations: int) -> AsyncGenerator[Street]:
    """Start two PostgreSQL, make a directory and two shards, and organisations 1 to
    `organisations` on the first; nothing is left afterwards.
    """
    settings = EmbeddedPostgresSettings()
    async with EmbeddedPostgres(settings) as one, EmbeddedPostgres(settings) as two:
        for server, name in ((one, "serai_directory"), (one, "serai_a"), (two, "serai_b")):
            await server.create_database(name)
        chosen = Settings(directory_url=one.url("serai_directory"))
        urls = {"a": one.url("serai_a"), "b": two.url("serai_b")}
        await prepare_fleet(chosen, list(urls.items()))
        async with await psycopg.AsyncConnection.connect(urls["a"], autocommit=True) as conn:
            await conn.execute(_SQL["organisations"].replace(b"$1", b"%s"), (organisations,))
        async with await psycopg.AsyncConnection.connect(
            chosen.directory_url, autocommit=True
        ) as conn:
            await conn.execute(_SQL["known_organisations"], (organisations,))
        async with open_runtime(chosen) as runtime:
            for ref in runtime.directory.shards:
                shard = await runtime.shard(ref)
                await ensure_partitions(shard.pool, runtime.vertical, runtime.clock.now())
            yield Street(chosen, runtime, urls)
