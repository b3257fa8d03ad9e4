"""Cases: the mutations of a device are taken in their order, each once.

Owns mutation numbers: gaps, replays, foreign devices, what follows one that was not taken. Promises
that a number is used up exactly when its mutation is answered for good. Never sends one number
twice in a batch: the caller sees to that.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from serai.core.errors import Code
from serai.core.ids import uuid7
from serai.ports.store import Committed, Failed, Fenced, Gap, PlannedWrite, Replayed, Stale
from serai.testing.store_conformance.desk import ANNA, BEN, Case, Desk, mutation
from serai.testing.vertical import GUESTS, PROPERTIES


def _numbered(desk: Desk, device_id: UUID, *numbers: int) -> list[PlannedWrite]:
    return [
        desk.plan(desk.guest(f"{device_id} {n}"), once=mutation(device_id, n), reply=f"reply {n}")
        for n in numbers
    ]


async def mutations_are_numbered_from_one(desk: Desk) -> None:
    """In one batch or in several, without gaps; each device counts by itself."""
    phone, tablet = uuid7(), uuid7()
    assert await desk.commit(*_numbered(desk, phone, 1, 2)) == [Committed(3), Committed(4)]
    assert await desk.commit(*_numbered(desk, phone, 3), *_numbered(desk, tablet, 1)) == [
        Committed(5),
        Committed(6),
    ]


async def a_number_too_high_is_a_gap(desk: Desk) -> None:
    """The device is told which number comes next; nothing is applied."""
    phone = uuid7()
    assert await desk.commit(*_numbered(desk, phone, 2)) == [Gap(1)]
    await desk.commit(*_numbered(desk, phone, 1, 2))
    assert await desk.commit(*_numbered(desk, phone, 4)) == [Gap(3)]
    assert await desk.version() == 4
    assert await desk.commit(*_numbered(desk, phone, 3)) == [Committed(5)]


async def nothing_that_follows_a_gap_is_taken(desk: Desk) -> None:
    """The first is told the next number, the later ones that they have to wait."""
    phone, tablet = uuid7(), uuid7()
    outcomes = await desk.commit(
        *_numbered(desk, phone, 2, 3), *_numbered(desk, tablet, 1), *_numbered(desk, phone, 4)
    )
    assert outcomes == [Gap(1), Stale(), Committed(3), Stale()]
    outcomes = await desk.commit(*_numbered(desk, phone, 1, 3, 4))
    assert outcomes == [Committed(4), Gap(2), Stale()]


async def mutations_that_arrive_in_the_wrong_order_wait(desk: Desk) -> None:
    """A batch of 2 and then 1 takes neither, and does not claim to know 1."""
    phone = uuid7()
    assert await desk.commit(*_numbered(desk, phone, 2, 1)) == [Gap(1), Stale()]
    assert await desk.commit(*_numbered(desk, phone, 1)) == [Committed(3)]


async def a_number_is_applied_once(desk: Desk) -> None:
    """A repetition gets its first answer, together with what is new."""
    phone = uuid7()
    first = _numbered(desk, phone, 1, 2)
    await desk.commit(*first)
    outcomes = await desk.commit(*first, *_numbered(desk, phone, 3))
    assert outcomes == [
        Replayed(3, "reply 1", same_body=True),
        Replayed(4, "reply 2", same_body=True),
        Committed(5),
    ]


async def a_number_with_another_body_is_told_apart(desk: Desk) -> None:
    """A device that uses a number for two changes has lost its queue."""
    phone = uuid7()
    await desk.done(desk.plan(desk.guest(), once=mutation(phone, 1), reply="r", body="one"))
    other = desk.plan(desk.guest("2"), once=mutation(phone, 1), reply="s", body="two")
    assert await desk.commit_one(other) == Replayed(3, "r", same_body=False)


async def a_number_is_known_for_good(desk: Desk) -> None:
    """When its reply is gone it is still not applied again, and the next one follows."""
    phone = uuid7()
    first = _numbered(desk, phone, 1, 2)
    await desk.commit(*first)
    await desk.subject.forget_replies(desk.org)
    await desk.subject.restart()
    assert await desk.commit(*first) == [Replayed(0, None, same_body=True)] * 2
    assert await desk.commit(*_numbered(desk, phone, 4)) == [Gap(3)]
    assert await desk.commit(*_numbered(desk, phone, 3)) == [Committed(5)]


async def a_number_with_another_body_is_told_apart_for_long(desk: Desk) -> None:
    """A file restored from a copy of last month: its numbers were used for writes that it has never
    seen. What it sends again is known, what is new is not taken for applied.
    """
    phone, tablet = uuid7(), uuid7()
    numbers = range(1, 141)
    sent = [desk.plan(once=mutation(phone, n), body=f"write {n}") for n in numbers]
    await desk.commit(*sent[:130], desk.plan(once=mutation(tablet, 1), body="tablet"))
    await desk.subject.forget_replies(desk.org)
    await desk.commit(*sent[130:])
    await desk.subject.forget_replies(desk.org)
    await desk.subject.restart()
    known, other = Replayed(0, None, same_body=True), Replayed(0, None, same_body=False)
    assert await desk.commit(*sent) == [known] * 140
    new = [desk.plan(desk.guest(), once=mutation(phone, n), body=f"new {n}") for n in numbers]
    assert await desk.commit(*new) == [other, *[Stale()] * 139], "what follows is not judged"
    assert [await desk.commit_one(each) for each in new[1:]] == [other] * 139
    following = desk.plan(desk.guest(), once=mutation(phone, 141), body="next")
    assert await desk.commit(sent[9], new[10], following) == [known, other, Stale()]
    assert await desk.commit_one(following) == Committed(3)
    assert await desk.commit_one(desk.plan(once=mutation(tablet, 1), body="write 1")) == other
    assert await desk.version() == 3


async def a_device_is_one_users(desk: Desk) -> None:
    """Another user's mutation with its id is refused, the first one's go on."""
    phone = uuid7()
    await desk.commit(*_numbered(desk, phone, 1))
    foreign = [desk.plan(desk.guest(str(n)), once=mutation(phone, n, BEN)) for n in (1, 2)]
    for write in foreign:
        outcome = await desk.commit_one(write)
        assert isinstance(outcome, Failed), outcome
        assert outcome.code is Code.DEVICE_UNKNOWN
    assert await desk.commit(*_numbered(desk, phone, 2)) == [Committed(4)]
    other = await Desk.open(desk.subject)
    assert await other.commit_one(other.plan(once=mutation(phone, 1, BEN))) == Committed(2)


async def nothing_that_follows_a_stale_one_is_taken(desk: Desk) -> None:
    """A device's later changes rest on its earlier ones; other devices are not held up."""
    phone, tablet = uuid7(), uuid7()
    one, two, three = _numbered(desk, phone, 1, 2, 3)
    stale = desk.plan(*two.ops, reads=[(PROPERTIES, desk.sea, 99)], once=two.once)
    outcomes = await desk.commit(one, stale, *_numbered(desk, tablet, 1), three)
    assert outcomes == [Committed(3), Stale(), Committed(4), Stale()]
    assert await desk.commit(two, three) == [Committed(5), Committed(6)]


