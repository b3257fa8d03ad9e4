"""Cases: a log that is folded and pruned tells readers what it told them before.

Owns the steps of upkeep: what each leaves, and what it must not touch. Never says when one is due.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from serai.core.ids import ALL_SCOPES, ORG_SCOPE, uuid7
from serai.core.token import Position
from serai.log.verify import verify
from serai.ports.life import Mark
from serai.ports.store import Failed
from serai.testing.store_conformance.desk import ALL_COLLECTIONS, Case, Desk
from serai.testing.store_conformance.reading_log import walk
from serai.testing.store_conformance.sealing import CHANNEL, begun, seal
from serai.testing.vertical import GUESTS, STAYS, WAGES

NOW: Final = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)


async def an_organisation_is_due_until_it_was_looked_at(desk: Desk) -> None:
    """One that was never looked at is; then when its time has come, or it has written enough."""

    async def due(now: datetime, behind: int = 1000) -> bool:
        found, after = await desk.lives.lives(desk.org - 1, scan=1, now=now, behind=behind)
        assert after == desk.org
        return [each.org_id for each in found] == [desk.org]

    assert await due(NOW)
    life = await desk.lives.begin(desk.org)
    assert (life.version, life.known, life.marks, life.sealed) == (2, True, (), -1)
    assert await due(NOW), "killed now, it is looked at again"
    assert await desk.lives.advance(desk.org, -1, 2, [])
    mark = Mark(2, NOW)
    await desk.lives.note(desk.org, [mark], 1, NOW + timedelta(hours=2))
    kept = await desk.lives.life(desk.org)
    assert kept is not None
    assert (kept.marks, kept.fold_from, kept.sealed) == ((mark,), 1, 2)
    assert not await due(NOW + timedelta(hours=1))
    assert await due(NOW + timedelta(hours=2))
    await desk.lives.note(desk.org, [mark], 1, None)
    assert not await due(NOW + timedelta(days=300)), "nobody wrote, so there is nothing to do"
    await desk.done(desk.plan(desk.guest()))
    assert not await due(NOW + timedelta(hours=23))
    assert await due(NOW + timedelta(days=1)), "the day of a new mark"
    assert await due(NOW, behind=1), "segments are a version behind"
    await desk.subject.set_state(desk.org, "frozen")
    assert not await due(NOW + timedelta(days=1)), "it is being moved: hands off"


async def a_new_epoch_begins_a_life_anew(desk: Desk) -> None:
    """What was noted is of versions that may be others now."""
    await begun(desk, 4)
    await desk.lives.note(desk.org, [Mark(2, NOW)], 2, None)
    await seal(desk, CHANNEL, 2)
    await desk.subject.raise_epoch(desk.org)
    life = await desk.lives.life(desk.org)
    assert life is not None
    assert (life.known, life.epoch) == (False, 2)
    at = Position(2, await desk.version())
    assert await desk.store.segment_page(desk.org, CHANNEL, None, at=at, rows=1000) is None
    life = await desk.lives.begin(desk.org)
    assert (life.known, life.marks, life.fold_from, life.sealed) == (True, (), 0, -1)
    assert life.folded == life.version, "nobody knows what the restored log has"
    assert await desk.lives.opened(desk.org, [CHANNEL]) == set()


async def folded_versions_are_one_write(desk: Desk) -> None:
    """Of each row its last change, in order; what stands outside is as it was."""
    ada, bea = desk.guest("Ada"), desk.guest("Bea")
    await desk.done(desk.plan(ada))
    before = await walk(desk, 1000)
    for name in ("b", "c", "d"):
        await desk.update(GUESTS, ada.id, name=name)
    await desk.done(desk.plan(bea))
    await desk.delete(GUESTS, ada.id)
    await desk.update(GUESTS, bea.id, name="e")
    changes = {e.version: e.change for e in await walk(desk, 1000)}
    assert await desk.lives.begin(desk.org)
    assert await desk.lives.fold(desk.org, 4, 8) == 3
    after = await walk(desk, 1)
    assert after[: len(before)] == before
    told = [(e.version, e.id, e.change) for e in after[len(before) :]]
    assert told == [
        (8, bea.id, changes[7]),
        (8, ada.id, changes[8]),
        (9, bea.id, changes[9]),
    ]
    assert await desk.lives.fold(desk.org, 4, 8) == 0, "again: nothing is left to fold"
    assert [(e.version, e.id, e.change) for e in await walk(desk, 1, after=5)] == told
    life = await desk.lives.life(desk.org)
    assert life is not None
    assert life.folded == 8


async def the_record_of_folded_versions_is_whole(desk: Desk) -> None:
    """It says what the log does not say any more; above, the two still have to agree."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    for name in ("b", "c", "d"):
        await desk.update(GUESTS, guest.id, name=name)
    await desk.lives.begin(desk.org)
    assert await desk.lives.fold(desk.org, 3, 5) == 2
    report = await verify(desk.store, desk.org)
    assert (report.broken, report.entries) == (None, 6)


