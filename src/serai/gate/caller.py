"""The caller: every request resolves to one (organisation, user, grant).

Owns the answer to "who asks, and what may they see and do". A grant is a set of (role, scope);
channels follow from it. Never decides about a single field: a restricted field lives in a
collection of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from msgspec import Struct

from serai.core.channels import ChannelSet, normal
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.model import Vertical


@dataclass(frozen=True)
class Grant:
    """Roles of one user in one organisation.

    Attributes:
        version: `grants_version` of the organisation when it was read.
        by_scope: scope -> roles; `ALL_SCOPES` for roles at every property.
        channels: what may be read.
        everywhere: roles at every property.
        anywhere: roles held at any property.
    """

    version: int
    by_scope: dict[UUID, frozenset[str]]
    channels: ChannelSet

    @cached_property
    def everywhere(self) -> frozenset[str]:
        return self.by_scope.get(ALL_SCOPES, frozenset())

    @cached_property
    def anywhere(self) -> frozenset[str]:
        return frozenset[str]().union(*self.by_scope.values())

    @classmethod
    def from_memberships(
        cls, vertical: Vertical, version: int, memberships: Iterable[tuple[str, UUID | None]]
    ) -> Grant:
        """Build the grant from (role, property or None for all) pairs."""
        by_scope: dict[UUID, set[str]] = {}
        channels: dict[UUID, int] = {}
        for role, property_id in memberships:
            scope = ALL_SCOPES if property_id is None else property_id
            by_scope.setdefault(scope, set()).add(role)
            channels[scope] = channels.get(scope, 0) | vertical.readable_mask(
                role, organisation=False
            )
            channels[ORG_SCOPE] = channels.get(ORG_SCOPE, 0) | vertical.readable_mask(
                role, organisation=True
            )
        return cls(version, {s: frozenset(r) for s, r in by_scope.items()}, normal(channels))


class Caller(Struct, frozen=True):
    """Who asks. It is the `Actor` that rules see. For a `machine`, `user_id` is the id of its API
    key. `device_id` tells the audit record from where: the session (the directory knows its
    device), or the key.
    """

    org_id: int
    user_id: UUID
    grant: Grant
    vertical: Vertical
    machine: bool = False
    device_id: UUID | None = None

    def roles(self, scope: UUID) -> frozenset[str]:
        """Return the roles at the scope; for the organisation itself, the roles held at any
        property.
        """
        grant = self.grant
        if scope == ORG_SCOPE:
            return grant.anywhere
        here = grant.by_scope.get(scope)
        return grant.everywhere if here is None else grant.everywhere | here

    def may(self, collection: str, action: str, scope: UUID) -> bool:
        """Tell whether a role at the scope allows the action."""
        return self.vertical.allows(self.roles(scope), collection, action)
