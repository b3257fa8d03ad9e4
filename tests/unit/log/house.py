"""A small hotel for the tests of the log and of its readers: a vertical, people, wishes, a store.

Owns one declaration with a collection of each kind that the write path treats differently, callers
by role, and short ways to say what somebody wants. The store is the reference in memory; `Recorded`
only writes down, holds back or breaks its calls. Never decides what a test expects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from serai.adapters.memory import MemoryStore
from serai.core.errors import SeraiError
from serai.gate.caller import Caller, Grant
from serai.log.decide import decide
from serai.log.intent import RowIntent, WriteIntent
from serai.model import (
    Accept,
    Collection,
    Key,
    Policy,
    Row,
    RowChange,
    RuleInput,
    Scope,
    Verdict,
    Vertical,
    choice,
    integer,
    money,
    reference,
    text,
    user,
)
from serai.model.fields import Value
from serai.model.rules import Op
from serai.ports.store import (
    IdempotencyKey,
    MutationKey,
    Outcome,
    PlannedWrite,
    RowKey,
    StoredRow,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORG, OTHER_ORG = 7, 8
SEA, HILL, TOWN = (UUID(int=0x100 + n) for n in range(3))
ANNA, BEN, CLERK_OF_HILL, STRANGER = (UUID(int=0x200 + n) for n in range(4))
PHONE, TABLET = UUID(int=0x300), UUID(int=0x301)
GUEST = UUID(int=0x400)


def row_id(number: int) -> UUID:
    return UUID(int=0x1000 + number)


@dataclass
class HouseRule:
    """A rule that a test writes: which rows it reads, and what it says. Counts its runs."""

    wants: Callable[[Op, UUID, Row | None, Row | None], Iterable[Key]] = lambda *_: ()
    says: Callable[[RuleInput], Verdict] | None = None
    asked: list[RuleInput] = field(default_factory=list[RuleInput])

    def reads(self, op: Op, row_id: UUID, before: Row | None, after: Row | None) -> Iterable[Key]:
        return self.wants(op, row_id, before, after)

    def decide(self, asked: RuleInput) -> Verdict:
        self.asked.append(asked)
        if self.says is not None:
            return self.says(asked)
        return Accept(
            RowChange("stays", asked.op, asked.id, None if asked.after is None else asked.after)
        )


def house(rule: HouseRule | None = None) -> Vertical:
    """Return the declaration; `rule` is that of the stays."""
    collections = (
        Collection(
            name="properties",
            number=1,
            doc="Hotels",
            scope=Scope.SELF,
            fields={"name": text("Name")},
        ),
        Collection(
            name="memberships",
            number=2,
            doc="Roles",
            scope=Scope.ORGANISATION,
            fields={
                "user_id": user("Who"),
                "role": choice("Role", "owner", "clerk", "approver"),
                "property_id": reference("properties", "Where", optional=True),
            },
        ),
        Collection(
            name="guests",
            number=3,
            doc="Guests",
            scope=Scope.ORGANISATION,
            fields={"name": text("Name"), "email": text("E-mail", optional=True)},
            unique=(("name",),),
        ),
        Collection(
            name="stays",
            number=4,
            doc="Stays",
            scope=Scope.PROPERTY,
            fields={
                "note": text("Note", optional=True),
                "nights": integer("Nights", minimum=1),
                "guest_id": reference("guests", "Who", optional=True),
                "source": text("Channel", optional=True, fixed=True),
                "posted_by": user("By whom", server=True, optional=True),
                **money("price", "Price", optional=True),
            },
            rule=rule,
        ),
        *_pay_and_signs(),
    )
    everything = frozenset({"read", "create", "update", "delete"})
    permissions = {("owner", c.name): everything for c in collections}
    for name in ("properties", "guests", "stays", "signs"):
        permissions["clerk", name] = frozenset({"read", "create", "update"})
        if name != "signs":
            permissions["approver", name] = frozenset({"read"})
    permissions["clerk", "properties"] = frozenset({"read"})
    permissions["approver", "stays"] = frozenset({"read", "approve"})
    return Vertical("house", "House", collections, permissions, "owner")


def _pay_and_signs() -> tuple[Collection, Collection]:
    """Return the collections that do not merge field by field."""
    return (
        Collection(
            name="pay",
            number=5,
            doc="Pay",
            scope=Scope.PROPERTY,
            policy=Policy.WHOLE_ROW,
            fields={"person": text("Who"), **money("wage", "Wage")},
        ),
        Collection(
            name="signs",
            number=6,
            doc="Signs",
            scope=Scope.PROPERTY,
            policy=Policy.LAST_WRITE,
            field_policies={"fee_minor": Policy.MERGE, "fee_currency": Policy.MERGE},
            fields={
                "words": text("Words", optional=True),
                "colour": text("Colour", optional=True),
                **money("fee", "Fee", optional=True),
            },
        ),
    )


HOUSE = house()


def caller(
    user_id: UUID = ANNA,
    *roles: tuple[str, UUID | None],
    vertical: Vertical = HOUSE,
    org_id: int = ORG,
    version: int = 10**6,
) -> Caller:
    """Return who asks: an owner of every property unless roles are given."""
    held = roles or (("owner", None),)
    return Caller(org_id, user_id, Grant.from_memberships(vertical, version, held), vertical)


def wish(
    collection: str,
    op: Op,
    row: UUID,
    fields: Mapping[str, Value] | None = None,
    *,
    base: int | None = None,
    vertical: Vertical = HOUSE,
) -> RowIntent:
    declared = vertical.by_name[collection]
    given = dict(fields or {})
    if op == "insert":
        given = {**dict.fromkeys(declared.fields), **given}
    return RowIntent(declared, op, row, given, base)


def stay(number: int, vertical: Vertical = HOUSE, *, at: UUID = SEA, **fields: Value) -> RowIntent:
    """Return the wish to insert a stay."""
    values: dict[str, Value] = {"property_id": str(at), "nights": 1, **fields}
    return wish("stays", "insert", row_id(number), values, vertical=vertical)


def rest(who: Caller, *wishes: RowIntent, key: str | None = None, body: bytes = b"") -> WriteIntent:
    once = None if key is None else IdempotencyKey(who.user_id, key)
    return WriteIntent(who.org_id, who, wishes, once, body.ljust(32, b"\0"))


def mutation(
    who: Caller,
    number: int,
    row: RowIntent,
    *,
    device: UUID = PHONE,
    refused: SeraiError | None = None,
    epoch: int = 0,
) -> WriteIntent:
    once = MutationKey(who.user_id, device, number)
    mark = f"{device}/{number}".encode()[-32:].ljust(32, b"\0")
    return WriteIntent(who.org_id, who, (row,), once, mark, "{}", refused, epoch)


def told(reply: str) -> dict[str, Any]:
    """Return an answer as a client reads it."""
    return msgspec.json.decode(reply)


@dataclass(eq=False)
class Recorded(MemoryStore):
    """The reference store, whose commits are written down, may be held back, and may break."""

    vertical: Vertical = field(default_factory=lambda: HOUSE)
    batches: list[list[PlannedWrite]] = field(default_factory=list[list[PlannedWrite]])
    reads: list[list[RowKey]] = field(default_factory=list[list[RowKey]])
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: list[set[int]] = field(default_factory=list[set[int]])
    overlaps: list[set[int]] = field(default_factory=list[set[int]])
    breaks: list[Exception] = field(default_factory=list[Exception])
    instead: list[Callable[[Sequence[PlannedWrite]], list[Outcome] | None]] = field(
        default_factory=list[Callable[[Sequence[PlannedWrite]], "list[Outcome] | None"]]
    )

    def __post_init__(self) -> None:
        MemoryStore.__init__(self, self.vertical)

    async def read(self, keys: Sequence[RowKey]) -> list[StoredRow | None]:
        self.reads.append(list(keys))
        return await super().read(keys)

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        orgs = {w.org_id for w in writes}
        self.overlaps += [orgs & others for others in self.in_flight if orgs & others]
        self.in_flight.append(orgs)
        self.arrived.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            else:
                await asyncio.sleep(0)
            if self.breaks:
                raise self.breaks.pop(0)
            self.batches.append(list(writes))
            meet_nowhere(writes)
            for other in self.instead:
                answer = other(writes)
                if answer is not None:
                    return answer
            return await super().commit(writes)
        finally:
            self.in_flight.remove(orgs)


def meet_nowhere(writes: Sequence[PlannedWrite]) -> None:
    """Check what a store is promised: no write looks at a row that one before it changes."""
    changed: set[RowKey] = set()
    for each in writes:
        seen = {(each.org_id, item.collection, item.id) for item in each.reads}
        assert seen.isdisjoint(changed), "decided too early"
        changed |= {(each.org_id, op.collection, op.id) for op in each.ops}


async def opened(vertical: Vertical = HOUSE, *orgs: int) -> Recorded:
    """Return a store with empty organisations that have their hotels."""
    store = Recorded(vertical)
    for org_id in orgs or (ORG,):
        await store.create_org(org_id)
        await plant(store, org_id, *(("properties", each, {"name": "x"}) for each in (SEA, HILL)))
    store.batches.clear()
    store.reads.clear()
    return store


async def plant(
    store: MemoryStore, org_id: int, *rows: tuple[str, UUID, Mapping[str, Value]]
) -> int:
    """Write rows as somebody else, each under its own version; return the last version."""
    version = 0
    for collection, each, fields in rows:
        key = (org_id, HOUSE.by_name[collection].number, each)
        (stored,) = await store.read([key])
        op: Op = "insert" if stored is None else "update"
        intent = rest(caller(BEN, org_id=org_id), wish(collection, op, each, fields))
        head = await store.head(org_id)
        assert head is not None
        plan = decide(HOUSE, intent, {key: stored}, epoch=head.epoch, now=NOW)
        (outcome,) = await MemoryStore.commit(store, [plan])
        assert type(outcome).__name__ == "Committed", outcome
        version = head.version + 1
    return version
