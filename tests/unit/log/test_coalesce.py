"""The queue between requests and a shard: order, isolation, an answer for each write of its own.

Owns the tests of `serai.log.coalesce` on the reference store, whose commits are held back, broken
or answered otherwise where a schedule matters. Every wait is for the event itself. Never looks at
how long anything takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec import structs

from serai.adapters.memory import MemoryStore
from serai.core.errors import Code, SeraiError
from serai.core.limits import QUEUED_WRITES_MAX, WRITE_ATTEMPTS_MAX
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer
from serai.model import Accept, Refuse, RowChange, RuleInput, Verdict
from serai.ports.store import (
    Outcome,
    PlannedWrite,
    Stale,
)
from unit.log.house import (
    ANNA,
    BEN,
    GUEST,
    HOUSE,
    ORG,
    OTHER_ORG,
    HouseRule,
    Recorded,
    caller,
    house,
    mutation,
    opened,
    plant,
    rest,
    row_id,
    stay,
    told,
    wish,
)
from unit.log.queueing import NOBODY_WAITS_SECONDS, answers, code, nights, version


async def test_writes_that_wait_together_become_one_transaction_in_their_order() -> None:
    store = await opened()
    done = await answers(Coalescer(store, HOUSE), *(rest(caller(), stay(n)) for n in range(10)))
    assert [version(each) for each in done] == list(range(3, 13))
    assert [len(batch) for batch in store.batches] == [10]


@pytest.mark.parametrize("lanes", [1, 2, 4])
async def test_one_organisation_is_in_one_transaction_at_a_time(lanes: int) -> None:
    store = await opened(HOUSE, *range(1, 6))
    coalescer = Coalescer(store, HOUSE, lanes=lanes, writes_max=3)
    intents = [rest(caller(org_id=org), stay(n)) for n in range(12) for org in range(1, 6)]
    done = await answers(coalescer, *intents)
    assert store.overlaps == []
    for place in range(5):
        assert [version(each) for each in done[place::5]] == list(range(3, 15))


@pytest.mark.parametrize("lanes", [1, 2])
async def test_a_write_that_follows_an_answer_at_once_is_not_left_behind(lanes: int) -> None:
    """The lane that gave the answer ends in the same step: the next write needs another one."""
    store = await opened(HOUSE, *range(1, lanes + 1))
    coalescer = Coalescer(store, HOUSE, lanes=lanes)
    first_wave = [rest(caller(org_id=org), stay(0)) for org in range(1, lanes + 1)]
    follower = coalescer.enqueue(first_wave[0])
    others = [coalescer.enqueue(each) for each in first_wave[1:]]
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        for n in range(1, 20):
            await follower
            follower = coalescer.enqueue(rest(caller(org_id=1), stay(n)))
        assert (await follower).version == 22
        await asyncio.gather(*others)


async def test_a_refused_write_does_not_touch_its_neighbours() -> None:
    store = await opened()
    done = await answers(
        Coalescer(store, HOUSE),
        rest(caller(), stay(1)),
        rest(caller(ANNA, ("approver", None)), stay(2)),
        rest(caller(), stay(3, guest_id=str(GUEST))),
        rest(caller(), nights(77, 2)),
        rest(caller(), stay(4)),
    )
    assert (version(done[0]), version(done[4])) == (3, 4)
    assert [code(each) for each in done[1:4]] == [
        Code.FORBIDDEN,
        Code.REFERENCE_MISSING,
        Code.NOT_FOUND,
    ]


async def test_a_rule_that_breaks_fails_its_own_write_only() -> None:
    def says(asked: RuleInput) -> Verdict:
        if asked.after is not None and asked.after["note"] == "bug":
            raise ZeroDivisionError
        return Accept(RowChange("stays", asked.op, asked.id, asked.after))

    vertical = house(HouseRule(says=says))
    store = await opened(vertical)
    done = await answers(
        Coalescer(store, vertical),
        rest(caller(vertical=vertical), stay(1, vertical)),
        rest(caller(vertical=vertical), stay(2, vertical, note="bug")),
        rest(caller(vertical=vertical), stay(3, vertical)),
    )
    assert isinstance(done[1], ZeroDivisionError)
    assert [version(done[0]), version(done[2])] == [3, 4]


async def test_a_lost_database_fails_the_writes_in_flight_and_the_next_ones_go_on() -> None:
    store = await opened()
    store.breaks.append(ConnectionError("gone"))
    coalescer = Coalescer(store, HOUSE, writes_max=2)
    done = await answers(coalescer, *(rest(caller(), stay(n)) for n in range(4)))
    assert [type(each) for each in done[:2]] == [ConnectionError, ConnectionError]
    assert [version(each) for each in done[2:]] == [3, 4]


async def test_a_failure_of_one_transaction_does_not_reach_another_organisation() -> None:
    store = await opened(HOUSE, ORG, OTHER_ORG)
    coalescer = Coalescer(store, HOUSE, writes_max=1)
    store.breaks.append(ConnectionError("gone"))
    done = await answers(
        coalescer, rest(caller(), stay(1)), rest(caller(org_id=OTHER_ORG), stay(1))
    )
    assert isinstance(done[0], ConnectionError)
    assert version(done[1]) == 3


async def test_the_same_key_sent_twice_at_once_writes_once() -> None:
    store = await opened()
    intent = rest(caller(), stay(1), key="k", body=b"a")
    first, again = await answers(Coalescer(store, HOUSE), intent, intent)
    assert isinstance(first, WriteAnswer)
    assert isinstance(again, WriteAnswer)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.reply == again.reply
    head = await store.head(ORG)
    assert head is not None
    assert head.version == 3


async def test_a_retry_gets_the_first_answer_even_if_it_would_be_refused_now() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    await answers(coalescer, rest(caller(), stay(1)))
    change = rest(caller(), nights(1, 5, base=3), key="k", body=b"a")
    (first,) = await answers(coalescer, change)
    (again,) = await answers(coalescer, change)
    assert isinstance(first, WriteAnswer)
    assert isinstance(again, WriteAnswer)
    assert again.replayed
    assert again.reply == first.reply
    (other,) = await answers(coalescer, rest(caller(), nights(1, 5, base=3), key="k", body=b"b"))
    assert code(other) is Code.KEY_REUSED


async def test_a_retry_tells_the_users_words_as_they_were() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    note = 'see "version":{version} and {version}'
    intent = rest(caller(), stay(1, note=note), key="k", body=b"a")
    first, again = await answers(coalescer, intent, intent)
    for each in (first, again):
        assert isinstance(each, WriteAnswer)
        assert told(each.reply)["version"] == 3
        assert told(each.reply)["data"]["note"] == note
    same = mutation(caller(), 1, wish("stays", "update", row_id(1), {"note": note}, base=3))
    (unchanged,) = await answers(coalescer, same)
    assert isinstance(unchanged, WriteAnswer)
    assert told(unchanged.reply)["row"]["note"] == note
    assert told(unchanged.reply)["version"] == 3


async def test_a_row_that_moved_meanwhile_is_decided_again_on_what_it_is_now() -> None:
    rule = HouseRule()
    vertical = house(rule)
    store = await opened(vertical)
    coalescer = Coalescer(store, vertical)
    await answers(coalescer, rest(caller(vertical=vertical), stay(1, vertical)))
    moved: list[int] = []

    def somebody_else_first(writes: Sequence[PlannedWrite]) -> list[Outcome] | None:
        if not moved:
            moved.append(1)
            head = store.organisations[ORG].rows
            key = (4, row_id(1))
            head[key] = structs.replace(
                head[key], version=99, doc=head[key].doc.replace("1,", "6,", 1)
            )
        return None

    store.instead.append(somebody_else_first)
    change = wish("stays", "update", row_id(1), {"note": "x"}, vertical=vertical)
    (done,) = await answers(coalescer, rest(caller(vertical=vertical), change, key="k"))
    assert isinstance(done, WriteAnswer)
    assert [a.before["nights"] for a in rule.asked if a.before] == [1, 6]
    assert told(done.reply)["data"]["nights"] == 6


async def test_a_row_that_never_stands_still_is_given_up_after_a_bound() -> None:
    store = await opened()
    store.instead.append(lambda writes: [Stale() for _ in writes])
    (done,) = await answers(Coalescer(store, HOUSE), rest(caller(), stay(1)))
    assert code(done) is Code.CONTENDED
    assert len(store.batches) == WRITE_ATTEMPTS_MAX


async def test_used_numbers_in_any_order_are_each_told_so() -> None:
    """Those behind a used number of their device do not spend their own attempts on it."""
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    numbers = range(1, WRITE_ATTEMPTS_MAX + 3)
    await answers(coalescer, *(mutation(caller(), n, stay(n)) for n in numbers))
    others = [
        structs.replace(mutation(caller(), n, stay(100 + n)), body_hash=bytes(32)) for n in numbers
    ]
    done = await answers(coalescer, *reversed(others))
    assert [told(each.reply)["code"] for each in done if isinstance(each, WriteAnswer)] == [
        "key_reused" for _ in numbers
    ]


async def test_two_desks_that_change_one_row_at_once_are_both_kept() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    await answers(coalescer, rest(caller(), stay(1)))
    done = await answers(
        coalescer,
        rest(caller(), nights(1, 5), key="a"),
        rest(caller(BEN), wish("stays", "update", row_id(1), {"note": "late"}), key="b"),
    )
    assert [version(each) for each in done] == [4, 5]
    (row,) = await store.read([(ORG, 4, row_id(1))])
    assert row is not None
    assert (told(row.doc)["nights"], told(row.doc)["note"]) == (5, "late")


async def test_a_caller_who_leaves_before_the_write_started_leaves_nothing() -> None:
    store = await opened()
    store.gate = asyncio.Event()
    coalescer = Coalescer(store, HOUSE, writes_max=1)
    first, left, last = (coalescer.enqueue(rest(caller(), stay(n))) for n in (1, 2, 3))
    await store.arrived.wait()
    left.cancel()
    store.gate.set()
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        assert (await first).version == 3
        assert (await last).version == 4
    assert await store.read([(ORG, 4, row_id(2))]) == [None]


async def test_a_caller_who_leaves_while_the_write_is_in_flight_does_not_stop_it() -> None:
    store = await opened()
    store.gate = asyncio.Event()
    coalescer = Coalescer(store, HOUSE)
    left, neighbour = (coalescer.enqueue(rest(caller(), stay(n))) for n in (1, 2))
    await store.arrived.wait()
    left.cancel()
    store.gate.set()
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        assert (await neighbour).version == 4
    (row,) = await store.read([(ORG, 4, row_id(1))])
    assert row is not None


async def test_everybody_leaving_does_not_block_who_comes_next() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    for each in [coalescer.enqueue(rest(caller(), stay(n))) for n in range(5)]:
        each.cancel()
    (done,) = await answers(coalescer, rest(caller(), stay(9)))
    assert version(done) == 3
    assert len(store.batches) == 1


async def test_a_shutdown_waits_for_every_write_that_was_taken() -> None:
    store = await opened(HOUSE, ORG, OTHER_ORG)
    coalescer = Coalescer(store, HOUSE, lanes=2, writes_max=2)
    waiting = [
        coalescer.enqueue(rest(caller(org_id=org), stay(n)))
        for n in range(7)
        for org in (ORG, OTHER_ORG)
    ]
    async with asyncio.timeout(NOBODY_WAITS_SECONDS):
        await coalescer.drain()
    assert all(each.done() for each in waiting)
    assert sorted(each.result().version for each in waiting) == sorted([*range(3, 10)] * 2)
    await coalescer.drain()


async def test_a_full_queue_refuses_at_once_and_takes_writes_again_when_it_moved() -> None:
    store = await opened()
    store.gate = asyncio.Event()
    coalescer = Coalescer(store, HOUSE, writes_max=2_000)
    who = caller()
    waiting = [coalescer.enqueue(rest(who, nights(77, 1))) for _ in range(QUEUED_WRITES_MAX)]
    with pytest.raises(SeraiError) as caught:
        coalescer.enqueue(rest(who, stay(1)))
    assert caught.value.code is Code.OVERLOADED
    assert caught.value.retry_after_seconds == 1
    store.gate.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert {code(each) for each in done} == {Code.NOT_FOUND}
    assert [version(each) for each in await answers(coalescer, rest(who, stay(1)))] == [3]


async def test_after_a_restore_every_waiting_write_learns_the_new_epoch() -> None:
    store = await opened(HOUSE, ORG, OTHER_ORG)
    coalescer = Coalescer(store, HOUSE)
    await answers(coalescer, rest(caller(), stay(1)))
    store.restore(store.snapshot())
    done = await answers(
        coalescer,
        *(rest(caller(), stay(n)) for n in (2, 3, 4)),
        rest(caller(org_id=OTHER_ORG), stay(1)),
        *(mutation(caller(BEN), n, stay(10 + n)) for n in (1, 2)),
    )
    assert [version(each) for each in done] == [4, 5, 6, 3, 7, 8]


async def test_an_organisation_that_is_not_here_is_refused_and_looked_for_again() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    intents = [rest(caller(org_id=99), stay(n)) for n in (1, 2, 3)]
    done = await answers(coalescer, *intents, rest(caller(), stay(1)))
    assert [code(each) for each in done[:3]] == [Code.ORG_MOVED] * 3
    assert version(done[3]) == 3
    await store.create_org(99)
    await plant(store, 99, ("properties", row_id(500), {"name": "x"}))
    (done,) = await answers(
        coalescer, rest(caller(org_id=99), wish("guests", "insert", GUEST, {"name": "Ada"}))
    )
    assert version(done) == 2


async def test_a_rule_is_told_to_refuse_on_what_the_batch_before_it_wrote() -> None:
    """At most one stay for a guest: two desks that book at once do not both get the room."""

    def one_stay_each(asked: RuleInput) -> Verdict:
        guest = asked.rows["guests", GUEST]
        assert guest is not None
        if guest["email"] == "booked":
            return Refuse("booked", "Booked already.")
        return Accept(
            RowChange("stays", asked.op, asked.id, asked.after),
            (RowChange("guests", "update", GUEST, {**guest, "email": "booked"}),),
        )

    vertical = house(HouseRule(wants=lambda *_: [("guests", GUEST)], says=one_stay_each))
    store = await opened(vertical)
    await plant(store, ORG, ("guests", GUEST, {"name": "Ada"}))
    who = caller(vertical=vertical)
    done = await answers(
        Coalescer(store, vertical), *(rest(who, stay(n, vertical)) for n in range(5))
    )
    assert version(done[0]) == 4
    assert [code(each) for each in done[1:]] == [Code.RULE] * 4


async def test_rows_are_read_together_for_a_whole_batch() -> None:
    rule = HouseRule(wants=lambda *_: [("guests", GUEST)])
    vertical = house(rule)
    store = await opened(vertical)
    who = caller(vertical=vertical)
    await answers(Coalescer(store, vertical), *(rest(who, stay(n, vertical)) for n in range(20)))
    assert store.reads == [[(ORG, 3, GUEST)]]


async def test_a_new_coalescer_has_nothing_to_wait_for() -> None:
    store: MemoryStore = Recorded(HOUSE)
    await Coalescer(store, HOUSE).drain()
