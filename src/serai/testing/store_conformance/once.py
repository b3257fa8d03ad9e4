"""Cases: a write with a key is applied once, and its first answer is given again.

Owns idempotency keys: replays, other bodies, restarts, repetitions at the same moment. Promises
that a replay is byte for byte the first answer. Never looks at the numbers of devices.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from serai.core.ids import uuid7
from serai.ports.store import Committed, Failed, IdempotencyKey, Replayed, Stale
from serai.testing.store_conformance.desk import ANNA, BEN, Case, Desk
from serai.testing.vertical import GUESTS, PROPERTIES

KEY: Final = IdempotencyKey(ANNA, 'key / "1" \u00e9')
REPLY: Final = '{"version":{version},"note":"{version} \\u0041 \\" \U0001f71a \uffff"}'


async def a_key_is_applied_once(desk: Desk) -> None:
    """The repetition gets the stored text and changes nothing."""
    write = desk.plan(desk.guest(), once=KEY, reply=REPLY)
    assert await desk.commit_one(write) == Committed(3)
    again = desk.plan(desk.guest("other"), once=KEY, reply="second")
    assert await desk.commit_one(again) == Replayed(3, REPLY, same_body=True)
    assert await desk.stored(GUESTS, again.ops[0].id) is None
    assert await desk.version() == 3


async def a_key_with_another_body_is_told_apart(desk: Desk) -> None:
    """The caller learns that the key was used for something else; nothing is applied."""
    await desk.done(desk.plan(desk.guest(), once=KEY, reply=REPLY, body="one"))
    other = desk.plan(desk.guest("other"), once=KEY, reply="second", body="two")
    assert await desk.commit_one(other) == Replayed(3, REPLY, same_body=False)
    assert await desk.version() == 3


async def a_key_is_one_users_in_one_organisation(desk: Desk) -> None:
    """Another user's, and another organisation's, is another key."""
    other = await Desk.open(desk.subject)
    await desk.done(desk.plan(desk.guest("1"), once=IdempotencyKey(ANNA, "k")))
    assert await desk.done(desk.plan(desk.guest("2"), once=IdempotencyKey(BEN, "k"))) == 4
    assert await desk.done(desk.plan(desk.guest("3"), once=IdempotencyKey(ANNA, "K"))) == 5
    assert await other.done(other.plan(other.guest("1"), once=IdempotencyKey(ANNA, "k"))) == 3


async def replayed_tells_without_writing(desk: Desk) -> None:
    """Nothing for a key that was never used; the stored answer for one that was."""
    store, body = desk.store, hashlib.sha256(b"one").digest()
    assert await store.replayed(desk.org, KEY, body) is None
    await desk.done(desk.plan(desk.guest(), once=KEY, reply=REPLY, body="one"))
    assert await store.replayed(desk.org, KEY, body) == Replayed(3, REPLY, same_body=True)
    assert await store.replayed(desk.org, KEY, bytes(32)) == Replayed(3, REPLY, same_body=False)
    assert await store.replayed(desk.org, IdempotencyKey(BEN, KEY.key), body) is None


async def a_key_outlives_the_process(desk: Desk) -> None:
    """A caller that lost its answer in a crash of the server gets it after the restart."""
    write = desk.plan(desk.guest(), once=KEY, reply=REPLY)
    await desk.done(write)
    await desk.subject.restart()
    assert await desk.commit_one(write) == Replayed(3, REPLY, same_body=True)


async def a_replay_comes_before_everything_that_has_changed(desk: Desk) -> None:
    """It is answered although its read set does not hold and its row is there already."""
    write = desk.plan(desk.guest(), once=KEY, reply=REPLY)
    await desk.done(write)
    await desk.delete(GUESTS, write.ops[0].id)
    assert await desk.commit_one(write) == Replayed(3, REPLY, same_body=True)


async def a_write_that_was_not_taken_leaves_its_key_free(desk: Desk) -> None:
    """Stale or refused: the key works for the write that is decided anew."""
    stale = desk.plan(desk.guest(), reads=[(PROPERTIES, desk.sea, 99)], once=KEY)
    assert await desk.commit_one(stale) == Stale()
    bad = desk.plan(desk.guest(name=None), once=KEY)
    assert isinstance(await desk.commit_one(bad), Failed)
    assert await desk.done(desk.plan(desk.guest(), once=KEY, reply=REPLY)) == 3


async def a_write_without_rows_keeps_its_answer(desk: Desk) -> None:
    """Under the version that stood then, also when more was written since."""
    write = desk.plan(once=KEY, reply=REPLY)
    assert await desk.commit_one(write) == Committed(2)
    await desk.done(desk.plan(desk.guest()))
    assert await desk.commit_one(write) == Replayed(2, REPLY, same_body=True)


async def a_key_twice_in_a_batch_is_applied_once(desk: Desk) -> None:
    """The second gets the first one's answer, and the neighbours are taken."""
    one = desk.plan(desk.guest("1"), once=KEY, reply="one", body="b")
    two = desk.plan(desk.guest("2"), once=KEY, reply="two", body="b")
    neighbour = desk.plan(desk.guest("3"))
    outcomes = await desk.commit(one, two, neighbour)
    assert outcomes == [Committed(3), Replayed(3, "one", same_body=True), Committed(4)]


