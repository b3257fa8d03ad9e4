"""What a promotion that may have lost a tail makes of organisations and their moves.

Owns the epochs and states of organisations on the new primary, whose turn their moves are, and the
verdict on each that should live there. Promises that at most one home takes writes afterwards, as
the directory says, and that one which the tail held is found, by facts that its record of moves and
the rows of both shards have: docs/decisions/0025-moves.md. Never moves anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from serai.app.operator import operator
from serai.schema.database import Conn
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef
from serai.shard.queries import load_queries

_SHARD: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "promotion.sql").items()
}
_DIRECTORY: Final = load_queries("serai.app", "promotion_moves.sql")
_ROWS: Final = 10_000
"""Organisations that are looked at in one statement, or whose epoch rises in one transaction."""


class Verdict(StrEnum):
    """What is left of an organisation on the shard where it should live."""

    HERE = "here"
    LOST = "lost"
    """A copy was kept, and is to be opened."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Placed:
    """An organisation that the directory places on the shard, and the move that brought it there.

    Attributes:
        since: the term of its claim, 0 if it never moved.
        kept: the old copy was not removed. returns: the move brought it back to a kept copy here.
        came_from: id of the shard; None if it never moved.
    """

    org_id: int
    key: str
    since: int
    kept: bool
    returns: bool
    came_from: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """What the shard says of it. `term`: of its last mover. `partial`: rows may be missing."""

    state: str
    term: int
    partial: bool


@dataclass(slots=True)
class Settled:
    """Organisations that should live on the shard and are not open there: those of which a copy was
    kept, and those of which none is known.
    """

    lost: list[Placed] = field(default_factory=list[Placed])
    missing: list[Placed] = field(default_factory=list[Placed])


def judged(placed: Placed, row: Row | None) -> Verdict:
    """Return what is left. By terms, because a version says nothing once the epoch has risen."""
    is_open = row is not None and row.state != "moved"
    if row is not None and is_open and row.term >= placed.since:
        return Verdict.HERE
    if placed.returns:
        whole = row is not None and not row.partial
        return Verdict.LOST if whole else Verdict.MISSING
    if placed.kept:
        return Verdict.LOST
    # Of an older stay, where nothing better is left.
    return Verdict.HERE if is_open else Verdict.MISSING


async def raise_epochs(conn: Conn, progress: Callable[[int], None]) -> int:
    """Raise the epoch of every organisation here, so that no version means two writes. Cut off, it
    begins anew: an epoch that rose twice is no harm.
    """
    done, after = 0, 0
    while True:
        row = await (
            await conn.execute(_SHARD["raise_epochs"], {"after": after, "limit": _ROWS})
        ).fetchone()
        assert row is not None, "an aggregate has one row"
        count, last = row
        if not count:
            return done
        done, after = done + count, last
        progress(done)


async def settle_moves(conn: Conn, directory: Directory, shard: ShardRef) -> Settled:
    """Let a shard that may have lost a tail say of each organisation what the directory says;
    return those that it should have and has not.

    It may have lost that one was frozen or has left, and then two homes would take its writes.
    First, moves from and to the shard change hands, so that nobody flips on the word of what is
    lost. An organisation that lives here and is frozen for no move is active again; one that is
    lost takes no writes here, whatever an older stay has left.
    """
    async with directory.change(operator(), "a promotion that may have lost a tail") as c:
        await c.execute(_DIRECTORY["seize_moves"], shard.id)
        moving = {row["org_id"] for row in await c.fetch(_DIRECTORY["moving"], shard.id)}
    await directory.refresh()
    settled = await _not_here(conn, directory, shard)
    after = 0
    while True:
        cursor = await conn.execute(_SHARD["open_or_frozen"], {"after": after, "limit": _ROWS})
        found = await cursor.fetchall()
        if not found:
            return settled
        after = found[-1][0]
        away = [org for org, _ in found if directory.resolve(org).id != shard.id]
        here = [org for org, state in found if state == "frozen" and org not in {*away, *moving}]
        for orgs, state in (
            # One that has flipped is closed by whoever ends its move.
            ([org for org in away if org in moving], "frozen"),
            ([org for org in away if org not in moving], "moved"),
            (here, "active"),
        ):
            await conn.execute(_SHARD["settle"], {"orgs": orgs, "state": state})


async def _not_here(conn: Conn, directory: Directory, shard: ShardRef) -> Settled:
    """Look for every organisation that should live here, and close what is here of lost ones."""
    settled, after = Settled(), 0
    while True:
        async with directory.pool.connection() as c:
            page = [
                Placed(*row) for row in await c.fetch(_DIRECTORY["homed"], shard.id, after, _ROWS)
            ]
        if not page:
            return settled
        after = page[-1].org_id
        cursor = await conn.execute(_SHARD["rows_of"], {"orgs": [each.org_id for each in page]})
        rows = {org_id: Row(*row) for org_id, *row in await cursor.fetchall()}
        verdicts = [(each, judged(each, rows.get(each.org_id))) for each in page]
        lost = [each for each, verdict in verdicts if verdict is Verdict.LOST]
        await conn.execute(_SHARD["leave"], {"orgs": [each.org_id for each in lost]})
        settled.lost += lost
        settled.missing += [each for each, verdict in verdicts if verdict is Verdict.MISSING]
