"""A fleet of two shards and a hotel on it, for the tests of moves.

Owns how a hotel is written to (REST with keys, pushes of a phone, imports without keys), what is
noted of the answers, and the checks that hold after any move: nothing lost, nothing doubled, no
gap, one home. What is there is read by SQL of its own. Never moves anything by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
import psycopg

from integration.http.house import ORDER, new_row
from serai.app.move_run import MoveOptions, MoveReport
from serai.app.moving import Order, move_organisations
from serai.app.runtime import Runtime
from serai.app.system_actor import SystemActor
from serai.core.ids import uuid7
from serai.gate.caller import Caller, Grant
from serai.log.intent import RowIntent, WriteAnswer, WriteIntent
from serai.log.verify import verify
from serai.ports.store import IdempotencyKey
from serai.readers.move import link
from serai.readers.move.contents import Content, contents, differences, faults
from serai.readers.sync import PullResult, pull, push
from serai.wire.sync import ChangesRequest, Mutation, MutationsRequest, WantedCollection

T = TypeVar("T")
AT_ONCE = MoveOptions(grace_seconds=0)
COLLECTIONS = ("properties", "vendors", "guests", "memberships")


def raw(row: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in row.items()}


@dataclass
class Fleet:
    """URLs as owner, and a process that serves."""

    runtime: Runtime
    owner: Runtime
    directory: str
    a: str
    b: str

    def url(self, name: str) -> str:
        return {"a": self.a, "b": self.b}[name]

    def sql(self, where: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        url = self.directory if where == "directory" else self.url(where)
        with psycopg.connect(url, autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def reading(self, where: str, table: str) -> Generator[None]:
        """Let somebody read a table in a transaction without an end."""
        with psycopg.connect(self.url(where)) as conn:
            conn.execute(b"LOCK TABLE " + table.encode() + b" IN ACCESS SHARE MODE")
            yield

    async def move(self, *orgs: int, to: str, options: MoveOptions = AT_ONCE) -> MoveReport:
        """Move as an operator's command does; the process that serves is not told."""
        order = Order("a test", options)
        return await move_organisations(self.owner.settings, orgs, to, order)

    def give_up(self) -> None:
        """Let the leases of dead movers run out."""
        self.sql("directory", "UPDATE serai_directory.move SET lease_until = now()")