async def nothing_that_follows_a_refused_one_is_taken(desk: Desk) -> None:
    """Whatever refused it: a constraint, a deleted id, the fence, a foreign device."""
    bad, gone, tablet = uuid7(), uuid7(), uuid7()
    dead = desk.guest("dead")
    await desk.done(desk.plan(dead))
    await desk.delete(GUESTS, dead.id)
    broken = desk.plan(desk.guest(name=None), once=mutation(bad, 1))
    buried = desk.plan(dead, once=mutation(gone, 1))
    outcomes = await desk.commit(
        broken,
        buried,
        *_numbered(desk, tablet, 1),
        *_numbered(desk, bad, 2, 3),
        *_numbered(desk, gone, 2),
        *_numbered(desk, tablet, 2),
    )
    kinds = [o.code if isinstance(o, Failed) else o for o in outcomes]
    assert kinds == [
        Code.FIELDS_INVALID,
        Code.ROW_GONE,
        Committed(5),
        Stale(),
        Stale(),
        Stale(),
        Committed(6),
    ]
    assert await desk.commit(*_numbered(desk, bad, 1, 2)) == [Committed(7), Committed(8)]


async def nothing_that_follows_an_insert_of_a_deleted_id_is_taken(desk: Desk) -> None:
    """In a batch where nothing else is wrong."""
    phone, dead = uuid7(), desk.guest("dead")
    await desk.done(desk.plan(dead))
    await desk.delete(GUESTS, dead.id)
    buried = desk.plan(dead, once=mutation(phone, 1))
    outcomes = await desk.commit(buried, *_numbered(desk, phone, 2))
    assert isinstance(outcomes[0], Failed), outcomes[0]
    assert outcomes[0].code is Code.ROW_GONE
    assert outcomes[1] == Stale()
    assert await desk.commit(*_numbered(desk, phone, 1, 2)) == [Committed(5), Committed(6)]


