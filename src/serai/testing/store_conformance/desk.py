"""What a case works with: the store under test, one organisation, and short ways to write.

Owns the forms between the suite and an adapter (`Subject`), and the making of documents and planned
writes. Promises that every planned row names what it rests on, as the write path does. Never
expects anything but that a plain write is committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self
from uuid import UUID

import msgspec

from serai.core.ids import ORG_SCOPE, uuid7
from serai.log.audit import difference
from serai.model.fields import Value
from serai.ports.life import LifeStore
from serai.ports.store import (
    AuditedStore,
    Author,
    Committed,
    IdempotencyKey,
    MutationKey,
    Outcome,
    PlannedWrite,
    ReadSetItem,
    Refusal,
    RowOp,
    StoredRow,
)
from serai.testing.vertical import GUESTS, MEMBERSHIPS, PROPERTIES, STAYS, VERTICAL, WAGES

ALL_COLLECTIONS = sum(1 << c.number for c in VERTICAL.collections)
"""The bit mask of every collection."""
ANNA, BEN, SESSION = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)
Doc = dict[str, Value]


class Subject(Protocol):
    """An adapter under test, with what operators and time do to its data."""

    @property
    def store(self) -> AuditedStore:
        """The store; after `restart` another object on the same data."""
        ...

    @property
    def lives(self) -> LifeStore:
        """The same data, for upkeep of the logs."""
        ...

    async def new_org(self) -> int:
        """Return the number of an empty organisation that no case has seen."""
        ...

    async def restart(self) -> None:
        """End the process that holds the store and start another on the same data."""
        ...

    async def set_state(self, org_id: int, state: str) -> None:
        """Set `active`, `frozen` or `moved`."""
        ...

    async def raise_epoch(self, org_id: int) -> None:
        """Add one to the epoch, as a restore from a backup does."""
        ...

    async def prune(self, org_id: int, floor: int) -> None:
        """Forget the log up to this version."""
        ...

    async def forget_replies(self, org_id: int) -> None:
        """Drop what is kept for replays, as the days that keys are kept go by."""
        ...


@dataclass(slots=True)
class Desk:
    """One organisation of the store under test, with two properties."""

    subject: Subject
    org: int
    sea: UUID
    hill: UUID

    @classmethod
    async def open(cls, subject: Subject) -> Self:
        """Make an organisation; its properties are versions 1 and 2."""
        desk = cls(subject, await subject.new_org(), uuid7(), uuid7())
        for place, name in ((desk.sea, "sea"), (desk.hill, "hill")):
            await desk.insert(PROPERTIES, place, name=name)
        return desk

    @property
    def store(self) -> AuditedStore:
        """The store under test."""
        return self.subject.store

    @property
    def lives(self) -> LifeStore:
        """Upkeep of the logs under test."""
        return self.subject.lives

    def row(self, number: int, row_id: UUID, **values: Value) -> RowOp:
        """Return the insert of a row; `property_id` is the sea's if its collection wants one."""
        names = VERTICAL.by_number[number].fields
        if "property_id" in names and number != MEMBERSHIPS:
            values.setdefault("property_id", str(self.sea))
        doc = {name: values.get(name) for name in names}
        unknown = values.keys() - doc.keys()
        assert not unknown, f"no such fields: {unknown}"
        return RowOp("insert", number, row_id, scope_of(number, row_id, doc), doc_text(doc))

    def guest(self, name: str | None = "Ada", **values: Value) -> RowOp:
        """Return the insert of a new guest."""
        return self.row(GUESTS, uuid7(), name=name, **values)

    def stay(self, guest_id: UUID, **values: Value) -> RowOp:
        """Return the insert of a new stay."""
        return self.row(STAYS, uuid7(), guest_id=str(guest_id), **values)

    def wage(self, person: str = "Ada", **values: Value) -> RowOp:
        """Return the insert of a new wage."""
        wage: Doc = {"wage_minor": 1, "wage_currency": "EUR"}
        return self.row(WAGES, uuid7(), person=person, **{**wage, **values})

    def plan(
        self,
        *ops: RowOp,
        reads: Sequence[tuple[int, UUID, int]] | None = None,
        once: IdempotencyKey | MutationKey | None = None,
        body: str = "",
        reply: str = "{}",
        refusal: Refusal | None = None,
        **more: Any,
    ) -> PlannedWrite:
        """Return a write. Without `reads` it rests on its inserts not being there."""
        if reads is None:
            reads = [(op.collection, op.id, 0) for op in ops if op.op == "insert"]
        return PlannedWrite(
            org_id=more.pop("org_id", self.org),
            epoch=more.pop("epoch", 1),
            ops=ops,
            reads=tuple(ReadSetItem(*each) for each in reads),
            once=once,
            body_hash=hashlib.sha256(body.encode()).digest(),
            reply=reply,
            author=more.pop("author", author_of(once)),
            refusal=refusal,
            **more,
        )

    async def commit(self, *writes: PlannedWrite) -> list[Outcome]:
        """Commit the writes as one batch."""
        return await self.store.commit(writes)

    async def commit_one(self, write: PlannedWrite) -> Outcome:
        """Commit one write."""
        (outcome,) = await self.store.commit([write])
        return outcome

    async def done(self, write: PlannedWrite) -> int:
        """Commit one write that must succeed; return its version."""
        outcome = await self.commit_one(write)
        assert isinstance(outcome, Committed), outcome
        return outcome.version

    async def insert(self, number: int, row_id: UUID, **values: Value) -> int:
        """Insert a row; return the version."""
        return await self.done(self.plan(self.row(number, row_id, **values)))

    async def stored(self, number: int, row_id: UUID) -> StoredRow | None:
        """Return the row as it is now."""
        (row,) = await self.store.read([(self.org, number, row_id)])
        return row

    async def change(self, number: int, row_id: UUID, **values: Value) -> PlannedWrite:
        """Return a write that updates the row as it is now."""
        stored = await self.stored(number, row_id)
        assert stored is not None, "a row to change is there"
        doc = doc_of(stored) | values
        diff = difference(doc_of(stored), doc, values)
        op = RowOp("update", number, row_id, stored.scope, doc_text(doc), tuple(values), diff)
        return self.plan(op, reads=[(number, row_id, stored.version)])

    async def removal(self, number: int, row_id: UUID) -> PlannedWrite:
        """Return a write that deletes the row as it is now."""
        stored = await self.stored(number, row_id)
        assert stored is not None, "a row to delete is there"
        op = RowOp("delete", number, row_id, stored.scope, stored.doc)
        return self.plan(op, reads=[(number, row_id, stored.version)])

    async def update(self, number: int, row_id: UUID, **values: Value) -> int:
        """Update a row; return the version."""
        return await self.done(await self.change(number, row_id, **values))

    async def delete(self, number: int, row_id: UUID) -> int:
        """Delete a row; return the version."""
        return await self.done(await self.removal(number, row_id))

    async def version(self) -> int:
        """Return the organisation's version."""
        head = await self.store.head(self.org)
        assert head is not None, "the organisation is there"
        return head.version


