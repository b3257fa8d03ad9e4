"""Grants, remembered for a moment.

Owns which roles a user has in an organisation, as the organisation's shard tells, and for how long
that answer may be used again. Promises that a grant is at most 5 seconds old, or was confirmed
within 5 seconds by someone who read the organisation's `grants_version`, and that a newer
`grants_version` ends it at once. Never gives a grant that it did not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from serai.core.clock import Clock
from serai.core.limits import GRANTS_CACHE_MAX, IDENTITY_STALE_SECONDS_MAX
from serai.gate.bounded import Bounded
from serai.gate.caller import Grant
from serai.model import Vertical

_READS_MAX: Final = 3


class GrantSource(Protocol):
    """Where grants are read: at the organisation's home; a store, for the organisations of one
    shard.
    """

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        """Return (grants_version, [(role, property or None for all)]) of a user."""
        ...


@dataclass(frozen=True, slots=True)
class _Noticed:
    """The newest `grants_version` of an organisation that anyone has read, and when."""

    version: int
    at: datetime


class GrantCache:
    """Grants by (organisation, user).

    Attributes:
        reads: of a shard so far.
    """

    def __init__(self, clock: Clock, size_max: int = GRANTS_CACHE_MAX) -> None:
        self._clock = clock
        self._grants: Bounded[tuple[int, UUID], tuple[Grant, datetime]] = Bounded(size_max)
        self._noticed: Bounded[int, _Noticed] = Bounded(size_max)
        self.reads = 0

    def notice(self, org_id: int, grants_version: int) -> None:
        """Tell that the organisation's `grants_version` was just read; whoever reads its head does
        so.
        """
        self._note(org_id, grants_version, self._clock.now())

    async def get(
        self, source: GrantSource, org_id: int, user_id: UUID, vertical: Vertical
    ) -> Grant:
        """Return the user's grant; without roles if there is no membership."""
        held = self._grants.get((org_id, user_id))
        if held is not None and self._usable(org_id, *held):
            return held[0]
        grant, began = await self._read(source, org_id, user_id, vertical)
        for _ in range(_READS_MAX - 1):
            if not self._outrun(org_id, grant):
                break
            # Somebody saw a newer number while we read: what we hold may be what was just taken
            # away.
            grant, began = await self._read(source, org_id, user_id, vertical)
        self._grants.put((org_id, user_id), (grant, began))
        return grant

    def forget(self, org_id: int, user_id: UUID) -> None:
        """Drop what is remembered of one user."""
        self._grants.drop((org_id, user_id))

    async def _read(
        self, source: GrantSource, org_id: int, user_id: UUID, vertical: Vertical
    ) -> tuple[Grant, datetime]:
        began = self._clock.now()
        self.reads += 1
        version, memberships = await source.grants(org_id, user_id)
        self._note(org_id, version, began)
        return Grant.from_memberships(vertical, version, memberships), began

    def _note(self, org_id: int, version: int, at: datetime) -> None:
        known = self._noticed.get(org_id)
        # A lower number is an older read, until the higher one itself is old: after a restore the
        # number may have gone
        # back for good.
        if known is None or version >= known.version or not _recent(known.at, at):
            self._noticed.put(org_id, _Noticed(version, at))

    def _usable(self, org_id: int, grant: Grant, read_at: datetime) -> bool:
        now = self._clock.now()
        noticed = self._noticed.get(org_id)
        if noticed is None or not _recent(noticed.at, now):
            return _recent(read_at, now)
        # Equal numbers confirm the grant; any other ends it.
        return noticed.version == grant.version

    def _outrun(self, org_id: int, grant: Grant) -> bool:
        noticed = self._noticed.get(org_id)
        recent = noticed is not None and _recent(noticed.at, self._clock.now())
        return recent and noticed is not None and noticed.version > grant.version


def _recent(at: datetime, now: datetime) -> bool:
    """Tell whether `at` lies less than the bound ago. A clock that was set back makes everything
    old.
    """
    return 0 <= (now - at).total_seconds() < IDENTITY_STALE_SECONDS_MAX
