"""Work at an organisation's home shard, wherever that is when it runs.

Owns the way from an organisation to its shard, and what happens when the shard says that the
organisation is not there: this process's copy of the directory is old, or is about to be. Promises
that such work is done once more at the place that the directory names then, which it waits for a
second at most; that nothing is answered from a place which the organisation had left by the time of
the answer; and that work for a shard which does not answer is refused at once
(`serai.shard.guard`). Never writes to a place on the directory's word: the shard's own fence stands
before each write.

A refusal is verified like a read: it was judged by rows, which an old home keeps for a while. A
frozen organisation is the write path's matter: its writes wait there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.log.coalesce import Coalescer
from serai.ports.store import AuditedStore, AuditEntry, AuditPage, Store

if TYPE_CHECKING:
    from serai.app.runtime import Shard
    from serai.shard.directory import Directory
    from serai.shard.placement import ShardRef

T = TypeVar("T")
Work = Callable[[Store, Coalescer], Awaitable[T]]

MOVE_SECONDS_MAX: Final = 1.0
"""How long a request waits for the directory to name the home of an organisation that has left."""
_LOOK_SECONDS: Final = 0.05
_SERVER_ERROR: Final = 500


class Homes:
    """The homes of organisations in one process.

    Args:
        directory: says where an organisation lives.
        opened: returns the shard, opened once.
    """

    def __init__(
        self, directory: Directory, opened: Callable[[ShardRef], Awaitable[Shard]]
    ) -> None:
        """Keep the parts."""
        self._directory, self._opened = directory, opened

    async def at_home(self, org_id: int, work: Work[T], *, verified: bool = False) -> T:
        """Run `work` at the organisation's home; once more if it turns out to live elsewhere.

        Args:
            verified: ask the shard after `work` whether the organisation is there still: for reads
                that do not ask by themselves.

        Raises:
            SeraiError: `not_found` for a number outside every range; `org_moved` while the
                directory names no other home; `unavailable` for a shard that does not answer;
                whatever `work` raises.
        """
        home = self._directory.resolve(org_id)
        try:
            return await self._once(home, org_id, work, verified=verified)
        except SeraiError as error:
            if error.code is not Code.ORG_MOVED:
                raise
            await self._found(home, org_id, error)
        home = self._directory.resolve(org_id)
        return await self._once(home, org_id, work, verified=verified)

    async def followed(self, org_id: int, work: Callable[[AuditedStore], Awaitable[T]]) -> T:
        """Read at the organisation's home; once more at the new one if it went there meanwhile. For
        commands: each asks the directory anew afterwards.

        Raises:
            SeraiError: `not_found` for a number outside every range; whatever `work` raises.
        """
        home = self._directory.resolve(org_id)
        (found,) = await asyncio.gather(self._read(home, work), return_exceptions=True)
        await self._directory.refresh()
        # The directory is the first to say that an organisation has gone, before its old home does.
        if self._directory.resolve(org_id) != home:
            return await self._read(self._directory.resolve(org_id), work)
        if isinstance(found, BaseException):
            raise found
        return found

    async def _read(self, home: ShardRef, work: Callable[[AuditedStore], Awaitable[T]]) -> T:
        return await work((await self._opened(home)).store)

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        """Return (grants_version, [(role, property or None for all)]) of a user."""
        return await self.at_home(
            org_id, lambda store, _: store.grants(org_id, user_id), verified=True
        )

    async def _once(self, home: ShardRef, org_id: int, work: Work[T], *, verified: bool) -> T:
        shard = await self._opened(home)

        async def done() -> T:
            try:
                result = await work(shard.store, shard.coalescer)
            except SeraiError as error:
                if error.code.kind.status < _SERVER_ERROR:
                    await _verify(shard.store, org_id)
                raise
            if verified:
                await _verify(shard.store, org_id)
            return result

        return await shard.guard.run(done)

    async def _found(self, home: ShardRef, org_id: int, error: SeraiError) -> None:
        """Return when the directory names another home; between the fence of the old one and that
        there is a moment.

        Raises:
            SeraiError: `error`, if it does not in time, or the directory cannot be asked.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + MOVE_SECONDS_MAX
        while True:
            try:
                await self._directory.refresh()
            except SeraiError as down:
                # Where it lives now is not to be known; that it is not here is.
                raise error from down
            if self._directory.resolve(org_id) != home:
                return
            left = until - loop.time()
            if left <= 0:
                raise error
            # Woken by the doorbell; the pause is for one that is not heard.
            await self._directory.changed(min(_LOOK_SECONDS, left))


class RecordAtHome:
    """The audit record of organisations, page by page from where they live then: it moves with
    them, number by number.
    """

    def __init__(self, homes: Homes) -> None:
        """Keep where they live."""
        self._homes = homes

    async def audit_page(self, org_id: int, after: int, *, limit: int) -> AuditPage | None:
        """Return entries after a number; see `AuditReader`."""
        return await self._homes.followed(
            org_id, lambda store: store.audit_page(org_id, after, limit=limit)
        )

    async def audit_list(
        self,
        org_id: int,
        *,
        before: int | None,
        row_id: UUID | None = None,
        user_id: UUID | None = None,
        limit: int,
    ) -> list[AuditEntry]:
        """Return entries before a number; see `AuditReader`."""
        return await self._homes.followed(
            org_id,
            lambda store: store.audit_list(
                org_id, before=before, row_id=row_id, user_id=user_id, limit=limit
            ),
        )


async def _verify(store: Store, org_id: int) -> None:
    """Raise `org_moved` if the organisation is not at this shard any more."""
    head = await store.head(org_id)
    if head is None or head.state == "moved":
        raise SeraiError(Code.ORG_MOVED, retry_after_seconds=1)
