"""What a promotion that may have lost a tail makes of moves.

Owns the states of organisations on the new primary, and whose turn their moves are. Promises that
at most one home takes writes afterwards, as the directory says. Never moves anything.
"""

from __future__ import annotations

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
"""Organisations that are looked at in one statement."""


async def settle_moves(conn: Conn, directory: Directory, shard: ShardRef) -> None:
    """Let a shard that may have lost a tail say of each organisation what the directory says.

    It may have lost that one was frozen or has left, and then two homes would take its writes.
    First, moves from and to the shard change hands, so that nobody flips on the word of what is
    lost. An organisation that lives here and is frozen for no move is active again.
    """
    async with directory.change(operator(), "a promotion that may have lost a tail") as c:
        await c.execute(_DIRECTORY["seize_moves"], shard.id)
        moving = {row["org_id"] for row in await c.fetch(_DIRECTORY["moving"], shard.id)}
    await directory.refresh()
    after = 0
    while True:
        cursor = await conn.execute(_SHARD["open_or_frozen"], {"after": after, "limit": _ROWS})
        found = await cursor.fetchall()
        if not found:
            return
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
