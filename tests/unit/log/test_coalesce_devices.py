"""Queues of phones in the coalescer: in order, once, and none lost behind a refused one.

Owns the tests of mutations in `serai.log.coalesce`: a device's order, its refusals, gaps, replays
and epochs. Never looks at how long anything takes.
"""

from __future__ import annotations

import pytest

from serai.core.errors import Code, SeraiError
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteAnswer
from serai.ports.store import (
    Failed,
    Fenced,
    Gap,
    Outcome,
    Stale,
)
from unit.log.house import (
    ANNA,
    BEN,
    GUEST,
    HOUSE,
    ORG,
    PHONE,
    TABLET,
    caller,
    mutation,
    opened,
    rest,
    row_id,
    stay,
    told,
    wish,
)
from unit.log.queueing import answers, code, nights, status, version


async def test_a_transaction_takes_no_more_than_its_bound_and_none_is_forgotten() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE, writes_max=4)
    done = await answers(coalescer, *(rest(caller(), stay(n)) for n in range(11)))
    assert [version(each) for each in done] == list(range(3, 14))
    assert [len(batch) for batch in store.batches] == [4, 4, 3]


async def test_an_insert_and_what_builds_on_it_may_wait_together() -> None:
    store = await opened()
    done = await answers(
        Coalescer(store, HOUSE),
        mutation(caller(), 1, stay(1)),
        mutation(caller(), 2, nights(1, 4)),
        mutation(caller(), 3, wish("stays", "delete", row_id(1))),
    )
    assert [status(each) for each in done] == ["applied"] * 3
    assert [version(each) for each in done] == [3, 4, 5]


async def test_an_id_that_is_taken_is_found_out_although_it_was_taken_for_new() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    await answers(coalescer, rest(caller(), stay(1, nights=9)))
    rest_again, phone = await answers(
        coalescer, rest(caller(), stay(1)), mutation(caller(), 1, stay(1))
    )
    assert code(rest_again) is Code.ROW_EXISTS
    assert status(phone) == "conflict"


async def test_mutations_of_one_phone_are_applied_in_their_order_among_those_of_others() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE, writes_max=3)
    intents = [
        mutation(caller(), 1, stay(1)),
        mutation(caller(BEN), 1, stay(2), device=TABLET),
        mutation(caller(), 2, nights(1, 2)),
        mutation(caller(BEN), 2, nights(1, 7), device=TABLET),
        mutation(caller(), 3, nights(1, 3)),
        mutation(caller(BEN), 3, stay(3), device=TABLET),
    ]
    done = await answers(coalescer, *intents)
    assert all(status(each) == "applied" for each in done)
    for device in (PHONE, TABLET):
        mine = [
            version(answer)
            for intent, answer in zip(intents, done, strict=True)
            if getattr(intent.once, "device_id", None) == device
        ]
        assert mine == sorted(mine)


async def test_twenty_refused_writes_of_a_queue_do_not_exhaust_the_good_one_after_them() -> None:
    """Each refusal by the database makes the rest of the queue wait for another round."""
    store = await opened()
    bad = [mutation(caller(), n, stay(n, guest_id=str(GUEST))) for n in range(1, 21)]
    done = await answers(Coalescer(store, HOUSE), *bad, mutation(caller(), 21, stay(21)))
    assert [status(each) for each in done] == ["rejected"] * 20 + ["applied"]
    kept = await store.refusals(ORG, user_id=ANNA, after=0, limit=50)
    assert [each.number for each in kept] == list(range(1, 21))


async def test_a_gap_in_a_queue_is_told_with_the_number_that_is_missing() -> None:
    store = await opened()
    intents = [mutation(caller(), n, stay(n)) for n in (1, 3, 4, 5)]
    done = await answers(Coalescer(store, HOUSE), *intents)
    assert status(done[0]) == "applied"
    for each in done[1:]:
        assert code(each) is Code.MUTATION_GAP
        assert isinstance(each, SeraiError)
        assert each.extra == {"expected": 2}
    assert len(store.batches) == 1, "what comes after a gap is not tried again and again"


async def test_a_queue_sent_twice_changes_nothing_and_gets_the_same_answers() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    intents = [mutation(caller(), n, stay(n)) for n in (1, 2, 3)]
    first = await answers(coalescer, *intents)
    again = await answers(coalescer, *intents)
    for one, other in zip(first, again, strict=True):
        assert isinstance(one, WriteAnswer)
        assert isinstance(other, WriteAnswer)
        assert (one.reply, one.replayed, other.replayed) == (other.reply, False, True)
    head = await store.head(ORG)
    assert head is not None
    assert head.version == 5


async def test_a_mutation_whose_answer_is_forgotten_is_still_told_right() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    intents = [
        mutation(caller(), 1, stay(1)),
        mutation(caller(), 2, stay(2, guest_id=str(GUEST))),
    ]
    await answers(coalescer, *intents)
    store.organisations[ORG].replies.clear()
    applied, refused = await answers(coalescer, *intents)
    assert (status(applied), status(refused)) == ("applied", "rejected")
    assert isinstance(refused, WriteAnswer)
    assert told(refused.reply)["code"] == "reference_missing"


async def test_a_phone_that_knows_only_the_old_epoch_must_refetch() -> None:
    store = await opened()
    store.restore(store.snapshot())
    done = await answers(
        Coalescer(store, HOUSE),
        mutation(caller(), 1, stay(1), epoch=1),
        mutation(caller(), 2, stay(2), epoch=1),
        mutation(caller(BEN), 1, stay(3), device=TABLET, epoch=2),
    )
    assert [code(each) for each in done[:2]] == [Code.MUST_REFETCH] * 2
    assert version(done[2]) == 3


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Gap(5), Code.MUTATION_GAP),
        (Fenced(Code.ORG_MOVED, 0), Code.ORG_MOVED),
        (Failed(Code.DEVICE_UNKNOWN, "x"), Code.DEVICE_UNKNOWN),
    ],
)
async def test_what_stops_a_mutation_stops_those_after_it_once(
    outcome: Outcome, expected: Code
) -> None:
    """The store answers the later ones of the device with Stale, as the contract says."""
    store = await opened()
    store.instead.append(lambda writes: [outcome, *[Stale() for _ in writes[1:]]])
    done = await answers(
        Coalescer(store, HOUSE), *(mutation(caller(), n, stay(n)) for n in (1, 2, 3))
    )
    assert [code(each) for each in done] == [expected] * 3
    assert len(store.batches) == 1


async def test_a_phone_of_somebody_else_is_not_written_for() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    await answers(coalescer, mutation(caller(), 1, stay(1)))
    (done,) = await answers(coalescer, mutation(caller(BEN), 2, stay(2)))
    assert code(done) is Code.DEVICE_UNKNOWN
    assert await store.refusals(ORG, user_id=None, after=0, limit=5) == []