@dataclass
class House:
    """An organisation, and what its people were told."""

    fleet: Fleet
    org_id: int
    user_id: UUID = field(default_factory=uuid4)
    phone: UUID = field(default_factory=uuid7)
    next_number: int = 1
    ids: dict[str, str] = field(default_factory=dict[str, str])
    told: dict[UUID, int] = field(default_factory=dict[UUID, int])
    errors: list[BaseException] = field(default_factory=list[BaseException])
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def caller(self) -> Caller:
        vertical = self.fleet.runtime.vertical
        grant = Grant.from_memberships(vertical, 10**9, [(vertical.owner_role, None)])
        return Caller(self.org_id, self.user_id, grant, vertical)

    @property
    def home(self) -> str:
        return self.fleet.runtime.directory.resolve(self.org_id).name

    async def furnish(self) -> None:
        """Write a row of every collection, pushes, a change, a removal and a refusal."""
        spending = self.row("accounts") | {"kind": "expense"}
        self.ids["expense_account"] = str(await self.insert("accounts", spending))
        for collection in ORDER:
            self.ids[collection] = str(await self.insert(collection, self.row(collection)))
        await self.pushed(3)
        gone = await self.rest()
        await self.write("delete", "vendors", gone, {})
        kept = await self.rest()
        await self.write("update", "vendors", kept, {"name": "Changed"})
        await self.refused_push()

    def row(self, collection: str) -> dict[str, Any]:
        fields = self.fleet.runtime.vertical.by_name[collection].fields
        return {n: None for n, f in fields.items() if not f.server} | new_row(collection, self.ids)

    async def insert(self, collection: str, row: dict[str, Any]) -> UUID:
        row_id = uuid7()
        await self.write("insert", collection, row_id, row)
        return row_id

    async def write(
        self, op: Any, collection: str, row_id: UUID, row: dict[str, Any], key: str | None = None
    ) -> WriteAnswer:
        """Write under a key, as REST does, through whichever home the process knows."""
        key = key or str(uuid4())
        intent = self.intent(op, collection, row_id, row, key)
        homes = self.fleet.runtime.homes
        answer = await homes.at_home(self.org_id, lambda _, writes: writes.submit(intent))
        self.told[row_id] = answer.version
        self.heard.set()
        return answer

    def intent(
        self,
        op: Any,
        collection: str,
        row_id: UUID,
        row: dict[str, Any],
        key: str,
        body: bytes = b"",
    ) -> WriteIntent:
        vertical = self.fleet.runtime.vertical
        wish = RowIntent(vertical.by_name[collection], op, row_id, row)
        once = IdempotencyKey(self.user_id, key)
        return WriteIntent(self.org_id, SystemActor(vertical), (wish,), once, body.ljust(32))

    async def rest(self) -> UUID:
        return await self.insert("vendors", self.vendor())

    def vendor(self) -> dict[str, Any]:
        return self.row("vendors") | {"code": uuid4().hex[:18]}

    async def pushed(self, count: int) -> list[Mutation]:
        """Let the phone push so many new guests, and note that they were applied."""
        mutations = [
            Mutation(
                number=self.next_number + n,
                op="insert",
                collection="guests",
                id=uuid7(),
                fields=raw(self.row("guests")),
            )
            for n in range(count)
        ]
        await self.send(mutations)
        return mutations

    async def send(self, mutations: list[Mutation]) -> list[dict[str, Any]]:
        runtime, now = self.fleet.runtime, self.fleet.runtime.clock.now()
        request = MutationsRequest(device_id=self.phone, mutations=mutations)
        answer = await runtime.homes.at_home(
            self.org_id,
            lambda store, writes: push(
                store, writes, self.caller, runtime.sealer, request, now=now
            ),
        )
        results = [msgspec.json.decode(bytes(result)) for result in answer.results]
        for mutation, result in zip(mutations, results, strict=True):
            assert result["number"] == mutation.number
            if result["status"] == "applied":
                self.told[mutation.id] = result["version"]
        self.next_number = max(self.next_number, answer.next_number)
        return results

    async def refused_push(self) -> None:
        mutation = Mutation(
            number=self.next_number, op="update", collection="guests", id=uuid7(), fields={}
        )
        (result,) = await self.send([mutation])
        assert result["status"] != "applied"

    async def pull(self, token: str | None) -> tuple[str, list[UUID], bool]:
        """Pull to the end; return the token, ids of delivered rows, whether it began again."""
        delivered: list[UUID] = []
        while True:
            parts = (await self._page(token)).answer.collections
            for part in parts:
                changes = msgspec.json.decode(bytes(part.changes))
                delivered += [UUID(change["id"]) for change in changes]
            if any(part.must_refetch for part in parts):
                return "", delivered, True
            token = parts[0].next_token
            if not any(part.has_more for part in parts):
                return token, delivered, False

    async def _page(self, token: str | None) -> PullResult:
        runtime = self.fleet.runtime
        wanted = [WantedCollection(name=name, since_token=token) for name in COLLECTIONS]
        request = ChangesRequest(collections=wanted, batch_size=1000)
        now = runtime.clock.now()
        return await runtime.homes.at_home(
            self.org_id,
            lambda store, _: pull(store, self.caller, runtime.sealer, request, now=now),
        )

    async def told_more(self, count: int) -> None:
        """Wait until so many further writes are answered, or one has failed."""
        enough = len(self.told) + count
        while len(self.told) < enough and not self.errors:
            self.heard.clear()
            await self.heard.wait()

    @asynccontextmanager
    async def busy(self, writers: int = 3) -> AsyncGenerator[None]:
        """Write by REST and by pushes without a pause; errors are noted."""
        over = asyncio.Event()

        async def by_rest() -> None:
            while not over.is_set():
                await self.rest()

        async def by_phone() -> None:
            while not over.is_set() and "properties" in self.ids:
                await self.pushed(4)

        async def noted(work: Any) -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                self.errors.append(error)
                self.heard.set()

        tasks = [asyncio.create_task(noted(work)) for work in [by_phone, *[by_rest] * writers]]
        try:
            await self.told_more(1)
            yield
            # It is written to afterwards as well.
            await self.told_more(5)
        finally:
            over.set()
            await asyncio.gather(*tasks)

    # ------------------------------------------------------------ what must hold

    def content(self, shard: str) -> Content:
        with link.connect(self.fleet.url(shard)) as conn:
            return contents(conn, self.org_id)

    def states(self) -> dict[str, str]:
        return {name: self.content(name).state for name in ("a", "b")}

    async def check(self, home: str) -> None:
        """Everything told is there once, at this home, and nobody else takes writes."""
        assert self.errors == []
        placed = self.fleet.sql(
            "directory",
            "SELECT s.name FROM serai_directory.org_override o JOIN serai_directory.shard s"
            " USING (shard_id) WHERE o.org_id = %s"
            " UNION ALL SELECT s.name FROM serai_directory.org_range r"
            " JOIN serai_directory.shard s USING (shard_id) WHERE r.orgs @> %s::bigint",
            self.org_id,
            self.org_id,
        )
        assert placed[0] == (home,)
        other = "b" if home == "a" else "a"
        states = self.states()
        assert states[home] == "active"
        assert states[other] in ("moved", "absent")
        log = self.fleet.sql(
            home, "SELECT id, version FROM serai.log WHERE org_id = %s", self.org_id
        )
        versions = sorted({version for _, version in log})
        assert versions == list(range(1, len(versions) + 1)), "a version is missing"
        assert set(self.told.items()) - set(log) == set(), "an answered write is not there"
        assert len(log) == len(set(log))
        replies = self.fleet.sql(
            home, "SELECT version FROM serai.reply WHERE org_id = %s", self.org_id
        )
        assert set(self.told.values()) - {version for (version,) in replies} == set(), (
            "the answer to a write is not kept"
        )
        for shard in ("a", "b"):
            noted = self.fleet.sql(
                shard,
                "SELECT org_id FROM serai.move_reply WHERE org_id = %s"
                " UNION ALL SELECT org_id FROM serai.org WHERE org_id = %s AND noting",
                self.org_id,
                self.org_id,
            )
            assert noted == [], "replies are noted only while it is copied"
        rows = self.fleet.sql(home, "SELECT id FROM serai.row WHERE org_id = %s", self.org_id)
        assert len(rows) == len(set(rows)) <= len({row_id for row_id, _ in log})
        assert faults(self.content(home)) == []
        runtime = self.fleet.runtime
        await runtime.directory.refresh()
        store = (await runtime.shard_for(self.org_id)).store
        report = await verify(store, self.org_id)
        assert report.broken is None, report
        head = await store.head(self.org_id)
        assert head is not None
        assert (head.epoch, head.version) == (1, versions[-1])

    def same(self, before: Content, shard: str) -> list[str]:
        """Return in what the home differs from what was there before."""
        return differences(before, self.content(shard))
