"""Both stores side by side: everything is done to both, and every answer is compared.

Owns the comparison. Promises that the reference answers first and that a difference names the call.
What the protocol leaves open (wording, ids of refusals, the clock, where a page ends) is not
compared; a page's end is taken out by reading on until there is no more. Never decides what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from msgspec import structs

from conformance.subjects import MemorySubject, PostgresSubject
from serai.core.channels import Channel
from serai.core.errors import SeraiError
from serai.ports.store import Failed, ListQuery, Outcome, PlannedWrite, Store
from serai.testing.store_conformance.desk import Desk, Subject
from serai.testing.store_conformance.filling import fill
from serai.testing.store_conformance.reading_log import walk


@dataclass
class Pair:
    """The two subjects and the organisations that both hold."""

    runner: asyncio.Runner
    postgres: PostgresSubject
    memory: MemorySubject = field(default_factory=MemorySubject)
    orgs: list[int] = field(default_factory=list[int])

    def new_org(self) -> None:
        """Make an organisation with one number in both."""
        org_id = self.runner.run(self.postgres.new_org())
        self.runner.run(self.memory.store.create_org(org_id))
        self.orgs.append(org_id)

    def both(self, what: str, ask: Callable[[Subject], Awaitable[Any]]) -> Any:
        """Ask both; return the answer, which is the same."""

        async def answer(subject: Subject) -> Any:
            try:
                return await ask(subject)
            except SeraiError as error:
                return error.code

        wanted = self.runner.run(answer(self.memory))
        found = self.runner.run(answer(self.postgres))
        assert found == wanted, f"{what}: PostgreSQL says {found}, the reference {wanted}"
        return wanted

    def do(self, act: Callable[[Subject], Awaitable[None]]) -> None:
        """Do something to both that has no answer."""
        self.both("act", act)

    def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        """Commit one batch on both."""

        async def ask(subject: Subject) -> list[Outcome]:
            return [_without_words(o) for o in await subject.store.commit(writes)]

        return self.both(f"commit {writes}", ask)

    def compare(self, org_id: int, keys: Sequence[tuple[int, UUID]]) -> None:
        """Compare where the organisation stands and the rows of these keys."""
        self.both("head", lambda s: s.store.head(org_id))
        wanted = [(org_id, number, row_id) for number, row_id in keys]
        self.both("read", lambda s: s.store.read(wanted))

    def compare_log(
        self, org_id: int, after: int, scan: int, scopes: list[UUID] | None, mask: int
    ) -> None:
        """Compare the whole log of some channels, read in pages of any size."""

        async def ask(subject: Subject) -> object:
            return await walk(_desk(subject, org_id), scan, scopes, mask, after=after)

        self.both(f"log after {after}, scan {scan}, {scopes}, mask {mask:b}", ask)

    def compare_fill(self, org_id: int, channels: list[Channel], rows: int, max_bytes: int) -> None:
        """Compare all rows of some channels, read in pages of any size."""

        async def ask(subject: Subject) -> object:
            return await fill(_desk(subject, org_id), channels, rows=rows, max_bytes=max_bytes)

        self.both(f"fill {channels}, {rows} rows, {max_bytes} bytes", ask)

    def compare_list(self, query: ListQuery) -> None:
        """Compare one page of a list."""
        self.both(f"list {query}", lambda s: s.store.list_rows(query))

    def compare_refusals(self, org_id: int, user_id: UUID | None, device_id: UUID) -> None:
        """Compare all refusals, and those of one device one by one."""

        async def ask(subject: Subject) -> object:
            return await _refusals(subject.store, org_id, user_id, device_id)

        self.both("refusals", ask)

    def compare_audit(self, org_id: int) -> None:
        """Compare the whole audit record, hashes and all: both stores tell the same time."""

        async def ask(subject: Subject) -> object:
            page = await subject.store.audit_page(org_id, 0, limit=10_000)
            assert page is not None
            return page

        self.both("audit record", ask)

    def compare_grants(self, org_id: int, user_id: UUID) -> None:
        """Compare a user's grants, in any order."""

        async def ask(subject: Subject) -> object:
            version, held = await subject.store.grants(org_id, user_id)
            return version, sorted(held, key=str)

        self.both("grants", ask)


def _desk(subject: Subject, org_id: int) -> Desk:
    return Desk(subject, org_id, UUID(int=1), UUID(int=2))


def _without_words(outcome: Outcome) -> Outcome:
    return structs.replace(outcome, detail="") if isinstance(outcome, Failed) else outcome


async def _refusals(
    store: Store, org_id: int, user_id: UUID | None, device_id: UUID
) -> list[object]:
    listed = await store.refusals(org_id, user_id=user_id, after=0, limit=1000)
    single = [await store.refusal(org_id, device_id, number) for number in range(1, 6)]
    return [
        each and (each.user_id, each.device_id, each.number, each.refusal)
        for each in (*listed, *single)
    ]
