"""The directory, as a process sees it: which shard holds an organisation, and the platform's keys.

Owns the process's copy of the placement and the statements on the directory's database. Promises
that `resolve` answers from memory, that the copy is at most `poll_seconds` old while the directory
answers, and that known organisations are served however long it does not. Never trusts its copy for
safety: the shard itself refuses an organisation that has left (epoch and state in the same UPDATE),
and then the caller refreshes and tries again.

The copy follows the directory's version. The last changes are taken from its audit; anything but
moved organisations, or a version that is too far behind, is read whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.shard.connection import Connection, PostgresError, Record, sqlstate
from serai.shard.placement import Placement, ShardRef
from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries
from serai.shard.role import RequestRole

POLL_SECONDS_DEFAULT: Final = 1.0
CHANGES_MAX: Final = 1_000
"""Changes taken one by one; with more, the placement is read whole."""
KEYS_CACHED_MAX: Final = 100_000
CONNECTIONS_MAX: Final = 10

_CHECK_VIOLATION: Final = "23514"
_FOREIGN_KEY_VIOLATION: Final = "23503"
_EXCLUSION_VIOLATION: Final = "23P01"
_NO_ROOM: Final = "SE001"

_SQL: Final = load_queries("serai.shard", "directory.sql")


@dataclass(slots=True)
class DirectoryStats:
    """Counters. `stale_resolves`: answers given while the directory could not be asked."""

    refreshes: int = 0
    reloads: int = 0
    refresh_failures: int = 0
    stale_resolves: int = 0
    key_misses: int = 0


class Directory:
    """Use `async with await Directory.open(url) as directory`; one a process.

    Attributes:
        pool: connections to the directory's database, for identity as well.
        stats: counters.
    """

    def __init__(
        self, pool: PinnedPool, placement: Placement, role: RequestRole | None = None
    ) -> None:
        self.pool = pool
        self._role = role
        self.stats = DirectoryStats()
        self._placement = placement
        self._stale = False
        self._keys: OrderedDict[str, int] = OrderedDict()
        self._refreshing = asyncio.Lock()
        self._poller: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        role: RequestRole | None = None,
        poll_seconds: float = POLL_SECONDS_DEFAULT,
        application_name: str = "serai directory",
    ) -> Self:
        """Connect, read the placement, follow it.

        Args:
            url: of the directory's database.
            role: who this process is, here and on every shard; None: whoever the URLs name, their
                owner.
            poll_seconds: between two looks at the version.
            application_name: as PostgreSQL shows it.

        Raises:
            SeraiError: `unavailable`.
        """
        pool = PinnedPool(
            url if role is None else role.url(url),
            size_min=1,
            size_max=CONNECTIONS_MAX,
            application_name=application_name,
        )
        try:
            await pool.open()
            async with pool.connection() as c:
                directory = cls(pool, await _load(c, role), role)
        except BaseException:
            await pool.close()
            raise
        directory._poller = asyncio.create_task(directory._poll(poll_seconds))
        return directory

    async def close(self) -> None:
        """Stop following and close the connections."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        await self.pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # ------------------------------------------------------------ placement

    @property
    def version(self) -> int:
        """The directory's version that the copy stands for."""
        return self._placement.version

    @property
    def placement(self) -> Placement:
        """The copy; another object after a change of ranges or shards."""
        return self._placement

    @property
    def shards(self) -> list[ShardRef]:
        """Every shard, by id."""
        return sorted(self._placement.shards.values(), key=lambda shard: shard.id)

    def resolve(self, org_id: int) -> ShardRef:
        """Return the organisation's home shard. It does not say that the organisation exists.

        Raises:
            SeraiError: `not_found` for a number that no range holds.
        """
        if self._stale:
            self.stats.stale_resolves += 1
        home = self._placement.resolve(org_id)
        if home is None:
            raise SeraiError(Code.NOT_FOUND, "There is no such organisation.")
        return home

    async def refresh(self) -> bool:
        """Catch up with the directory now; tell whether anything changed. For a caller that met a
        moved organisation.

        Raises:
            SeraiError: `unavailable`; the copy stays as it is.
        """
        async with self._refreshing:
            try:
                async with self.pool.connection() as c:
                    changed = await self._catch_up(c)
            except SeraiError:
                self.stats.refresh_failures += 1
                self._stale = True
                raise
            self._stale = False
            self.stats.refreshes += 1
            return changed

    async def _catch_up(self, c: Connection) -> bool:
        version: int = await c.fetchval(_SQL["version"])
        behind = version - self._placement.version
        if behind == 0:
            return False
        if 0 < behind <= CHANGES_MAX:
            changes = await c.fetch(_SQL["changes"], self._placement.version, CHANGES_MAX)
            if _only_moves(self._placement.version, changes):
                moves = [(row["org_id"], row["shard_id"]) for row in changes]
                self._placement.move(changes[-1]["version"], moves)
                return True
        self._placement = await _load(c, self._role)
        self.stats.reloads += 1
        return True

    async def _poll(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            # Counted by refresh; the next round tries again.
            with contextlib.suppress(SeraiError):
                await self.refresh()

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
            self._remember(key, org_id)
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
        try:
            async with self.pool.connection() as c:
                row = await c.fetchrow(_SQL["create_organisation"], key, name, created_by)
        except PostgresError as error:
            raise _creation_refused(error) from error
        assert row is not None, "the function answers or raises"
        org_id: int = row["org_id"]
        self._remember(key, org_id)
        if self._placement.resolve(org_id) is None:
            # The range is younger than this process's copy.
            await self.refresh()
        return org_id

    def _remember(self, key: str, org_id: int) -> None:
        self._keys[key] = org_id
        if len(self._keys) > KEYS_CACHED_MAX:
            self._keys.popitem(last=False)

    # ------------------------------------------------------------ administration

    async def add_shard(self, name: str, url: str, *, actor: str, reason: str) -> int:
        """Add a shard, or change the URL of the one with this name. Return its id."""
        async with self._change(actor, reason) as c:
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
        async with self._change(actor, reason) as c:
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
            async with self._change(actor, reason) as c:
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
            async with self._change(actor, reason) as c:
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
    async def _change(self, actor: str, reason: str) -> AsyncGenerator[Connection]:
        async with self.pool.connection() as c, c.transaction():
            await c.execute(_SQL["who_and_why"], actor, reason)
            yield c

    # ------------------------------------------------------------ secrets

    async def secrets(self, kind: str) -> dict[int, bytes]:
        """Return key id -> secret of those that are not retired. The highest id is in use."""
        async with self.pool.connection() as c:
            rows = await c.fetch(_SQL["secrets"], kind)
        return {row["key_id"]: row["material"] for row in rows}

    async def ensure_secret(self, kind: str, make: Callable[[], bytes]) -> dict[int, bytes]:
        """Return the secrets of the kind; if there are none, the first to ask makes one for all."""
        found = await self.secrets(kind)
        if found:
            return found
        async with self.pool.connection() as c:
            await c.execute(_SQL["first_secret"], kind, make())
        return await self.secrets(kind)

    async def add_secret(self, kind: str, material: bytes) -> int:
        """Add a secret, to be used from now on. Return its key id."""
        async with self.pool.connection() as c:
            key_id: int = await c.fetchval(_SQL["next_secret"], kind, material)
        return key_id

    async def retire_secret(self, kind: str, key_id: int) -> None:
        """Take a secret out of use: what it sealed or signed is not accepted any more.

        The newest one stays: there is always one to seal or sign with.
        """
        async with self.pool.connection() as c:
            await c.execute(_SQL["retire_secret"], kind, key_id)


def _creation_refused(error: PostgresError) -> Exception:
    code = sqlstate(error)
    if code == _CHECK_VIOLATION:
        rule = "1 to 100 of a-z, 0-9, dot, hyphen, underscore; a letter or digit at both ends"
        return SeraiError(Code.FIELDS_INVALID, errors=(("key", rule),))
    if code == _NO_ROOM:
        return SeraiError(Code.UNAVAILABLE, "No shard has room for another organisation.")
    return error


def _only_moves(version: int, changes: list[Record]) -> bool:
    """Tell whether these are all the changes after `version`, and only of overrides."""
    numbers = [row["version"] for row in changes]
    return (
        numbers == list(range(version + 1, version + 1 + len(changes)))
        and bool(changes)
        and all(row["subject"] == "org_override" for row in changes)
    )


async def _load(c: Connection, role: RequestRole | None) -> Placement:
    # One snapshot: the version is that of the rows.
    async with c.transaction(isolation="repeatable_read", readonly=True):
        version: int = await c.fetchval(_SQL["version"])
        shards: list[Any] = await c.fetch(_SQL["shards" if role is None else "addresses"])
        ranges = await c.fetch(_SQL["ranges"])
        overrides = await c.fetch(_SQL["overrides"])
    return Placement(
        version,
        {
            s["shard_id"]: ShardRef(
                s["shard_id"], s["name"], s["url"] if role is None else role.url(s["url"])
            )
            for s in shards
        },
        [(r["first"], r["stop"], r["shard_id"]) for r in ranges],
        {o["org_id"]: o["shard_id"] for o in overrides},
    )
