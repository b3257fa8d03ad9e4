"""The keeper: looks after the logs of a shard, a little at a time.

Owns the order of the steps of one look at an organisation, and of a pass over a shard. Promises
that each step is a transaction of its own after which everything is right, so that it may be killed
anywhere; that a look does a bounded amount of work, and comes back if there is more; that an
organisation with which something is wrong stops nobody else's. Never is needed: without it the log
grows and fills read rows, nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import zstandard

from serai.core.channels import Channel
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.limits import (
    LOG_KEYS_MAX,
    PRUNE_ROWS_MAX,
    SEGMENT_BEHIND_MAX,
)
from serai.log.life import (
    Policy,
    aged,
    due_next,
    last_changes,
    marked,
    next_fold,
    pieces,
    still_needed,
    stretches,
    whole_versions,
)
from serai.ports.life import Block, Life, LifeStore, LogKey, Part

_LEVEL: Final = 9
"""Of zstd. Real bookings: 14 B a row at 2.7 us, where level 3 has 19 B and level 12 13.8 B at 4 to
7 us; who unpacks pays the same for each."""
_PARTS_MAX: Final = 8
"""Parts that one look seals."""
Pack = Callable[[bytes], Awaitable[bytes]]


def packed(text: bytes) -> bytes:
    """Return a text as one zstd frame."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(text)


async def packed_aside(text: bytes) -> bytes:
    """Do so in a thread: a block takes a millisecond or two, for which no request should wait."""
    return await asyncio.to_thread(packed, text)


@dataclass(slots=True)
class Done:
    """What a look did, for metrics and tests.

    Attributes:
        folded, pruned: changes that went.
        sealed: rows that were sealed; blocks: in so many blocks.
        more: there was more to do than a look may.
    """

    folded: int = 0
    pruned: int = 0
    sealed: int = 0
    blocks: int = 0
    more: bool = False


class Keeper:
    """Looks after one shard.

    Args:
        store: its logs.
        policy: what the deployment chose.
        pack: makes a text a zstd frame.
    """

    def __init__(self, store: LifeStore, policy: Policy, pack: Pack = packed_aside) -> None:
        """Start at the first organisation."""
        self._store = store
        self._policy = policy
        self._pack = pack
        self._after = 0

    async def some(self, now: datetime, *, scan: int) -> tuple[list[Life], bool]:
        """Return which of the next organisations are due, and whether those were the last ones.

        After the last the first comes again.
        """
        lives, after = await self._store.lives(
            self._after, scan=scan, now=now, behind=self._policy.behind
        )
        self._after = after or 0
        return lives, after is None

    @property
    def at_start(self) -> bool:
        """Whether the first organisation comes next."""
        return self._after == 0

    async def again(self, org_id: int) -> Life | None:
        """Return where an organisation stands that was just looked at, None if it is gone."""
        return await self._store.life(org_id)

    async def look(self, life: Life, now: datetime) -> Done:
        """Do what is due for one organisation.

        Raises:
            SeraiError, PostgresError: of a step; those before it are done.
        """
        done = Done()
        if not life.known:
            life = await self._begin(life.org_id)
        marks = marked(life.marks, life.version, now)
        floor = max(aged(marks, now, self._policy.horizon), life.floor)
        if life.sealed < floor:
            # Of what was written below the floor nobody can tell which blocks it touched.
            life = await self._begin(life.org_id)
        if floor > life.floor:
            await self._store.raise_floor(life.org_id, floor)
        if floor:
            done.pruned = await self._store.prune(life.org_id, limit=PRUNE_ROWS_MAX)
            done.more = done.pruned >= PRUNE_ROWS_MAX
        through = aged(marks, now, self._policy.fold_after)
        fold_from = await self._fold(life, max(life.fold_from, floor), through, done)
        await self._seal(life, done)
        marks = still_needed(marks, floor)
        due = now if done.more else due_next(marks, floor, now, self._policy)
        await self._store.note(life.org_id, marks, fold_from, due)
        return done

    async def _begin(self, org_id: int) -> Life:
        """Begin a life. Its segments are at no version until every channel that is to have some was
        found: killed before that, it begins again.
        """
        life = await self._store.begin(org_id)
        if self._policy.segment_rows:
            await self._open(life, await self._store.channels(org_id))
        await self._store.advance(org_id, life.sealed, life.version, [])
        return replace(life, sealed=life.version)

    async def _fold(self, life: Life, since: int, through: int, done: Done) -> int:
        """Fold what is old enough; return where the next look goes on."""
        if since >= through:
            return since
        keys = await self._store.log_keys(life.org_id, since, limit=LOG_KEYS_MAX)
        cut = stretches(whole_versions(keys, LOG_KEYS_MAX), through)
        for each in cut:
            if each.worth:
                done.folded += await self._store.fold(life.org_id, each.first, each.last)
        done.more |= len(keys) == LOG_KEYS_MAX and keys[-1].version <= through
        return next_fold(cut, since)

    async def _seal(self, life: Life, done: Done) -> None:
        """Go on with the segments: note which parts changed, then seal some that did."""
        if not self._policy.segment_rows:
            return
        if life.version - life.sealed >= self._policy.behind:
            keys = await self._store.log_keys(life.org_id, life.sealed, limit=SEGMENT_BEHIND_MAX)
            whole = whole_versions(keys, SEGMENT_BEHIND_MAX)
            done.more |= len(keys) == SEGMENT_BEHIND_MAX
            await self._advance(life, whole)
        for part in await self._store.stale(life.org_id, limit=_PARTS_MAX):
            await self._seal_part(life.org_id, part, done)
            done.more = True

    async def _advance(self, life: Life, keys: list[LogKey]) -> None:
        touched = last_changes(keys)
        channels = [*dict.fromkeys((k.scope, k.collection) for k in touched)]
        wide = [*dict.fromkeys((ALL_SCOPES, n) for scope, n in channels if scope != ORG_SCOPE)]
        known = await self._store.opened(life.org_id, [*channels, *wide])
        # First, for nobody looks at these changes again.
        await self._open(life, [c for c in [*channels, *wide] if c not in known])
        if keys:
            await self._store.advance(life.org_id, life.sealed, keys[-1].version, touched)

    async def _open(self, life: Life, channels: list[Channel]) -> None:
        """Begin segments of those channels that have rows enough."""
        least = self._policy.segment_rows
        wide = [(ALL_SCOPES, number) for scope, number in channels if scope != ORG_SCOPE]
        for channel in dict.fromkeys([*channels, *wide]):
            if await self._store.rows_up_to(life.org_id, channel, least) >= least:
                await self._store.open_channel(life.org_id, channel)

    async def _seal_part(self, org_id: int, part: Part, done: Done) -> None:
        """Seal a part, or as much of it as is read at once."""
        at = await self._store.part_rows(org_id, part, limit=self._policy.part_rows)
        if at is None:
            return
        whole = len(at.rows) < self._policy.part_rows
        blocks: list[Block] = []
        for last, rows in pieces(part, at.rows, self._policy.block_rows, whole=whole):
            text = ",".join([row.change for row in rows]).encode()
            body = await self._pack(text) if rows else b""
            blocks.append(Block(last, len(rows), len(text), body))
        if not blocks or blocks[-1].last != part.last:
            blocks.append(Block(part.last, 0, 0, None))
        if await self._store.put(org_id, part, at, blocks, again=not whole):
            done.sealed += sum(block.rows for block in blocks)
            done.blocks += sum(block.body is not None for block in blocks)
