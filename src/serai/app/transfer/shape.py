"""What a transfer means for a vertical: which collections go, what they refer to, what ends.

Owns what follows from the declaration alone. Promises that every reference of a collection is
accounted for: it stays within the property, leads to what the organisation shares and is mapped, or
is a reason why no property of this vertical can be transferred. Never reads a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from serai.model import Collection, Scope, Vertical


class Link(NamedTuple):
    """A reference: rows of `source` name a row of `target` in `field`."""

    source: Collection
    field: str
    target: Collection


@dataclass(frozen=True, slots=True)
class Shape:
    """The vertical as a transfer sees it.

    Attributes:
        own: collections whose rows belong to a property, in order of dependency.
        shared: those of the organisation that rows of a property lead to, in order of dependency.
        mapped: links from `own` and `shared` to `shared`.
        inside: links between rows of properties.
        grants: the link by which roles are given at a property; its rows end.
        others: links by which further rows of the organisation lead into a property.
        problems: why no property can be transferred, a sentence each.
    """

    vertical: Vertical
    own: tuple[Collection, ...]
    shared: tuple[Collection, ...]
    mapped: tuple[Link, ...]
    inside: tuple[Link, ...]
    grants: Link
    others: tuple[Link, ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, vertical: Vertical) -> Self:
        """Take the declaration apart.

        Raises:
            ValueError: roles are given at something that is no reference.
        """
        links = [
            Link(c, name, vertical.by_name[f.target])
            for c in vertical.collections
            for name, f in c.fields.items()
            if f.target is not None
        ]
        wide = {c.name for c in vertical.collections if c.scope is Scope.ORGANISATION}
        source = vertical.grants
        grants = next(
            (
                link
                for link in links
                if (link.source.name, link.field) == (source.collection, source.property_field)
            ),
            None,
        )
        if grants is None:
            raise ValueError(f"{source.collection}.{source.property_field} refers to no collection")
        reached = _reached(links, wide)
        own = tuple(c for c in vertical.collections if c.name not in wide)
        mapped = [
            link
            for link in links
            if link.target.name in wide
            and (link.source.name not in wide or link.source.name in reached)
        ]
        into = [link for link in links if link.target.name not in wide]
        return cls(
            vertical=vertical,
            own=own,
            shared=tuple(c for c in vertical.collections if c.name in reached),
            mapped=tuple(mapped),
            inside=tuple(link for link in into if link.source.name not in wide),
            grants=grants,
            others=tuple(link for link in into if link.source.name in wide and link != grants),
            problems=tuple(_problems(links, reached, grants, own)),
        )

    @property
    def place(self) -> Collection:
        """The collection of properties."""
        return self.grants.target

    def links_of(self, collection: Collection) -> list[Link]:
        """Return the links of a collection that are mapped."""
        return [link for link in self.mapped if link.source.name == collection.name]


def _reached(links: list[Link], wide: set[str]) -> set[str]:
    """Return the collections of the organisation that rows of a property lead to, by any way."""
    reached: set[str] = set()
    while True:
        more = {
            link.target.name
            for link in links
            if link.target.name in wide
            and (link.source.name not in wide or link.source.name in reached)
        } - reached
        if not more:
            return reached
        reached |= more


def _problems(
    links: list[Link], reached: set[str], grants: Link, own: tuple[Collection, ...]
) -> list[str]:
    found: list[str] = []
    goes = reached | {c.name for c in own}
    for link in links:
        name = f"{link.source.name}.{link.field}"
        if link.source == link.target and link.source.name in goes:
            found.append(f"{name} refers to its own collection, whose order a copy does not know.")
        elif link.source.name in reached and link.target.name not in reached:
            found.append(f"{name} leads from what the organisation shares into one property.")
    if grants.source.name in reached:
        found.append(f"Rows of a property refer to {grants.source.name}, which gives roles.")
    if grants.target.scope is not Scope.SELF:
        found.append(f"Roles are given at {grants.target.name}, which are no properties.")
    return found
