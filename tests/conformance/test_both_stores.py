"""Any history of writes, on both stores: every answer and every read is the same.

Owns a state machine that draws batches of writes of every kind and reads of every kind. The
reference is the oracle. Promises to keep to what the protocol asks of a caller: no two writes of a
batch meet in a row or through a reference, none carries one mutation number twice, a write changes
a row once and names it in its read set. Never draws what only SQL can refuse (`Check.sql`).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from conformance.pair import Pair
from conformance.subjects import PostgresSubject
from serai.adapters.memory.store import Organisation
from serai.core.channels import Channel
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.log.audit import difference
from serai.ports.store import (
    IdempotencyKey,
    ListQuery,
    MutationKey,
    PlannedWrite,
    ReadSetItem,
    Refusal,
    RowOp,
    StoredRow,
)
from serai.shard.role import RequestRole
from serai.testing.store_conformance.desk import ANNA, BEN, author_of, doc_text, scope_of
from serai.testing.vertical import (
    GUESTS,
    MEMBERSHIPS,
    PAYMENTS,
    PROPERTIES,
    STAYS,
    WAGES,
)

NUMBERS = (PROPERTIES, MEMBERSHIPS, GUESTS, STAYS, PAYMENTS, WAGES)
PHONES = (UUID(int=0xF1), UUID(int=0xF2))
PLACES = tuple(UUID(int=0x100 + n) for n in range(3))
Key = tuple[int, UUID]
SCOPES = st.none() | st.lists(st.sampled_from([ORG_SCOPE, *PLACES]))
OUTCOMES: st.SearchStrategy[Literal["conflict", "rejected"]] = st.sampled_from(
    ["conflict", "rejected"]
)
KEYS = "tuvwxyz"
TEXTS = st.sampled_from(["a", "b", 'c "\\" {version}', "d\uffff\U0001f71a"])
DAYS = st.sampled_from(["2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01"])


def row_id(number: int, n: int) -> UUID:
    return PLACES[n % 3] if number == PROPERTIES else UUID(int=(number << 16) + n)


_CURRENCY = st.sampled_from(["EUR", "USD"])
_PLACE = st.sampled_from([str(p) for p in PLACES])
_GUEST = st.integers(0, 3).map(lambda n: str(row_id(GUESTS, n)))
DOCS: dict[int, dict[str, st.SearchStrategy[Any]]] = {
    PROPERTIES: {"name": TEXTS},
    MEMBERSHIPS: {
        "user_id": st.sampled_from([str(ANNA), str(BEN)]),
        "role": st.sampled_from(["owner", "clerk"]),
        "property_id": st.none() | _PLACE,
    },
    GUESTS: {
        # A name that is missing or empty: the only thing wrong with its row.
        "name": st.integers(0, 9).flatmap(lambda n: TEXTS if n else st.sampled_from([None, ""])),
        "card": st.none() | st.sampled_from(["1", "2"]),
        "note": st.none() | TEXTS,
    },
    STAYS: {
        "property_id": _PLACE,
        "guest_id": _GUEST,
        "room": st.none() | st.sampled_from(["1", "2"]),
        "status": st.none() | st.sampled_from(["booked", "left"]),
        "arrives_on": st.none() | DAYS,
        "arrived_at": st.none() | DAYS.map(lambda d: f"{d}T12:00:00.000001Z"),
        "nights": st.none() | st.integers(-(2**53) + 1, 2**53 - 1),
        "breakfast": st.none() | st.booleans(),
        "keeper_id": st.none(),
    },
    PAYMENTS: {
        "property_id": _PLACE,
        "business_date": DAYS,
        "stay_id": st.none() | st.integers(0, 3).map(lambda n: str(row_id(STAYS, n))),
        "memo": st.none() | TEXTS,
        "amount_minor": st.integers(1, 3),
        "amount_currency": _CURRENCY,
    },
    WAGES: {
        "property_id": _PLACE,
        "person": TEXTS,
        "wage_minor": st.integers(1, 3),
        "wage_currency": _CURRENCY,
    },
}


class Met:
    """What the writes of a batch touch: another one may not meet it."""

    def __init__(self) -> None:
        self.read: set[tuple[int, Key]] = set()
        self.changed: set[tuple[int, Key]] = set()
        self.referred: set[tuple[int, Key]] = set()
        self.once: set[tuple[int, UUID, int | str]] = set()

    def takes(self, write: PlannedWrite, before: list[dict[str, Any]]) -> bool:
        """Add a write if it meets none that is here."""
        org = write.org_id
        changed = {(org, (op.collection, op.id)) for op in write.ops}
        read = {(org, (item.collection, item.id)) for item in write.reads} | changed
        docs = [*before, *(msgspec.json.decode(op.doc) for op in write.ops)]
        referred = {(org, key) for doc in docs for key in references(doc)}
        once = set[tuple[int, UUID, int | str]]()
        if isinstance(write.once, MutationKey):
            once.add((org, write.once.device_id, write.once.number))
        elif write.once is not None:
            once.add((org, write.once.user_id, write.once.key))
        mine, others = changed | referred, self.changed | self.referred
        if changed & (self.read | others) or self.changed & (read | mine) or once & self.once:
            return False
        self.read |= read
        self.changed |= changed
        self.referred |= referred
        self.once |= once
        return True


def references(doc: dict[str, Any]) -> list[Key]:
    """Return the rows that a row refers to; the names of references are unique in the vertical."""
    targets = {"property_id": PROPERTIES, "guest_id": GUESTS, "stay_id": STAYS}
    return [(t, UUID(doc[name])) for name, t in targets.items() if doc.get(name)]


class Stores(RuleBasedStateMachine):
    """Random operations on both stores at once."""

    make: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.pair: Pair = self.make()

    @initialize()
    def two_organisations(self) -> None:
        """Make them, with places, guests and stays, so that most rows have what they refer to."""
        for _ in range(2):
            self.pair.new_org()
        for org in self.pair.orgs:
            ops = [self._op("insert", PROPERTIES, place, {"name": "a"}) for place in PLACES[:2]]
            for n, place in enumerate(PLACES[:2]):
                guest = row_id(GUESTS, n)
                doc = {"name": "a", "card": str(n), "note": None}
                stay = dict.fromkeys(DOCS[STAYS]) | {
                    "property_id": str(place),
                    "guest_id": str(guest),
                }
                ops += [
                    self._op("insert", GUESTS, guest, doc),
                    self._op("insert", STAYS, row_id(STAYS, n), stay),
                ]
            self.pair.commit([self._write(org, ops, [])])

    @rule(data=st.data(), size=st.integers(1, 6))
    def write(self, data: st.DataObject, size: int) -> None:
        """Commit a batch."""
        met, writes = Met(), []
        for _ in range(size):
            org = data.draw(st.sampled_from(self.pair.orgs))
            write, before = self._draw_write(data, org)
            if met.takes(write, before):
                writes.append(write)
        self.pair.commit(writes)
        for org in self.pair.orgs:
            touched = [(o.collection, o.id) for w in writes for o in w.ops if w.org_id == org]
            self.pair.compare(org, touched)

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """Read something from both."""
        org = data.draw(st.sampled_from(self.pair.orgs))
        looks = (self._look_at_log, self._look_at_channels, self._look_at_list, self._look_at_rest)
        data.draw(st.sampled_from(looks))(data, org)

    @rule(data=st.data(), org=st.integers(0, 1))
    def operate(self, data: st.DataObject, org: int) -> None:
        """Do what operators and time do."""
        org_id = self.pair.orgs[org]
        floor = st.integers(0, self._organisation(org_id).head.version)
        match data.draw(st.sampled_from(["freeze", "move", "restore", "prune", "forget", "again"])):
            case "restore":
                self.pair.do(lambda s: s.raise_epoch(org_id))
            case "prune":
                version = data.draw(floor)
                self.pair.do(lambda s: s.prune(org_id, version))
            case "forget":
                self.pair.do(lambda s: s.forget_replies(org_id))
            case "again":
                self.pair.do(lambda s: s.store.create_org(org_id))
            case word:
                state = {"freeze": "frozen", "move": "moved"}[word]
                self.pair.do(lambda s: s.set_state(org_id, state))
                self.write(data, 2)
                self.pair.do(lambda s: s.set_state(org_id, "active"))

    def _look_at_log(self, data: st.DataObject, org: int) -> None:
        head = self._organisation(org).head
        after = data.draw(st.integers(head.floor, head.version))
        scan = data.draw(st.integers(1, 30))
        mask = data.draw(st.integers(0, 2**63 - 1))
        self.pair.compare_log(org, after, scan, data.draw(SCOPES), mask)

    def _look_at_channels(self, data: st.DataObject, org: int) -> None:
        scopes = st.sampled_from([ORG_SCOPE, ALL_SCOPES, *PLACES])
        channel = st.tuples(scopes, st.sampled_from(NUMBERS))
        drawn = data.draw(st.lists(channel, max_size=5, unique=True))
        # In a channel set no property stands beside "every property": a row would come twice.
        channels: list[Channel] = [
            (scope, n) for scope, n in drawn if scope not in PLACES or (ALL_SCOPES, n) not in drawn
        ]
        rows, max_bytes = data.draw(st.integers(1, 10)), data.draw(st.sampled_from([1, 200, 10**6]))
        self.pair.compare_fill(org, channels, rows, max_bytes)

    def _look_at_list(self, data: st.DataObject, org: int) -> None:
        number = data.draw(st.sampled_from(NUMBERS))
        fields = {n: s.filter(_is_value) for n, s in DOCS[number].items() if n != "keeper_id"}
        filters = [
            (name, data.draw(st.sampled_from(_operators(name))), data.draw(fields[name]))
            for name in data.draw(st.lists(st.sampled_from([*fields]), max_size=2))
        ]
        order = data.draw(st.sampled_from([None, *(n for n in fields if n not in _UNORDERED)]))
        place = st.integers(0, 3).map(lambda n: row_id(number, n))
        value = st.none() if order is None else st.none() | fields[order]
        query = ListQuery(
            org,
            number,
            scopes=data.draw(SCOPES.map(lambda s: None if s is None else tuple(s))),
            filters=tuple(filters),
            order=order,
            descending=data.draw(st.booleans()),
            after=data.draw(st.none() | st.tuples(value, place)),
            limit=data.draw(st.integers(1, 8)),
        )
        self.pair.compare_list(query)

    def _look_at_rest(self, data: st.DataObject, org: int) -> None:
        user = data.draw(st.sampled_from([ANNA, BEN]))
        for phone in PHONES:
            self.pair.compare_refusals(org, user, phone)
        self.pair.compare_refusals(org, None, PHONES[0])
        self.pair.compare_grants(org, user)
        for key in KEYS:
            once = IdempotencyKey(user, key)
            self.pair.both("replayed", lambda s, o=once: s.store.replayed(org, o, _body(0)))

    def _organisation(self, org: int) -> Organisation:
        return self.pair.memory.store.organisations[org]

    def teardown(self) -> None:
        """Compare everything there is."""
        for org in self.pair.orgs:
            keys = [(number, row_id(number, n)) for number in NUMBERS for n in range(4)]
            self.pair.compare(org, keys)
            floor = self.pair.memory.store.organisations[org].head.floor
            self.pair.compare_log(org, floor, 1000, None, 2**63 - 1)
            self.pair.compare_audit(org)
            for number in NUMBERS:
                self.pair.compare_list(ListQuery(org, number, None))

    def _draw_write(
        self, data: st.DataObject, org: int
    ) -> tuple[PlannedWrite, list[dict[str, Any]]]:
        """Return a write of one row, or of none, and the row as it is."""
        draw, number = data.draw, data.draw(st.sampled_from(NUMBERS))
        target = row_id(number, draw(st.integers(0, 3)))
        stored = self._organisation(org).rows.get((number, target))
        before = [] if stored is None else [msgspec.json.decode(stored.doc)]
        kind = draw(st.sampled_from(["change"] * 6 + ["delete"] * 3 + ["again", "empty"]))
        ops = self._draw_op(data, kind, (number, target), stored)
        seen = 0 if stored is None else stored.version
        reads = [(number, target, max(0, seen - draw(st.sampled_from([0] * 9 + [1]))))]
        once, refusal = self._draw_once(data, org), None
        if isinstance(once, MutationKey) and kind == "empty":
            refusal = Refusal(draw(OUTCOMES), "c", draw(TEXTS), number, target, ORG_SCOPE, "{}")
        epoch = self._organisation(org).head.epoch
        write = self._write(
            org,
            ops,
            [] if kind == "again" else reads,
            once=once,
            body_hash=_body(draw(st.sampled_from([0, 0, 0, 1]))),
            reply=draw(TEXTS),
            refusal=refusal,
            grants_change=any(op.collection == MEMBERSHIPS for op in ops),
            epoch=max(0, epoch + draw(st.sampled_from([0] * 30 + [-1, 1]))),
        )
        return write, before

    def _draw_op(
        self, data: st.DataObject, kind: str, key: Key, stored: StoredRow | None
    ) -> list[RowOp]:
        number, target = key
        doc = {name: data.draw(strategy) for name, strategy in DOCS[number].items()}
        if kind == "change" and stored is None:
            return [self._op("insert", number, target, doc)]
        if stored is None:
            return []
        before = msgspec.json.decode(stored.doc)
        if kind == "again":
            return [RowOp("insert", number, target, stored.scope, stored.doc)]
        if kind == "delete":
            return [RowOp("delete", number, target, stored.scope, stored.doc)]
        if "property_id" in doc and number != MEMBERSHIPS:
            doc["property_id"] = before["property_id"]
        changed = tuple(name for name in doc if doc[name] != before[name])
        if kind == "empty" or not changed:
            return []
        diff = difference(before, doc, changed)
        return [RowOp("update", number, target, stored.scope, doc_text(doc), changed, diff)]

    def _draw_once(self, data: st.DataObject, org: int) -> IdempotencyKey | MutationKey | None:
        kind = data.draw(st.sampled_from(["none", "none", "key", "number", "number"]))
        if kind == "none":
            return None
        user = data.draw(st.sampled_from([ANNA] * 9 + [BEN]))
        if kind == "key":
            return IdempotencyKey(user, data.draw(st.sampled_from(KEYS)))
        phone = data.draw(st.sampled_from(PHONES))
        _, last = self._organisation(org).devices.get(phone, (user, 0))
        step = data.draw(st.sampled_from([0, 1, 1, 1, 1, 2, 2, 3]))
        return MutationKey(user, phone, max(1, last + step))

    def _op(self, op: Any, number: int, target: UUID, doc: dict[str, Any]) -> RowOp:
        return RowOp(op, number, target, scope_of(number, target, doc), doc_text(doc))

    def _write(
        self, org: int, ops: list[RowOp], reads: list[tuple[int, UUID, int]], **more: Any
    ) -> PlannedWrite:
        plain: dict[str, Any] = {"epoch": 1, "once": None, "body_hash": _body(0), "reply": ""}
        plain["author"] = author_of(more.get("once"))
        items = tuple(ReadSetItem(*each) for each in reads)
        return PlannedWrite(org_id=org, ops=tuple(ops), reads=items, **(plain | more))


_UNORDERED = ("breakfast", "status", "role", "memo", "note", "name", "person")
"""Fields whose texts sort by the database's collation, or that nobody orders by."""


def _is_value(value: object) -> bool:
    return value is not None


def _operators(name: str) -> list[str]:
    order = [] if name in _UNORDERED else ["lt", "le", "gt", "ge"]
    return ["eq", "ne", "null", *order]


def _body(n: int) -> bytes:
    return bytes([n]) * 32


# Without shrinking: it takes minutes here, and the blob that is printed replays the failure.
BOUNDS = settings(
    max_examples=60, stateful_step_count=30, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)


def test_no_history_tells_the_stores_apart(trial_database: str, request_role: RequestRole):
    with asyncio.Runner() as runner:
        opened = PostgresSubject.open(trial_database, request_role)
        subject = runner.run(opened.__aenter__())
        try:
            Stores.make = lambda _: Pair(runner, subject)
            run_state_machine_as_test(Stores, settings=BOUNDS)
        finally:
            runner.run(opened.__aexit__(None, None, None))
