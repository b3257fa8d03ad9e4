"""Cases: the audit record says who did what, before and after, and nothing is missing in it.

Owns the entries of each kind of write, their chain, and how they are read. The expected hashes are
computed here from the text that `serai.log.audit` documents, not by its code. Never damages a
record: what a store cannot be asked to do is in the tests of the adapter.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final
from uuid import UUID

import msgspec

from serai.core.ids import ORG_SCOPE, uuid7
from serai.log.verify import verify
from serai.ports.store import (
    AuditEntry,
    Author,
    Committed,
    Denial,
    Failed,
    IdempotencyKey,
    Replayed,
    Stale,
)
from serai.testing.store_conformance.desk import (
    ANNA,
    BEN,
    SESSION,
    Case,
    Desk,
    Doc,
    doc_text,
    mutation,
    refused,
)
from serai.testing.vertical import GUESTS, PROPERTIES, STAYS

ZERO: Final = bytes(32)


async def each_change_has_an_entry_with_before_and_after(desk: Desk) -> None:
    """Who, from where, which row; the row after an insert, fields of an update, the row before."""
    guest = desk.guest(note="x")
    await desk.done(desk.plan(guest))
    await desk.update(GUESTS, guest.id, name="Eda", note=None)
    await desk.delete(GUESTS, guest.id)
    entries = (await _entries(desk))[2:]
    gone: Doc = {"name": "Eda", "card": None, "note": None}
    assert [(e.number, e.version, e.op, e.content) for e in entries] == [
        (3, 3, "insert", '{"name":"Ada","card":null,"note":"x"}'),
        (4, 4, "update", '{"name":["Ada","Eda"],"note":["x",null]}'),
        (5, 5, "delete", doc_text(gone)),
    ]
    for entry in entries:
        assert (entry.user_id, entry.device_id, entry.via) == (ANNA, SESSION, "rest")
        where = (entry.org_id, entry.collection, entry.row_id, entry.scope)
        assert where == (desk.org, GUESTS, guest.id, ORG_SCOPE)


async def the_device_of_a_mutation_is_in_its_entry(desk: Desk) -> None:
    """A push is told from a browser, one person from another."""
    phone = uuid7()
    await desk.done(desk.plan(desk.guest(), once=mutation(phone, 1, BEN)))
    await desk.done(desk.plan(desk.guest("2"), author=Author(BEN, None, "import")))
    entries = (await _entries(desk))[2:]
    said = [(e.user_id, e.device_id, e.via) for e in entries]
    assert said == [(BEN, phone, "push"), (BEN, None, "import")]


async def rows_of_one_write_share_its_version(desk: Desk) -> None:
    """And have entries of their own, in their order; numbers go on over writes of one batch."""
    guests = [desk.guest(str(n)) for n in range(5)]
    await desk.commit(desk.plan(*guests[:3]), desk.plan(), desk.plan(*guests[3:]))
    entries = (await _entries(desk))[2:]
    assert [(e.number, e.version) for e in entries] == [(3, 3), (4, 3), (5, 3), (6, 4), (7, 4)]
    assert [e.row_id for e in entries] == [g.id for g in guests]


async def every_entry_is_chained_to_the_one_before(desk: Desk) -> None:
    """By the documented text, over batches with several organisations and texts of any kind."""
    other = await Desk.open(desk.subject)
    strange = 'Zoë "\\" \n\u2028\uffff\U0001f71a'
    await desk.commit(
        desk.plan(desk.guest(strange)), other.plan(other.guest()), desk.plan(desk.guest("b"))
    )
    await desk.commit(other.plan(other.guest("c")), desk.plan(desk.stay(uuid7())))
    await desk.commit(desk.plan(once=mutation(uuid7(), 1), refusal=refused(uuid7())))
    for each in (desk, other):
        hashed = ZERO
        entries = await _entries(each)
        for number, entry in enumerate(entries, 1):
            text = _text(entry)
            hashed = hashlib.sha256(hashed + text.encode()).digest()
            assert (entry.number, entry.hash) == (number, hashed)
        page = await each.store.audit_page(each.org, 0, limit=1)
        assert page is not None
        assert (page.number, page.hash, page.anchor) == (len(entries), hashed, (0, ZERO))
        assert (await verify(each.store, each.org)).broken is None


async def an_empty_record_begins_with_zeroes(desk: Desk) -> None:
    """An organisation to which nothing has happened has a head and no entries."""
    fresh = await desk.subject.new_org()
    page = await desk.store.audit_page(fresh, 0, limit=10)
    assert page is not None
    assert (page.number, page.hash, page.anchor, page.entries) == (0, ZERO, (0, ZERO), [])
    assert await desk.store.audit_page(fresh + 10**15, 0, limit=10) is None


async def a_refusal_and_a_denial_are_entries_without_what_was_sent(desk: Desk) -> None:
    """They take no version; the reason is cut, the body stays out."""
    phone, row = uuid7(), uuid7()
    refusal = msgspec.structs.replace(refused(row, scope=desk.hill), body='{"password":"hush"}')
    await desk.done(desk.plan(once=mutation(phone, 1, BEN), refusal=refusal))
    denial = Denial("update", "forbidden", "Your role " + "x" * 600, STAYS, row, desk.sea, 7)
    assert await desk.commit_one(desk.plan(denial=denial)) == Committed(2)
    first, second = (await _entries(desk))[2:]
    assert (first.op, first.version, first.user_id, first.device_id) == ("refuse", 2, BEN, phone)
    assert (first.collection, first.row_id, first.scope) == (GUESTS, row, desk.hill)
    assert first.content == '{"outcome":"rejected","code":"rule","reason":"No."}'
    assert (second.op, second.version, second.scope) == ("refuse", 2, desk.sea)
    said = msgspec.json.decode(second.content)
    assert said.pop("reason") == "Your role " + "x" * 490
    assert said == {"outcome": "denied", "code": "forbidden", "asked": "update", "more": 7}
    assert await desk.version() == 2
    kept = await desk.store.refusals(desk.org, user_id=None, after=0, limit=10)
    assert [each.row_id for each in (k.refusal for k in kept)] == [row]


async def what_was_not_done_is_not_recorded(desk: Desk) -> None:
    """Neither stale nor failed writes, nor repetitions, nor a write without rows."""
    key = IdempotencyKey(ANNA, "key")
    await desk.done(desk.plan(desk.guest(), once=key))
    assert isinstance(await desk.commit_one(desk.plan(desk.guest("2"), once=key)), Replayed)
    stale = desk.plan(desk.guest("3"), reads=[(PROPERTIES, desk.sea, 99)])
    assert await desk.commit_one(stale) == Stale()
    assert isinstance(await desk.commit_one(desk.plan(desk.guest(name=None))), Failed)
    assert await desk.commit_one(desk.plan()) == Committed(3)
    assert [e.number for e in await _entries(desk)] == [1, 2, 3]


async def of_a_batch_the_taken_writes_are_recorded(desk: Desk) -> None:
    """In a chain without a hole, though one in the middle was refused by a constraint."""
    outcomes = await desk.commit(
        *(desk.plan(desk.guest(None if n == 3 else str(n))) for n in range(8))
    )
    assert sum(isinstance(o, Committed) for o in outcomes) == 7
    entries = await _entries(desk)
    assert [(e.number, e.version) for e in entries] == [(n, n) for n in range(1, 10)]
    assert (await verify(desk.store, desk.org)).broken is None


async def writers_at_the_same_moment_make_one_chain(desk: Desk) -> None:
    """Each entry once, whoever came first."""
    batches = [[desk.plan(desk.guest(f"{n} {m}")) for m in range(4)] for n in range(6)]
    await asyncio.gather(*(desk.store.commit(batch) for batch in batches))
    report = await verify(desk.store, desk.org)
    assert (report.broken, report.number, report.entries) == (None, 26, 26)


async def the_record_outlives_log_replies_and_process(desk: Desk) -> None:
    """It is the same after the horizon has passed and another process has started."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    await desk.update(GUESTS, guest.id, note="x")
    before = await _entries(desk)
    await desk.subject.prune(desk.org, 4)
    await desk.subject.forget_replies(desk.org)
    await desk.subject.restart()
    assert await _entries(desk) == before
    page = await desk.store.audit_page(desk.org, 0, limit=10)
    assert page is not None
    assert page.changes == [None] * 4
    assert (await verify(desk.store, desk.org)).broken is None


