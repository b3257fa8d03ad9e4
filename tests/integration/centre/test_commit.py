"""A commit on real PostgreSQL: many writers, one bad row, a connection that dies.

Owns what the conformance suite cannot reach: many processes on one shard, a server that ends the
connection in the middle, an answer that is lost on the way, constraints that only SQL knows.
Promises that no test waits for time to pass. Never looks at plans.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from integration.centre.people import Owner, subject_of
from serai.core.errors import Code, SeraiError
from serai.core.ids import uuid7
from serai.log.coalesce import Coalescer
from serai.log.intent import RowIntent, WriteIntent
from serai.log.postgres import PostgresStore
from serai.model.fields import Value
from serai.ports.store import Committed, Failed, IdempotencyKey, Outcome, Replayed, Stale
from serai.shard.pools import PinnedPool
from serai.testing.store_conformance import Desk
from serai.testing.store_conformance.desk import ANNA, doc_of
from serai.testing.vertical import GUESTS, PAYMENTS, STAYS, VERTICAL


async def test_constraints_that_only_sql_knows_are_told_by_their_message(store: PostgresStore):
    desk = await Desk.open(subject_of(store))
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    arrived = await desk.commit_one(desk.plan(desk.stay(guest.id, status="arrived")))
    assert arrived == Failed(Code.CONSTRAINT, "A room, please", ())
    nothing: dict[str, Value] = {"amount_minor": 0, "amount_currency": "EUR"}
    for day in ("2026-01-31", "1999-01-01"):
        payment = desk.row(PAYMENTS, uuid7(), business_date=day, **nothing)
        assert await desk.commit_one(desk.plan(payment)) == Failed(
            Code.CONSTRAINT, "An amount is not zero", ()
        )


@pytest.mark.parametrize(
    ("nights", "taken"),
    [(2**63 - 1, True), (-(2**63), True), (2**63, False), (-(2**63) - 1, False)],
)
async def test_numbers_are_kept_to_the_last_of_64_bits(
    store: PostgresStore, sql: psycopg.Connection, nights: int, taken: bool
):
    desk = await Desk.open(subject_of(store))
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    stay = desk.stay(guest.id, nights=nights)
    outcome = await desk.commit_one(desk.plan(stay))
    assert isinstance(outcome, Committed if taken else Failed)
    kept = sql.execute("SELECT nights FROM trial.stays WHERE org_id = %s", (desk.org,)).fetchall()
    assert kept == ([(nights,)] if taken else [])
    row = await desk.stored(STAYS, stay.id)
    assert (row is not None and doc_of(row)["nights"] == nights) is taken


async def test_one_bad_row_among_sixty_four_fails_alone(store: PostgresStore):
    desk, other = await Desk.open(subject_of(store)), await Desk.open(subject_of(store))
    writes = [d.plan(d.guest(str(n))) for n in range(32) for d in (desk, other)]
    writes[37] = desk.plan(desk.guest(name=None))
    outcomes = await desk.commit(*writes)
    assert [n for n, o in enumerate(outcomes) if isinstance(o, Failed)] == [37]
    assert [(await desk.version()), (await other.version())] == [34, 33]
    for d, last in ((desk, 34), (other, 33)):
        mine = [o for w, o in zip(writes, outcomes, strict=True) if w.org_id == d.org]
        versions = [o.version for o in mine if isinstance(o, Committed)]
        assert versions == list(range(3, last + 1))


async def test_many_processes_on_one_organisation_lose_no_update(shard_url: str, pool: PinnedPool):
    """Six queues, each with a pool of its own, add to the notes of three guests."""
    first = await Desk.open(subject_of(PostgresStore(pool, VERTICAL)))
    guests = [first.guest(str(n), note="") for n in range(3)]
    await first.done(first.plan(*guests))
    pools = [PinnedPool(shard_url, size_min=1, size_max=2, wait_seconds=60) for _ in range(6)]
    for each in pools:
        await each.open()
    try:
        queues = [PostgresStore(each, VERTICAL) for each in pools]
        await asyncio.gather(
            *(
                _append(
                    Desk(subject_of(s), first.org, first.sea, first.hill), guest.id, f"{n}.{m};"
                )
                for n, s in enumerate(queues)
                for m, guest in enumerate(guests * 2)
            )
        )
    finally:
        for each in pools:
            await each.close()
    for m, guest in enumerate(guests):
        row = await first.stored(GUESTS, guest.id)
        assert row is not None
        marks = str(doc_of(row)["note"]).split(";")[:-1]
        assert sorted(marks) == sorted(f"{n}.{k}" for n in range(6) for k in (m, m + 3))
    page = await first.store.log_page(first.org, 0, scan=1000, scopes=None, collections=-1)
    assert page is not None
    assert sorted({e.version for e in page.entries}) == list(range(1, 3 + 36 + 1))


async def _append(desk: Desk, guest_id: UUID, mark: str) -> None:
    """Add a mark to what is there, again until nobody was in between."""
    while True:
        (row,) = await desk.store.read([(desk.org, GUESTS, guest_id)])
        assert row is not None
        write = await desk.change(GUESTS, guest_id, note=f"{doc_of(row)['note']}{mark}")
        seen = [(i.collection, i.id, row.version) for i in write.reads]
        outcome = await desk.commit_one(desk.plan(*write.ops, reads=seen))
        assert isinstance(outcome, Committed | Stale), outcome
        if isinstance(outcome, Committed):
            return


async def test_batches_over_many_organisations_in_any_order_never_deadlock(store: PostgresStore):
    desks = [await Desk.open(subject_of(store)) for _ in range(6)]
    orders = [desks[n:] + desks[:n] for n in range(6)] + [desks[::-1]] * 2
    answers: list[list[Outcome]] = await asyncio.gather(
        *(
            store.commit([d.plan(d.guest(f"{b} {k}")) for d in order for k in range(2)])
            for b, order in enumerate(orders)
        )
    )
    assert all(isinstance(o, Committed) for batch in answers for o in batch)
    assert [await d.version() for d in desks] == [2 + 2 * len(orders)] * 6


async def test_a_connection_killed_before_the_commit_leaves_nothing_and_the_retry_one_effect(
    store: PostgresStore, sql: psycopg.Connection, shard_url: str
):
    desk = await Desk.open(subject_of(store))
    write = desk.plan(desk.guest(), once=IdempotencyKey(ANNA, "k"), reply="r")
    with psycopg.connect(shard_url) as blocker:
        blocker.execute("SELECT FROM serai.org WHERE org_id = %s FOR UPDATE", (desk.org,))
        task = asyncio.create_task(store.commit([write]))
        await _until_one_waits(sql)
        sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with pytest.raises(SeraiError) as raised:
            await task
    assert raised.value.code is Code.UNAVAILABLE
    assert await desk.version() == 2
    assert await desk.commit_one(write) == Committed(3)
    assert await desk.commit_one(write) == Replayed(3, "r", same_body=True)


async def _until_one_waits(sql: psycopg.Connection) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(60):
        while (sql.execute(query).fetchone() or (0,))[0] == 0:  # noqa: ASYNC110 - what the server does has no event
            await asyncio.sleep(0)


@dataclass
class Line:
    """A line to the server that can lose every answer."""

    url: str
    deaf: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.url)
        far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        self.writers += [writer, far_writer]
        await asyncio.gather(
            self._carry(reader, far_writer, answers=False),
            self._carry(far_reader, writer, answers=True),
        )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(65536):
            if answers and self.deaf:
                self.asked.set()
                continue
            writer.write(data)
        writer.close()


async def test_an_answer_lost_on_the_way_is_unknown_and_the_retry_gets_it(
    store: PostgresStore, shard_url: str
):
    desk = await Desk.open(subject_of(store))
    write = desk.plan(desk.guest(), once=IdempotencyKey(ANNA, "k"), reply="r")
    line = Line(shard_url)
    server = await asyncio.start_server(line.meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(shard_url)
    userinfo = parts.netloc.rpartition("@")[0]
    through = parts._replace(netloc=f"{userinfo}@127.0.0.1:{port}").geturl()
    async with server, PinnedPool(through, size_min=1, size_max=1) as pool:
        far = PostgresStore(pool, VERTICAL)
        await far.commit([desk.plan()])  # the statement is prepared: what follows is one message
        line.deaf = True
        task = asyncio.create_task(far.commit([write]))
        await line.asked.wait()
        for each in line.writers:
            each.close()
        with pytest.raises(SeraiError) as raised:
            await task
    assert raised.value.code is Code.UNAVAILABLE
    assert await desk.commit_one(write) == Replayed(3, "r", same_body=True)
    assert await desk.version() == 3


async def test_an_insert_of_an_id_that_exists_is_decided_again_on_the_row(store: PostgresStore):
    """The first decision takes new ids for new; the store finds out, and nothing is overwritten."""
    desk = await Desk.open(subject_of(store))
    guest = desk.guest(note="first")
    await desk.done(desk.plan(guest))
    queue = Coalescer(store, VERTICAL)
    fields: dict[str, Value] = {"name": "Other", "card": None, "note": None}
    wish = RowIntent(VERTICAL.by_number[GUESTS], "insert", guest.id, fields)
    with pytest.raises(SeraiError) as raised:
        await queue.submit(WriteIntent(desk.org, Owner(), (wish,), None, bytes(32)))
    assert raised.value.code is Code.ROW_EXISTS
    row = await desk.stored(GUESTS, guest.id)
    assert row is not None
    assert row.doc == guest.doc
    assert await desk.commit_one(desk.plan(guest)) == Stale()


async def test_one_insert_of_a_row_that_exists_costs_its_neighbours_nothing(store: PostgresStore):
    desk, other = await Desk.open(subject_of(store)), await Desk.open(subject_of(store))
    first = desk.guest(note="first")
    await desk.done(desk.plan(first))
    writes = [d.plan(d.guest(str(n))) for n in range(32) for d in (other, desk)]
    writes[37] = desk.plan(desk.row(GUESTS, first.id, name="Other"))
    outcomes = await desk.commit(*writes)
    assert [n for n, o in enumerate(outcomes) if not isinstance(o, Committed)] == [37]
    assert outcomes[37] == Stale()
    assert [(await desk.version()), (await other.version())] == [34, 34]
    row = await desk.stored(GUESTS, first.id)
    assert row is not None
    assert row.doc == first.doc


@pytest.mark.parametrize(("days", "answered"), [(1, True), (2, False), (-1, True)])
async def test_a_key_answers_for_a_day_at_least_and_then_is_free_again(
    store: PostgresStore, sql: psycopg.Connection, days: int, answered: bool
):
    """Also one that was used when the clock was a day ahead."""
    desk = await Desk.open(subject_of(store))
    key = IdempotencyKey(ANNA, "k" * 200)
    first = await desk.commit_one(desk.plan(desk.guest(), once=key))
    assert first == Committed(3)
    sql.execute(
        "UPDATE serai.reply SET created_on = created_on - %s WHERE org_id = %s", (days, desk.org)
    )
    again = await desk.commit_one(desk.plan(desk.guest("Ben"), once=key))
    assert isinstance(again, Replayed if answered else Committed)


async def test_a_key_with_another_body_is_refused_with_422(store: PostgresStore):
    desk = await Desk.open(subject_of(store))
    queue = Coalescer(store, VERTICAL)
    collection, key = VERTICAL.by_number[GUESTS], IdempotencyKey(ANNA, "k")
    answers: list[str] = []
    for name, body in (("a", b"1"), ("a", b"1"), ("b", b"2")):
        fields: dict[str, Value] = {
            "name": name,
            "card": "{version}",
            "note": '"version":{version}',
        }
        wish = RowIntent(collection, "insert", uuid7(), fields)
        intent = WriteIntent(desk.org, Owner(), (wish,), key, body * 32)
        if body == b"2":
            with pytest.raises(SeraiError) as raised:
                await queue.submit(intent)
            assert (raised.value.code, raised.value.code.kind.status) == (Code.KEY_REUSED, 422)
        else:
            answers.append((await queue.submit(intent)).reply)
    assert answers[0] == answers[1]
    assert '"version":3,' in answers[0]
    assert '"card":"{version}","note":"\\"version\\":{version}"' in answers[0]
    assert await desk.version() == 3


async def test_an_epoch_that_changed_fences_those_who_hold_the_old_one(
    store: PostgresStore, sql: psycopg.Connection
):
    desk = await Desk.open(subject_of(store))
    queue = Coalescer(store, VERTICAL)
    collection = VERTICAL.by_number[GUESTS]

    def wish(name: str, epoch: int) -> WriteIntent:
        fields: dict[str, Value] = {"name": name, "card": None, "note": None}
        row = RowIntent(collection, "insert", uuid7(), fields)
        return WriteIntent(desk.org, Owner(), (row,), None, bytes(32), epoch=epoch)

    assert (await queue.submit(wish("1", 1))).version == 3
    sql.execute("UPDATE serai.org SET epoch = 2 WHERE org_id = %s", (desk.org,))
    with pytest.raises(SeraiError) as raised:
        await queue.submit(wish("2", 1))
    assert raised.value.code is Code.MUST_REFETCH
    assert (await queue.submit(wish("3", 0))).version == 4
    assert (await queue.submit(wish("4", 2))).version == 5