async def nothing_that_follows_a_fenced_one_is_taken(desk: Desk) -> None:
    """Also if the later ones know the new epoch."""
    phone = uuid7()
    await desk.subject.raise_epoch(desk.org)
    one, two = _numbered(desk, phone, 1, 2)
    late = desk.plan(*two.ops, once=two.once, epoch=2)
    assert await desk.commit(one, late) == [Fenced(Code.ORG_MOVED, 2), Stale()]
    assert await desk.version() == 2


async def a_mutation_that_was_not_taken_keeps_its_number(desk: Desk) -> None:
    """Refused by a constraint and then recorded as refused: both under the one number."""
    phone = uuid7()
    bad = desk.plan(desk.guest(name=None), once=mutation(phone, 1))
    assert isinstance(await desk.commit_one(bad), Failed)
    assert await desk.commit_one(desk.plan(once=mutation(phone, 1), reply="no")) == Committed(2)
    assert await desk.commit_one(bad) == Replayed(2, "no", same_body=True)


async def one_mutation_sent_twice_at_the_same_moment_is_applied_once(desk: Desk) -> None:
    """A phone that gives up waiting and sends again meets itself."""
    phone = uuid7()
    writes = _numbered(desk, phone, 1, 2, 3)
    first, second = await asyncio.gather(desk.store.commit(writes), desk.store.commit(writes))
    replays = [Replayed(n + 2, f"reply {n}", same_body=True) for n in (1, 2, 3)]
    assert sorted([first, second], key=str) == [[Committed(n) for n in (3, 4, 5)], replays]
    assert await desk.version() == 5


async def a_devices_owner_is_who_used_it_first(desk: Desk) -> None:
    """Also when its first mutation changed nothing."""
    tablet = uuid7()
    assert await desk.commit_one(desk.plan(once=mutation(tablet, 1, BEN))) == Committed(2)
    outcome = await desk.commit_one(desk.plan(once=mutation(tablet, 2, ANNA)))
    assert isinstance(outcome, Failed), outcome
    assert outcome.code is Code.DEVICE_UNKNOWN


async def a_new_device_is_not_taken_over_within_its_first_batch(desk: Desk) -> None:
    """The second user of a batch is foreign, although nothing was known of the device before."""
    phone = uuid7()
    foreign = desk.plan(desk.guest("2"), once=mutation(phone, 2, BEN))
    outcomes = await desk.commit(*_numbered(desk, phone, 1), foreign)
    assert outcomes[0] == Committed(3)
    assert isinstance(outcomes[1], Failed), outcomes[1]
    assert outcomes[1].code is Code.DEVICE_UNKNOWN
    assert await desk.commit(*_numbered(desk, phone, 2)) == [Committed(4)]


CASES: Final[tuple[Case, ...]] = (
    mutations_are_numbered_from_one,
    a_number_too_high_is_a_gap,
    nothing_that_follows_a_gap_is_taken,
    mutations_that_arrive_in_the_wrong_order_wait,
    a_number_is_applied_once,
    a_number_with_another_body_is_told_apart,
    a_number_is_known_for_good,
    a_number_with_another_body_is_told_apart_for_long,
    a_device_is_one_users,
    nothing_that_follows_a_stale_one_is_taken,
    nothing_that_follows_a_refused_one_is_taken,
    nothing_that_follows_an_insert_of_a_deleted_id_is_taken,
    nothing_that_follows_a_fenced_one_is_taken,
    a_mutation_that_was_not_taken_keeps_its_number,
    one_mutation_sent_twice_at_the_same_moment_is_applied_once,
    a_devices_owner_is_who_used_it_first,
    a_new_device_is_not_taken_over_within_its_first_batch,
)
