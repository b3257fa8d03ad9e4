"""Cases: a write that is taken, what it leaves, and what it may rest on.

Owns versions, rows, versions of fields, read sets and batches. Promises to look at rows through
`read` and `head` only. Never looks at keys, numbers or constraints.
"""

from __future__ import annotations

from typing import Final

from serai.core.ids import ORG_SCOPE, uuid7
from serai.ports.store import Committed, Stale
from serai.testing.store_conformance.desk import ANNA, Case, Desk, doc_of
from serai.testing.vertical import GUESTS, MEMBERSHIPS, PROPERTIES, STAYS, WAGES


async def a_new_organisation_is_empty_and_made_once(desk: Desk) -> None:
    """`create_org` gives epoch 1 and version 0, and leaves an organisation that is there alone."""
    org = await desk.subject.new_org()
    head = await desk.store.head(org)
    assert head is not None
    assert (head.epoch, head.version, head.floor, head.state) == (1, 0, 0, "active")
    before = await desk.store.head(desk.org)
    await desk.store.create_org(desk.org)
    assert await desk.store.head(desk.org) == before
    assert await desk.version() == 2


async def a_batch_of_nothing_is_nothing(desk: Desk) -> None:
    """No writes, no outcomes; no keys, no rows."""
    assert await desk.store.commit([]) == []
    assert await desk.store.read([]) == []
    assert await desk.version() == 2


async def a_row_is_read_back_as_it_was_written(desk: Desk) -> None:
    """Text byte for byte, scope and versions as written."""
    op = desk.guest(name='Zoë "\\" \u2028 \uffff \U0001f71a', note="{version} %s $1 \n\t'--")
    assert await desk.done(desk.plan(op)) == 3
    row = await desk.stored(GUESTS, op.id)
    assert row is not None
    assert (row.doc, row.scope, row.version, row.created_version) == (op.doc, ORG_SCOPE, 3, 3)
    assert row.field_versions == {}


async def reads_answer_in_the_order_of_their_keys(desk: Desk) -> None:
    """Missing rows are None; a key may stand twice; another organisation's row is not there."""
    other = await Desk.open(desk.subject)
    keys = [
        (desk.org, PROPERTIES, desk.hill),
        (desk.org, PROPERTIES, uuid7()),
        (other.org, PROPERTIES, desk.hill),
        (desk.org, GUESTS, desk.hill),
        (desk.org, PROPERTIES, desk.sea),
        (desk.org, PROPERTIES, desk.hill),
        (other.org, PROPERTIES, other.sea),
    ]
    rows = await desk.store.read(keys)
    names = [None if row is None else doc_of(row)["name"] for row in rows]
    assert names == ["hill", None, None, None, "sea", "hill", "sea"]


async def an_update_says_which_fields_it_changed(desk: Desk) -> None:
    """Each field has the version of its last change; the insert's is not repeated."""
    op = desk.guest()
    await desk.done(desk.plan(op))
    assert await desk.update(GUESTS, op.id, name="Bea") == 4
    assert await desk.update(GUESTS, op.id, note="n", card="c") == 5
    assert await desk.update(GUESTS, op.id, note="m") == 6
    row = await desk.stored(GUESTS, op.id)
    assert row is not None
    assert doc_of(row) == {"name": "Bea", "card": "c", "note": "m"}
    assert row.field_versions == {"name": 4, "card": 5, "note": 6}
    assert (row.version, row.created_version) == (6, 3)


async def a_deleted_row_is_gone(desk: Desk) -> None:
    """A delete takes a version of its own and the row is not read any more."""
    op = desk.guest()
    await desk.done(desk.plan(op))
    assert await desk.delete(GUESTS, op.id) == 4
    assert await desk.stored(GUESTS, op.id) is None
    assert await desk.version() == 4


async def rows_of_one_write_share_its_version(desk: Desk) -> None:
    """A write is one version, whatever it changes, in any collection."""
    guest = desk.guest()
    stay, wage = desk.stay(guest.id, property_id=str(desk.hill)), desk.wage()
    assert await desk.done(desk.plan(stay, wage, guest)) == 3
    rows = [
        await desk.stored(number, op.id)
        for number, op in ((GUESTS, guest), (STAYS, stay), (WAGES, wage))
    ]
    assert [row and (row.version, row.scope) for row in rows] == [
        (3, ORG_SCOPE),
        (3, desk.hill),
        (3, desk.sea),
    ]


async def writes_of_a_batch_get_versions_in_their_order(desk: Desk) -> None:
    """Per organisation dense and rising, whatever stands between."""
    other = await Desk.open(desk.subject)
    writes = [d.plan(d.guest(name=str(n))) for n, d in enumerate([desk, other, other, desk, other])]
    assert await desk.commit(*writes) == [Committed(v) for v in (3, 3, 4, 4, 5)]
    for write, version in zip(writes, (3, 3, 4, 4, 5), strict=True):
        (row,) = await desk.store.read([(write.org_id, GUESTS, write.ops[0].id)])
        assert row is not None
        assert (row.version, row.doc) == (version, write.ops[0].doc)


async def a_write_without_rows_takes_no_version(desk: Desk) -> None:
    """It is answered with the version that the organisation has then, also inside a batch."""
    empty, full = desk.plan(), desk.plan(desk.guest())
    assert await desk.commit(empty, full, desk.plan()) == [Committed(2), Committed(3), Committed(3)]
    assert await desk.version() == 3


