"""Cases: a mutation that was not applied is kept, and found by those concerned.

Owns refusals: that they are recorded with their number, listed in order, and outlive replies and
restarts. Never decides who may see one.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from serai.core.ids import uuid7
from serai.ports.store import Committed, Refusal, Replayed
from serai.testing.store_conformance.desk import ANNA, BEN, Case, Desk, mutation, refused
from serai.testing.vertical import STAYS


async def a_refusal_is_kept_whole(desk: Desk) -> None:
    """Every field of it, byte for byte; it takes no version."""
    phone, row = uuid7(), uuid7()
    body = '{"number":1,"fields":{"note":"{version} \\u0000 \\ud800 \\" \U0001f71a"}}'
    reason = 'Zoë said "no" \\ \n\u2028\uffff'
    refusal = Refusal("conflict", "conflict", reason, STAYS, row, desk.hill, body)
    write = desk.plan(once=mutation(phone, 1), refusal=refusal, reply="refused")
    assert await desk.commit_one(write) == Committed(2)
    kept = await desk.store.refusal(desk.org, phone, 1)
    assert kept is not None
    assert (kept.refusal, kept.user_id, kept.device_id, kept.number) == (refusal, ANNA, phone, 1)
    assert kept.at.endswith("Z")
    assert len(kept.at) == len("2026-01-31T12:00:00.000000Z")
    assert await desk.version() == 2


async def a_refusal_is_recorded_once(desk: Desk) -> None:
    """The repetition gets the first answer; there is one refusal, also after the reply is gone."""
    phone = uuid7()
    write = desk.plan(once=mutation(phone, 1), refusal=refused(uuid7()), reply="no")
    await desk.done(write)
    assert await desk.commit_one(write) == Replayed(2, "no", same_body=True)
    await desk.subject.forget_replies(desk.org)
    await desk.subject.restart()
    assert await desk.commit_one(write) == Replayed(0, None, same_body=True)
    assert len(await _listed(desk)) == 1


async def an_applied_mutation_has_no_refusal(desk: Desk) -> None:
    """Neither has one of another device or organisation."""
    phone, other = uuid7(), await Desk.open(desk.subject)
    await desk.done(desk.plan(desk.guest(), once=mutation(phone, 1)))
    await desk.done(desk.plan(once=mutation(phone, 2), refusal=refused(uuid7())))
    assert await desk.store.refusal(desk.org, phone, 1) is None
    assert await desk.store.refusal(desk.org, phone, 2) is not None
    assert await desk.store.refusal(desk.org, phone, 3) is None
    assert await desk.store.refusal(desk.org, uuid7(), 2) is None
    assert await desk.store.refusal(other.org, phone, 2) is None
    assert await _listed(other) == []


async def refusals_are_listed_oldest_first_in_pages(desk: Desk) -> None:
    """Of all or of one user; the last id of a page is where the next one begins."""
    phones = {ANNA: uuid7(), BEN: uuid7()}
    made: list[tuple[UUID, int]] = []
    for number in (1, 2, 3):
        for user, phone in phones.items():
            once = mutation(phone, number, user)
            reason = f"{user} {number}"
            await desk.done(desk.plan(once=once, refusal=refused(uuid7(), reason=reason)))
            made.append((user, number))
    assert await _listed(desk) == made
    assert await _listed(desk, limit=4) == made[:4]
    assert await _listed(desk, user=BEN) == [(BEN, n) for n in (1, 2, 3)]
    assert await _listed(desk, user=uuid7()) == []
    seen: list[tuple[UUID, int]] = []
    after = 0
    while page := await desk.store.refusals(desk.org, user_id=None, after=after, limit=2):
        assert all(each.id > after for each in page)
        after = page[-1].id
        seen += [(each.user_id, each.number) for each in page]
    assert seen == made


async def _listed(desk: Desk, user: UUID | None = None, limit: int = 100) -> list[tuple[UUID, int]]:
    found = await desk.store.refusals(desk.org, user_id=user, after=0, limit=limit)
    return [(each.user_id, each.number) for each in found]


CASES: Final[tuple[Case, ...]] = (
    a_refusal_is_kept_whole,
    a_refusal_is_recorded_once,
    an_applied_mutation_has_no_refusal,
    refusals_are_listed_oldest_first_in_pages,
)
