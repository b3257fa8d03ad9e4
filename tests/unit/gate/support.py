"""What the tests of the gate share: a clock to set, a small vertical, memberships to change.

Owns no test. The memberships stand in for an organisation's shard only where the gate's own memory
is the matter; everything about the directory runs on a real one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID

from serai.gate.keys import KeyRing, SigningKey
from serai.model import Collection, GrantSource, Scope, Vertical, reference, text, user

if TYPE_CHECKING:
    from serai.ports.store import Store

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LISBON = UUID("0198c0de-0000-7000-8000-000000000001")
PORTO = UUID("0198c0de-0000-7000-8000-000000000002")
ANA = UUID("0198c0de-0000-7000-8000-0000000000a1")
BEN = UUID("0198c0de-0000-7000-8000-0000000000b2")
SESSION = UUID("0198c0de-0000-7000-8000-0000000000f1")

VERTICAL = Vertical(
    name="inn",
    title="Inn",
    collections=(
        Collection(
            name="properties",
            number=1,
            doc="Houses",
            scope=Scope.ORGANISATION,
            fields={"name": text("Name")},
        ),
        Collection(
            name="memberships",
            number=2,
            doc="Who has which role where",
            scope=Scope.ORGANISATION,
            fields={
                "user_id": user("Who"),
                "role": text("Role"),
                "house": reference("properties", "Where", optional=True),
            },
        ),
        Collection(
            name="stays",
            number=3,
            doc="Stays",
            scope=Scope.PROPERTY,
            fields={"note": text("Note")},
        ),
    ),
    permissions={
        ("owner", "properties"): frozenset({"read", "create", "update", "delete"}),
        ("owner", "memberships"): frozenset({"read", "create", "update", "delete"}),
        ("owner", "stays"): frozenset({"read", "create", "update", "delete"}),
        ("manager", "properties"): frozenset({"read"}),
        ("manager", "memberships"): frozenset({"read", "create"}),
        ("manager", "stays"): frozenset({"read", "create", "update"}),
        ("desk", "properties"): frozenset({"read"}),
        ("desk", "stays"): frozenset({"read", "create"}),
    },
    owner_role="owner",
    grants=GrantSource(property_field="house"),
)


class SetClock:
    """A clock that stands still until it is told."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Memberships:
    """The part of a store that the gate asks: who has which role, under a number that rises."""

    def __init__(self) -> None:
        self.version = 1
        self.roles: dict[tuple[int, UUID], list[tuple[str, UUID | None]]] = {}
        self.asked = 0

    def give(self, org_id: int, user_id: UUID, *roles: tuple[str, UUID | None]) -> int:
        """Replace the user's roles; return the new `grants_version`."""
        self.roles[org_id, user_id] = list(roles)
        self.version += 1
        return self.version

    async def grants(self, org_id: int, user_id: UUID) -> tuple[int, list[tuple[str, UUID | None]]]:
        self.asked += 1
        return self.version, list(self.roles.get((org_id, user_id), []))

    def as_store(self) -> Store:
        return cast("Store", self)


def ring_of(*seeds: bytes, now: datetime = START) -> KeyRing:
    """Return a ring of settled keys 1, 2, 3 ... made of these seeds."""
    born = now - timedelta(days=1)
    keys = [SigningKey(n, born, None, seed.ljust(32, b"!")) for n, seed in enumerate(seeds, 1)]
    return KeyRing.of(keys, now)
