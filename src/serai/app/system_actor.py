"""Serai itself as the actor of a write.

Owns what commands and imports may do, which is what the owner of an organisation may. Never stands
for a person.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from serai.model import Vertical


class SystemActor:
    """Serai itself: sets up organisations and imports. It may do what the owner may."""

    def __init__(self, vertical: Vertical) -> None:
        """Keep the owner's role."""
        self._roles = frozenset({vertical.owner_role})
        self.user_id: Final = UUID("00000000-0000-7000-8000-000000000001")

    def may(self, collection: str, action: str, scope: UUID) -> bool:  # noqa: ARG002 - the form of an actor
        """Everything."""
        return True

    def roles(self, scope: UUID) -> frozenset[str]:  # noqa: ARG002 - the form of an actor
        """Return the owner's role."""
        return self._roles
