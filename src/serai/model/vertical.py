"""A vertical: all that a product declares, as one checked whole.

Owns the registry of collections and the table of roles. Promises that references point to declared
collections, numbers are unique, and every role's row of the table names a collection; a `Vertical`
that exists is consistent. Never imports a vertical: the application loads one by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from serai.model.collection import Collection, Scope
from serai.model.importing import Importer

Action = str
"""`read`, `create`, `update`, `delete`, or a word of the vertical such as `approve`."""
Role = str
BASIC_ACTIONS: tuple[Literal["read"], Literal["create"], Literal["update"], Literal["delete"]] = (
    "read",
    "create",
    "update",
    "delete",
)


@dataclass(frozen=True, slots=True)
class GrantSource:
    """Where grants come from: the collection and fields that say who has which role where.

    `property_field` null means the role holds at every property.
    """

    collection: str = "memberships"
    user_field: str = "user_id"
    role_field: str = "role"
    property_field: str = "property_id"


@dataclass(frozen=True)
class Vertical:
    """A product's declaration.

    Attributes:
        name: also the schema of its tables in a shard.
        title: for people.
        collections: in order of dependency: a reference points to an earlier one or to itself.
        permissions: (role, collection) -> actions. What is not here is not allowed.
        owner_role: the role of who creates an organisation.
        grants: where roles are given.
        importers: name -> how files of a kind become rows.
    """

    name: str
    title: str
    collections: tuple[Collection, ...]
    permissions: Mapping[tuple[Role, str], frozenset[Action]]
    owner_role: Role
    grants: GrantSource = field(default_factory=GrantSource)
    importers: Mapping[str, Importer] = field(default_factory=dict[str, Importer])

    def __post_init__(self) -> None:
        """Refuse a declaration that contradicts itself (ValueError)."""
        for problem in _problems(self):
            raise ValueError(f"vertical {self.name}: {problem}")

    @cached_property
    def by_name(self) -> dict[str, Collection]:
        """Name -> collection."""
        return {c.name: c for c in self.collections}

    @cached_property
    def by_number(self) -> dict[int, Collection]:
        """Number -> collection."""
        return {c.number: c for c in self.collections}

    @cached_property
    def roles(self) -> frozenset[Role]:
        """Every role of the table."""
        return frozenset(role for role, _ in self.permissions)

    def allows(self, roles: Iterable[Role], collection: str, action: Action) -> bool:
        """Tell whether one of the roles allows the action on the collection."""
        permissions = self.permissions
        for role in roles:  # noqa: SIM110 - a third of what `any` over a generator costs
            if action in permissions.get((role, collection), ()):
                return True
        return False

    def readable_mask(self, role: Role, *, organisation: bool) -> int:
        """Return the bit mask of collections the role may read: those of the organisation, or those
        of properties.
        """
        mask = 0
        for c in self.collections:
            if (c.scope is Scope.ORGANISATION) == organisation and self.allows(
                (role,), c.name, "read"
            ):
                mask |= 1 << c.number
        return mask


def _problems(v: Vertical) -> list[str]:
    found: list[str] = []
    names = [c.name for c in v.collections]
    if len(set(names)) != len(names) or len({c.number for c in v.collections}) != len(names):
        found.append("names and numbers of collections are unique")
    for position, c in enumerate(v.collections):
        earlier = names[: position + 1]
        for field_name, declared in c.fields.items():
            if declared.target is not None and declared.target not in earlier:
                found.append(
                    f"{c.name}.{field_name}: {declared.target!r} is not declared before it"
                )
            if declared.target is not None and _is_partitioned(v, declared.target):
                found.append(f"{c.name}.{field_name}: a table by month cannot be referred to")
    found += [
        f"the table of roles names {c!r}, which is no collection"
        for _, c in v.permissions
        if c not in names
    ]
    if v.grants.collection not in names:
        found.append(f"grants come from {v.grants.collection!r}, which is no collection")
    else:
        held = v.collections[names.index(v.grants.collection)].fields
        wanted = (v.grants.user_field, v.grants.role_field, v.grants.property_field)
        found += [
            f"grants come from {v.grants.collection}.{n}, which is no field"
            for n in wanted
            if n not in held
        ]
    if v.owner_role not in v.roles:
        found.append(f"the owner's role {v.owner_role!r} is not in the table of roles")
    return found


def _is_partitioned(vertical: Vertical, name: str) -> bool:
    """Tell whether the collection is partitioned by month."""
    return any(c.name == name and c.month_of is not None for c in vertical.collections)
