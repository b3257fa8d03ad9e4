"""Who asks in a run: a header says it, roles are read as ever.

Owns what stands for signing in, which is not simulated. Promises that grants are kept and forgotten
by the code that ships. Never checks who somebody says they are.
"""

from __future__ import annotations

from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.gate.caller import Caller
from serai.gate.grants import GrantCache, GrantSource
from serai.model import Vertical
from serai.testing.simulation.loop import VirtualClock

ORG = 7
NEIGHBOUR_ORG = 8
BUYER_ORG = 9
NEIGHBOUR = UUID(int=0xE)
"""The one user of the neighbour."""
BUYER = UUID(int=0xB0)
"""The one user of the buyer."""


def org_of(user: UUID) -> int:
    """Return the organisation of a user."""
    return {NEIGHBOUR: NEIGHBOUR_ORG, BUYER: BUYER_ORG}.get(user, ORG)


class Identity:
    """Who asks is what the header says; what they may see is read as ever."""

    def __init__(self, source: GrantSource, vertical: Vertical, clock: VirtualClock) -> None:
        """Know nobody yet."""
        self.grants = GrantCache(clock)
        self.identity = self
        self.signed_out: set[UUID] = set()
        self._source = source
        self._vertical = vertical

    async def resolve(self, authorization: str | None) -> Caller:
        """Return the caller whose id is in the header."""
        assert authorization is not None, "devices say who they are"
        return await self.caller(UUID(authorization.removeprefix("Bearer ")))

    async def resolve_own(self, authorization: str | None) -> Caller:
        """Return the caller whose id is in the header."""
        return await self.resolve(authorization)

    async def caller(self, user: UUID) -> Caller:
        """Return the caller of a user."""
        if user in self.signed_out:
            raise SeraiError(Code.UNAUTHENTICATED)
        org_id = org_of(user)
        grant = await self.grants.get(self._source, org_id, user, self._vertical)
        return Caller(org_id, user, grant, self._vertical)