async def entries_are_read_in_pages_both_ways(desk: Desk) -> None:
    """Oldest first to verify, newest first for people, of a row or a user or of all."""
    guest = desk.guest()
    await desk.done(desk.plan(guest, author=Author(BEN, None, "rest")))
    await desk.done(desk.plan(desk.guest("2")))
    await desk.update(GUESTS, guest.id, note="x")
    read = desk.store.audit_list
    assert [e.number for e in await read(desk.org, before=None, limit=3)] == [5, 4, 3]
    assert [e.number for e in await read(desk.org, before=3, limit=3)] == [2, 1]
    of_row = await read(desk.org, before=None, row_id=guest.id, limit=9)
    assert [e.number for e in of_row] == [5, 3]
    of_user = await read(desk.org, before=None, user_id=BEN, limit=9)
    assert [e.number for e in of_user] == [3]
    assert await read(desk.org, before=None, row_id=guest.id, user_id=uuid7(), limit=9) == []
    pages = [await desk.store.audit_page(desk.org, after, limit=2) for after in (0, 2, 4, 5)]
    assert [[e.number for e in p.entries] if p else None for p in pages] == [
        [1, 2],
        [3, 4],
        [5],
        [],
    ]


async def _entries(desk: Desk) -> list[AuditEntry]:
    page = await desk.store.audit_page(desk.org, 0, limit=1000)
    assert page is not None
    return page.entries


def _text(e: AuditEntry) -> str:
    """Return the canonical text, written by hand from the documentation."""
    device = f"{e.device_id}" if isinstance(e.device_id, UUID) else ""
    head = f"{e.org_id}\n{e.number}\n{e.version}\n{e.at}\n{e.user_id}\n{device}\n{e.via}\n{e.op}"
    return f"{head}\n{e.collection}\n{e.row_id}\n{e.scope}\n{e.content}"


CASES: Final[tuple[Case, ...]] = (
    each_change_has_an_entry_with_before_and_after,
    the_device_of_a_mutation_is_in_its_entry,
    rows_of_one_write_share_its_version,
    every_entry_is_chained_to_the_one_before,
    an_empty_record_begins_with_zeroes,
    a_refusal_and_a_denial_are_entries_without_what_was_sent,
    what_was_not_done_is_not_recorded,
    of_a_batch_the_taken_writes_are_recorded,
    writers_at_the_same_moment_make_one_chain,
    the_record_outlives_log_replies_and_process,
    entries_are_read_in_pages_both_ways,
)
