"""Cases: a shard takes writes only for organisations that live there, in their present epoch.

Owns states, epochs and organisations that are not here. Promises that a fenced write changes
nothing and that its neighbours of other organisations are taken. Never moves data.
"""

from __future__ import annotations

from typing import Final

from serai.core.errors import Code
from serai.core.ids import uuid7
from serai.ports.store import Committed, Fenced, IdempotencyKey, ListQuery, Replayed
from serai.testing.store_conformance.desk import ALL_COLLECTIONS, ANNA, Case, Desk
from serai.testing.vertical import GUESTS


async def a_write_of_another_epoch_is_fenced(desk: Desk) -> None:
    """Older or newer; it is told the present one, and passes under that."""
    await desk.subject.raise_epoch(desk.org)
    guest = desk.guest()
    assert await desk.commit_one(desk.plan(guest, epoch=1)) == Fenced(Code.ORG_MOVED, 2)
    assert await desk.commit_one(desk.plan(guest, epoch=3)) == Fenced(Code.ORG_MOVED, 2)
    head = await desk.store.head(desk.org)
    assert head is not None
    assert (head.epoch, head.version) == (2, 2)
    assert await desk.done(desk.plan(guest, epoch=2)) == 3


async def an_organisation_that_is_being_moved_takes_no_write(desk: Desk) -> None:
    """It is frozen and reads on; made active again it goes on where it was."""
    await desk.subject.set_state(desk.org, "frozen")
    write = desk.plan(desk.guest())
    assert await desk.commit_one(write) == Fenced(Code.ORG_FROZEN, 0)
    head = await desk.store.head(desk.org)
    assert head is not None
    assert (head.state, head.version) == ("frozen", 2)
    await desk.subject.set_state(desk.org, "active")
    assert await desk.done(write) == 3


async def an_organisation_that_has_moved_takes_no_write(desk: Desk) -> None:
    """Neither one that was never here."""
    await desk.subject.set_state(desk.org, "moved")
    nobody = await desk.subject.new_org() + 1_000_000
    outcomes = await desk.commit(desk.plan(desk.guest()), desk.plan(desk.guest(), org_id=nobody))
    assert outcomes == [Fenced(Code.ORG_MOVED, 0), Fenced(Code.ORG_MOVED, 0)]


async def the_fence_stops_only_the_organisation_concerned(desk: Desk) -> None:
    """Neighbours in the batch are taken."""
    other = await Desk.open(desk.subject)
    await desk.subject.set_state(desk.org, "frozen")
    outcomes = await desk.commit(
        other.plan(other.guest("1")), desk.plan(desk.guest()), other.plan(other.guest("2"))
    )
    assert outcomes == [Committed(3), Fenced(Code.ORG_FROZEN, 0), Committed(4)]


async def the_fence_stands_before_the_key(desk: Desk) -> None:
    """A shard that is not the organisation's home knows nothing of its keys."""
    write = desk.plan(desk.guest(), once=IdempotencyKey(ANNA, "1"), reply="first")
    await desk.done(write)
    await desk.subject.set_state(desk.org, "moved")
    assert await desk.commit_one(write) == Fenced(Code.ORG_MOVED, 0)
    await desk.subject.set_state(desk.org, "active")
    assert await desk.commit_one(write) == Replayed(3, "first", same_body=True)


async def an_organisation_that_is_not_here_reads_as_nothing(desk: Desk) -> None:
    """Every read of it answers, and is empty."""
    org = await desk.subject.new_org() + 1_000_000
    store, someone = desk.store, uuid7()
    assert await store.head(org) is None
    assert await store.read([(org, GUESTS, someone)]) == [None]
    assert await store.replayed(org, IdempotencyKey(someone, "1"), bytes(32)) is None
    page = await store.log_page(org, 0, scan=10, scopes=None, collections=ALL_COLLECTIONS)
    assert page is None
    filled = await store.snapshot_page(org, [(someone, GUESTS)], None, rows=9, max_bytes=9999)
    assert (filled.rows, filled.done) == ([], 1)
    assert await store.grants(org, someone) == (0, [])
    assert await store.list_rows(ListQuery(org, GUESTS, None)) == []
    assert await store.refusals(org, user_id=None, after=0, limit=10) == []
    assert await store.refusal(org, someone, 1) is None


CASES: Final[tuple[Case, ...]] = (
    a_write_of_another_epoch_is_fenced,
    an_organisation_that_is_being_moved_takes_no_write,
    an_organisation_that_has_moved_takes_no_write,
    the_fence_stops_only_the_organisation_concerned,
    the_fence_stands_before_the_key,
    an_organisation_that_is_not_here_reads_as_nothing,
)