Case = Callable[[Desk], Awaitable[None]]


def scope_of(number: int, row_id: UUID, doc: Doc) -> UUID:
    """Return the scope that the write path gives a row of the small vertical."""
    if number == PROPERTIES:
        return row_id
    if number in (MEMBERSHIPS, GUESTS):
        return ORG_SCOPE
    return UUID(str(doc["property_id"]))


def author_of(once: IdempotencyKey | MutationKey | None) -> Author:
    """Return who writes in a case: Anna from her browser, or whose device it is."""
    if isinstance(once, MutationKey):
        return Author(once.user_id, once.device_id, "push")
    return Author(ANNA, SESSION, "rest")


def doc_text(doc: Doc) -> str:
    """Return the finished JSON text of a row."""
    return msgspec.json.encode(doc).decode()


def doc_of(row: StoredRow) -> Doc:
    """Return the fields of a row."""
    return msgspec.json.decode(row.doc, type=Doc)


def mutation(device_id: UUID, number: int, user_id: UUID = ANNA) -> MutationKey:
    """Return the key of a device's mutation."""
    return MutationKey(user_id, device_id, number)


def refused(row_id: UUID, *, reason: str = "No.", scope: UUID = ORG_SCOPE) -> Refusal:
    """Return a refusal of a guest's change."""
    return Refusal("rejected", "rule", reason, GUESTS, row_id, scope, '{"number":1}')