async def repetitions_at_the_same_moment_are_applied_once(desk: Desk) -> None:
    """Whoever comes first writes; all others get that answer."""
    writes = [desk.plan(desk.guest(str(n)), once=KEY, reply=str(n)) for n in range(6)]
    outcomes = [o for (o,) in await asyncio.gather(*(desk.store.commit([w]) for w in writes))]
    first = [n for n, outcome in enumerate(outcomes) if outcome == Committed(3)]
    assert len(first) == 1
    replays = [o for n, o in enumerate(outcomes) if n not in first]
    assert replays == [Replayed(3, str(first[0]), same_body=True)] * 5
    assert await desk.version() == 3


async def writes_at_the_same_moment_get_dense_versions(desk: Desk) -> None:
    """Each its own, none twice, none left out; a batch is one transaction."""
    writes = [[desk.plan(desk.guest(f"{n} {m}")) for m in range(3)] for n in range(6)]
    answers = await asyncio.gather(*(desk.store.commit(batch) for batch in writes))
    batches = sorted([o.version for o in batch if isinstance(o, Committed)] for batch in answers)
    assert batches == [[v, v + 1, v + 2] for v in range(3, 21, 3)]


async def of_two_that_saw_the_same_row_one_is_taken(desk: Desk) -> None:
    """The other is stale: no update is lost."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    writes = [await desk.change(GUESTS, guest.id, note=str(n)) for n in range(5)]
    outcomes = [o for (o,) in await asyncio.gather(*(desk.store.commit([w]) for w in writes))]
    assert sorted(map(str, outcomes)) == sorted(["Stale()"] * 4 + [str(Committed(4))])


async def a_forgotten_key_is_a_new_one(desk: Desk) -> None:
    """After the time that keys are kept, the same key is applied again."""
    first = desk.plan(desk.guest(), once=KEY, reply=REPLY)
    await desk.done(first)
    await desk.subject.forget_replies(desk.org)
    assert await desk.store.replayed(desk.org, KEY, first.body_hash) is None
    assert await desk.commit_one(first) == Stale(), "the row itself is still there"
    assert await desk.done(desk.plan(desk.guest(str(uuid7())), once=KEY)) == 4


CASES: Final[tuple[Case, ...]] = (
    a_key_is_applied_once,
    a_key_with_another_body_is_told_apart,
    a_key_is_one_users_in_one_organisation,
    replayed_tells_without_writing,
    a_key_outlives_the_process,
    a_replay_comes_before_everything_that_has_changed,
    a_write_that_was_not_taken_leaves_its_key_free,
    a_write_without_rows_keeps_its_answer,
    a_key_twice_in_a_batch_is_applied_once,
    repetitions_at_the_same_moment_are_applied_once,
    writes_at_the_same_moment_get_dense_versions,
    of_two_that_saw_the_same_row_one_is_taken,
    a_forgotten_key_is_a_new_one,
)