async def a_deleted_row_stays_away_for_good(desk: Desk) -> None:
    """Also when the log has forgotten that it was deleted."""
    guest = desk.guest()
    await desk.done(desk.plan(guest))
    await desk.delete(GUESTS, guest.id)
    await desk.done(desk.plan(desk.guest()))
    await desk.lives.raise_floor(desk.org, 4)
    assert await desk.lives.prune(desk.org, limit=1000) == 4
    outcome = await desk.commit_one(desk.plan(guest))
    assert isinstance(outcome, Failed), outcome
    assert outcome.code.text == "row_gone"


async def the_floor_rises_first_and_the_log_goes_after(desk: Desk) -> None:
    """A little at a time; the floor never sinks, and never passes the head."""
    await desk.done(desk.plan(desk.guest(), desk.guest("b")))
    await desk.lives.raise_floor(desk.org, 3)
    await desk.lives.raise_floor(desk.org, 2)
    await desk.lives.raise_floor(desk.org, 99)
    head = await desk.store.head(desk.org)
    assert head is not None
    assert (head.floor, head.version) == (3, 3)
    assert [await desk.lives.prune(desk.org, limit=3) for _ in range(3)] == [3, 1, 0]
    await desk.done(desk.plan(desk.guest("c")))
    assert await desk.lives.prune(desk.org, limit=3) == 0
    entries = await desk.store.log_page(
        desk.org, 3, scan=10, scopes=None, collections=ALL_COLLECTIONS
    )
    assert entries is not None
    assert [e.version for e in entries.entries] == [4]


async def channels_are_told_with_their_rows(desk: Desk) -> None:
    """Each scope by itself, and every property together when asked for."""
    guest = desk.guest()
    await desk.done(desk.plan(guest, desk.guest("b"), desk.guest("c")))
    await desk.done(desk.plan(desk.stay(guest.id, room="1"), desk.wage("1")))
    await desk.done(desk.plan(desk.stay(guest.id, room="2", property_id=str(desk.hill))))
    wanted = {(ORG_SCOPE, GUESTS), (desk.sea, STAYS), (desk.hill, STAYS), (desk.sea, WAGES)}
    assert {*await desk.lives.channels(desk.org)} >= wanted
    assert await desk.lives.rows_up_to(desk.org, CHANNEL, 100) == 3
    assert await desk.lives.rows_up_to(desk.org, CHANNEL, 2) == 2
    assert await desk.lives.rows_up_to(desk.org, (desk.sea, STAYS), 100) == 1
    assert await desk.lives.rows_up_to(desk.org, (ALL_SCOPES, STAYS), 100) == 2
    assert await desk.lives.rows_up_to(desk.org, (uuid7(), STAYS), 100) == 0


CASES: Final[tuple[Case, ...]] = (
    an_organisation_is_due_until_it_was_looked_at,
    a_new_epoch_begins_a_life_anew,
    folded_versions_are_one_write,
    the_record_of_folded_versions_is_whole,
    a_deleted_row_stays_away_for_good,
    the_floor_rises_first_and_the_log_goes_after,
    channels_are_told_with_their_rows,
)
