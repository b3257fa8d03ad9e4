"""The directory, as a process sees it: which shard holds an organisation.

Owns the statements on the directory's database that concern organisations and their placement.
Promises that `resolve` answers from memory, that the copy of the placement is at most
`poll_seconds` old while the directory answers (`follow.py`), and that known organisations are
served however long it does not. Never trusts its copy for safety: the shard itself refuses an
organisation that has left (epoch and state in the same UPDATE), and then the caller refreshes and
tries again.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator
from functools import partial
from typing import Final, Literal, Self
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.shard.connection import Connection, PostgresError, connect, sqlstate
from serai.shard.doorbell import Doorbell
from serai.shard.follow import CHANNEL, Follower, load_placement
from serai.shard.placement import Placement, ShardRef
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries
from serai.shard.role import RequestRole

POLL_SECONDS_DEFAULT: Final = 1.0
KEYS_CACHED_MAX: Final = 100_000
CONNECTIONS_MAX: Final = 10

_CHECK_VIOLATION: Final = "23514"
_FOREIGN_KEY_VIOLATION: Final = "23503"
_EXCLUSION_VIOLATION: Final = "23P01"
_NO_ROOM: Final = "SE001"

_SQL: Final = load_queries("serai.shard", "directory.sql")


class Directory:
    """Use `async with await Directory.open(url) as directory`; one a process.

    Attributes:
        pool: connections to the directory's database, for identity as well.
        stats: counters.
    """

    def __init__(self, pool: PinnedPool, follower: Follower) -> None:
        self.pool = pool
        self.stats = follower.stats
        self._follower = follower
        self._keys: OrderedDict[str, int] = OrderedDict()

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        role: RequestRole | None = None,
        poll_seconds: float = POLL_SECONDS_DEFAULT,
        listen: bool = True,
        application_name: str = "serai directory",
    ) -> Self:
        """Connect, read the placement, follow it.

        Args:
            url: of the directory's database.
            role: who this process is, here and on every shard; None: whoever the URLs name, their
                owner.
            poll_seconds: between two looks at the version.
            listen: to the doorbell as well, by a connection of its own.
            application_name: as PostgreSQL shows it.

        Raises:
            SeraiError: `unavailable`.
        """
        own = url if role is None else role.url(url)
        pool = PinnedPool(
            own, size_min=1, size_max=CONNECTIONS_MAX, application_name=application_name
        )
        bell = Doorbell(partial(connect, own, application_name="serai doorbell"), CHANNEL)
        try:
            await pool.open()
            async with pool.connection() as c:
                follower = Follower(pool, role, await load_placement(c, role), bell)
        except BaseException:
            await pool.close()
            raise
        follower.start(poll_seconds, listen=listen)
        return cls(pool, follower)

    async def close(self) -> None:
        """Stop following and close the connections."""
        await self.unfollow()
        await self.pool.close()

    async def unfollow(self) -> None:
        """Stop following: the copy changes at `refresh` alone from now on."""
        await self._follower.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # ------------------------------------------------------------ placement

    @property
    def version(self) -> int:
        """The directory's version that the copy stands for."""
        return self.placement.version

    @property
    def placement(self) -> Placement:
        """The copy; another object after a change of ranges or shards."""
        return self._follower.placement

    @property
    def listening(self) -> bool:
        """Whether a change would be heard at once."""
        return self._follower.bell.listening

    @property
    def shards(self) -> list[ShardRef]:
        """Every shard, by id."""
        return sorted(self.placement.shards.values(), key=lambda shard: shard.id)

    def resolve(self, org_id: int) -> ShardRef:
        """Return the organisation's home shard. It does not say that the organisation exists.

        Raises:
            SeraiError: `not_found` for a number that no range holds.
        """
        if self._follower.stale:
            self.stats.stale_resolves += 1
        home = self.placement.resolve(org_id)
        if home is None:
            raise SeraiError(Code.NOT_FOUND, "There is no such organisation.")
        return home

    async def refresh(self) -> bool:
        """Catch up with the directory now; tell whether anything changed. For a caller that met a
        moved organisation.

        Raises:
            SeraiError: `unavailable`; the copy stays as it is.
        """
        return await self._follower.refresh()

    async def changed(self, seconds: float) -> bool:
        """Wait for a change of placement, so long at most; tell whether there was one."""
        return await self._follower.changed(seconds)

    # ------------------------------------------------------------ organisations

    async def org_by_key(self, key: str) -> int | None:
        """Return the organisation with this key, None if there is none. Known keys are answered
        from memory.

        Raises:
            SeraiError: `unavailable` for a key that is not known here yet.
        """
        known = self._keys.get(key)
        if known is not None:
            return known
        self.stats.key_misses += 1
        async with self.pool.connection() as c:
            org_id: int | None = await c.fetchval(_SQL["org_by_key"], key)
        if org_id is not None:
            self.remember(key, org_id)
        return org_id

    async def organisations(self, *, limit: int) -> list[tuple[int, str, str]]:
        """Return (number, key, name) of the first `limit` organisations."""
        async with self.pool.connection() as c:
            rows = await c.fetch(_SQL["organisations"], limit)
        return [(row["org_id"], row["key"], row["name"]) for row in rows]

    async def create_organisation(
        self, key: str, *, name: str = "", created_by: UUID | None = None
    ) -> int:
        """Return the organisation with this key, made now if there was none: same key, same number.

        The caller then calls the shard's `create_org`, which is idempotent too.

        Raises:
            SeraiError: `fields_invalid` for a key that is not one, `unavailable` if no open range
            has room.
        """
        if key.isdecimal():
            # Commands take a key or a number, and would take this one for another's number.
            raise SeraiError(Code.FIELDS_INVALID, errors=(("key", "has digits alone"),))
        try:
            async with self.pool.connection() as c:
                row = await c.fetchrow(_SQL["create_organisation"], key, name, created_by)
        except PostgresError as error:
            raise _creation_refused(error) from error
        assert row is not None, "the function answers or raises"
        org_id: int = row["org_id"]
        self.remember(key, org_id)
        if not row["created"] or self.placement.resolve(org_id) is None:
            # It may have moved, or its range is younger than this process's copy: nobody is to be
            # made at a home that was left.
            await self.refresh()
        return org_id

    def remember(self, key: str, org_id: int) -> None:
        """Answer `org_by_key` from memory from now on: a key's number never changes."""
        self._keys[key] = org_id
        if len(self._keys) > KEYS_CACHED_MAX:
            self._keys.popitem(last=False)

    # ------------------------------------------------------------ administration

    async def add_shard(self, name: str, url: str, *, actor: str, reason: str) -> int:
        """Add a shard, or change the URL of the one with this name. Return its id."""
        async with self.change(actor, reason) as c:
            shard_id: int | None = await c.fetchval(_SQL["add_shard"], name, url)
            if shard_id is None:
                shard_id = await c.fetchval(_SQL["shard_by_name"], name)
        await self.refresh()
        assert shard_id is not None, "it was added or was there"
        return shard_id

    async def set_shard_state(
        self,
        shard_id: int,
        state: Literal["open", "closed", "draining"],
        *,
        actor: str,
        reason: str,
    ) -> None:
        """Say whether the shard gets new organisations."""
        async with self.change(actor, reason) as c:
            await c.execute(_SQL["set_shard_state"], shard_id, state)
        await self.refresh()

    async def add_range(
        self, shard_id: int, first: int, stop: int, *, actor: str, reason: str
    ) -> None:
        """Give the shard the organisations from `first` up to, not with, `stop`. Idempotent.

        Raises:
            SeraiError: `conflict` if another range holds one of them.
        """
        try:
            async with self.change(actor, reason) as c:
                if not await c.fetchval(_SQL["range_exists"], shard_id, first, stop):
                    await c.execute(_SQL["add_range"], shard_id, first, stop)
        except PostgresError as error:
            if sqlstate(error) != _EXCLUSION_VIOLATION:
                raise
            raise SeraiError(Code.CONFLICT, "Another range holds some of them.") from error
        await self.refresh()

    async def set_override(
        self, org_id: int, shard_id: int | None, *, actor: str, reason: str
    ) -> None:
        """Say that the organisation lives on this shard; None: where its range says.

        The last step of a move: the data must be there, and the old home must refuse writes
        already.

        Raises:
            SeraiError: `not_found` if there is no such organisation or shard.
        """
        try:
            async with self.change(actor, reason) as c:
                if shard_id is None:
                    await c.execute(_SQL["clear_override"], org_id)
                else:
                    await c.execute(_SQL["set_override"], org_id, shard_id)
        except PostgresError as error:
            if sqlstate(error) != _FOREIGN_KEY_VIOLATION:
                raise
            raise SeraiError(Code.NOT_FOUND, "There is no such organisation or shard.") from error
        await self.refresh()

    @contextlib.asynccontextmanager
    async def change(self, actor: str, reason: str) -> AsyncGenerator[Connection]:
        """Yield a transaction on the directory, in which the audit knows who and why."""
        async with self.pool.connection() as c, c.transaction():
            await c.execute(_SQL["who_and_why"], actor, reason)
            yield c


def _creation_refused(error: PostgresError) -> Exception:
    code = sqlstate(error)
    if code == _CHECK_VIOLATION:
        rule = "1 to 100 of a-z, 0-9, dot, hyphen, underscore; a letter or digit at both ends"
        return SeraiError(Code.FIELDS_INVALID, errors=(("key", rule),))
    if code == _NO_ROOM:
        return SeraiError(Code.UNAVAILABLE, "No shard has room for another organisation.")
    return error
