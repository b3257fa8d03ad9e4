"""The past of rows from the audit record: what was, at each version, whatever happened since.

Owns random histories on the store in memory, whose record is made by other code than the one that
is tried here. Promises that the state at every version is noted when it is the present.
"""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serai.adapters.memory import MemoryStore
from serai.core.clock import SystemClock
from serai.core.errors import Code, SeraiError
from serai.core.ids import ORG_SCOPE
from serai.log.audit import difference
from serai.log.past import CHANGES, Past, agrees, changed, looked_back, packed, then, unpacked
from serai.model import Row
from serai.ports.store import AuditEntry, Author, Committed, PlannedWrite, Refusal, RowOp
from serai.testing.vertical import VERTICAL

ORG = 1
GUESTS = VERTICAL.by_name["guests"].number
USER = UUID(int=7)
State = dict[UUID, Row]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "refuse"]),
        st.integers(1, 4),
        st.sampled_from(["a", "b", "ß \u2028"]),
        st.sampled_from(["c", None]),
    ),
    max_size=30,
)


def text(row: Row) -> str:
    return msgspec.json.encode(row).decode()


def planned(row_id: UUID, before: Row | None, after: Row | None) -> PlannedWrite:
    """Return the write that makes `after` of `before`; both None: a refusal."""
    refusal = None
    ops: tuple[RowOp, ...] = ()
    if before is None and after is None:
        refusal = Refusal("rejected", "rule", "no", GUESTS, row_id, ORG_SCOPE, "{}")
    elif after is None:
        assert before is not None
        ops = (RowOp("delete", GUESTS, row_id, ORG_SCOPE, text(before)),)
    elif before is None:
        ops = (RowOp("insert", GUESTS, row_id, ORG_SCOPE, text(after)),)
    else:
        names = tuple(name for name in after if after[name] != before[name])
        diff = difference(before, after, names)
        ops = (RowOp("update", GUESTS, row_id, ORG_SCOPE, text(after), names, diff),)
    author = Author(USER, None, "rest")
    return PlannedWrite(ORG, 1, ops, (), None, bytes(32), "{}", author, refusal=refusal)


async def lived(steps: list[tuple[str, int, str, str | None]]) -> tuple[MemoryStore, list[State]]:
    """Write a history; return the store, and the state at each version from 0 on."""
    store = MemoryStore(VERTICAL, SystemClock())
    await store.create_org(ORG)
    now: State = {}
    states: list[State] = [{}]
    # An id that was deleted is never used again.
    ids = {n: UUID(int=n) for n in range(1, 5)}
    for n, (what, which, name, card) in enumerate(steps, 100):
        row_id = ids[which]
        before = now.get(row_id)
        after: Row | None = None
        if what == "put":
            after = {"name": f"{name}{row_id}", "card": card}
            if after == before:
                continue
        elif what == "delete":
            if before is None:
                continue
            ids[which] = UUID(int=n)
        write = planned(row_id, None if what == "refuse" else before, after)
        assert isinstance((await store.commit([write]))[0], Committed)
        if what != "refuse":
            now = {k: v for k, v in now.items() if k != row_id}
            now |= {} if after is None else {row_id: after}
            states.append(now)
    return store, states


async def record(store: MemoryStore) -> list[AuditEntry]:
    page = await store.audit_page(ORG, 0, limit=1000)
    assert page is not None
    return page.entries


@given(STEPS)
@settings(deadline=None)
async def test_the_state_at_every_version_is_told_by_the_record_since(
    steps: list[tuple[str, int, str, str | None]],
) -> None:
    store, states = await lived(steps)
    entries = await record(store)
    keys = list({entry.row_id for entry in entries})
    present = dict(zip(keys, await store.read([(ORG, GUESTS, k) for k in keys]), strict=True))
    for at, was in enumerate(states):
        pasts: dict[UUID, Past] = {}
        for entry in entries:
            if entry.version > at and entry.op in CHANGES:
                past = looked_back(pasts.get(entry.row_id), entry)
                pasts[entry.row_id] = unpacked(packed(past))
        found = {k: row.doc for k, row in present.items() if row is not None}
        for row_id, past in pasts.items():
            row = present[row_id]
            assert agrees(past, None if row is None else row.version)
            doc = then(past, None if row is None else row.doc)
            found.pop(row_id, None)
            if doc is not None:
                found[row_id] = doc
        # As text: fields in their order too.
        assert found == {row_id: text(row) for row_id, row in was.items()}


async def test_a_record_that_contradicts_itself_is_refused() -> None:
    store, _ = await lived([("put", 1, "a", None), ("put", 1, "b", None), ("delete", 1, "", None)])
    insert, update, delete = await record(store)
    inserted = looked_back(None, insert)
    deleted = looked_back(looked_back(inserted, update), delete)
    for past, entry in ((inserted, insert), (deleted, update), (deleted, delete)):
        with pytest.raises(SeraiError) as refused:
            looked_back(past, entry)
        assert refused.value.code is Code.CONFLICT


async def test_a_row_that_is_not_the_one_of_the_record_is_noticed() -> None:
    store, _ = await lived([("put", 1, "a", None), ("put", 1, "b", None), ("delete", 1, "", None)])
    insert, update, delete = await record(store)
    past = looked_back(looked_back(None, insert), update)
    assert agrees(past, 2)
    assert not agrees(past, 1)
    assert not agrees(past, None)
    gone = looked_back(past, delete)
    assert agrees(gone, None)
    assert not agrees(gone, 2)


def test_what_differs_is_told_by_field_also_where_one_side_lacks_it() -> None:
    assert changed('{"a":1,"b":2}', '{"b":3,"c":null,"d":4}') == {
        "a": (1, None),
        "b": (2, 3),
        "d": (None, 4),
    }