async def a_write_that_saw_an_old_row_is_stale(desk: Desk) -> None:
    """It changes nothing; its neighbours are taken; decided again it passes."""
    op = desk.guest()
    await desk.done(desk.plan(op))
    old = await desk.change(GUESTS, op.id, name="old")
    await desk.update(GUESTS, op.id, note="moved")
    neighbour = desk.plan(desk.guest("neighbour"))
    assert await desk.commit(old, neighbour) == [Stale(), Committed(5)]
    row = await desk.stored(GUESTS, op.id)
    assert row is not None
    assert doc_of(row) == {"name": "Ada", "card": None, "note": "moved"}
    assert await desk.update(GUESTS, op.id, name="new") == 6


async def a_row_that_should_not_be_there_makes_a_write_stale(desk: Desk) -> None:
    """Version 0 in a read set says: there is no such row."""
    absent = uuid7()
    assert await desk.done(desk.plan(desk.guest(), reads=[(GUESTS, absent, 0)])) == 3
    assert await desk.commit_one(desk.plan(desk.guest(), reads=[(PROPERTIES, desk.sea, 0)])) == (
        Stale()
    )
    assert await desk.commit_one(desk.plan(desk.guest(), reads=[(GUESTS, absent, 1)])) == Stale()


async def a_deleted_row_makes_a_write_that_saw_it_stale(desk: Desk) -> None:
    """A decision on a row does not hold once the row is gone."""
    op = desk.guest()
    version = await desk.done(desk.plan(op))
    await desk.delete(GUESTS, op.id)
    write = desk.plan(desk.guest("other"), reads=[(GUESTS, op.id, version)])
    assert await desk.commit_one(write) == Stale()
    assert await desk.version() == 4


async def rows_that_were_only_looked_at_count(desk: Desk) -> None:
    """A decision that rests on another row is stale when that row has moved."""
    write = desk.plan(desk.guest(), reads=[(PROPERTIES, desk.sea, 1), (PROPERTIES, desk.hill, 2)])
    await desk.update(PROPERTIES, desk.hill, name="top")
    assert await desk.commit_one(write) == Stale()


async def grants_are_what_the_memberships_say(desk: Desk) -> None:
    """`grants` reads them with the version of their last change; others' are not among them."""
    assert await desk.store.grants(desk.org, ANNA) == (0, [])
    everywhere = desk.row(MEMBERSHIPS, uuid7(), user_id=str(ANNA), role="owner")
    here = desk.row(
        MEMBERSHIPS, uuid7(), user_id=str(ANNA), role="clerk", property_id=str(desk.hill)
    )
    other = desk.row(MEMBERSHIPS, uuid7(), user_id=str(uuid7()), role="owner")
    await desk.done(desk.plan(everywhere, grants_change=True))
    await desk.done(desk.plan(here, grants_change=True))
    await desk.done(desk.plan(other, grants_change=True))
    await desk.done(desk.plan(desk.guest()))
    version, held = await desk.store.grants(desk.org, ANNA)
    assert version == 5, "a guest changes nobody's grants"
    assert sorted(held, key=str) == sorted([("owner", None), ("clerk", desk.hill)], key=str)
    elsewhere = await desk.subject.new_org()
    assert await desk.store.grants(elsewhere, ANNA) == (0, [])


async def the_version_of_grants_is_the_one_of_the_write_that_changed_them(desk: Desk) -> None:
    """Also in a batch: neighbours before and after do not count."""
    owner = desk.row(MEMBERSHIPS, uuid7(), user_id=str(ANNA), role="owner")
    writes = (
        desk.plan(desk.guest("1")),
        desk.plan(owner, grants_change=True),
        desk.plan(desk.guest("2")),
    )
    assert await desk.commit(*writes) == [Committed(3), Committed(4), Committed(5)]
    head = await desk.store.head(desk.org)
    assert head is not None
    assert (head.version, head.grants_version) == (5, 4)


async def what_is_committed_outlives_the_process(desk: Desk) -> None:
    """Rows, versions and the next version are those of before."""
    op = desk.guest()
    await desk.done(desk.plan(op))
    before = await desk.stored(GUESTS, op.id)
    await desk.subject.restart()
    assert await desk.stored(GUESTS, op.id) == before
    assert await desk.update(GUESTS, op.id, name="Bea") == 4


CASES: Final[tuple[Case, ...]] = (
    a_new_organisation_is_empty_and_made_once,
    a_batch_of_nothing_is_nothing,
    a_row_is_read_back_as_it_was_written,
    reads_answer_in_the_order_of_their_keys,
    an_update_says_which_fields_it_changed,
    a_deleted_row_is_gone,
    rows_of_one_write_share_its_version,
    writes_of_a_batch_get_versions_in_their_order,
    a_write_without_rows_takes_no_version,
    a_write_that_saw_an_old_row_is_stale,
    a_row_that_should_not_be_there_makes_a_write_stale,
    a_deleted_row_makes_a_write_that_saw_it_stale,
    rows_that_were_only_looked_at_count,
    grants_are_what_the_memberships_say,
    the_version_of_grants_is_the_one_of_the_write_that_changed_them,
    what_is_committed_outlives_the_process,
)
