"""Where organisations live, in memory: ranges, and overrides for those that were moved.

Owns the lookup from an organisation to its shard. Promises an answer without input or output in
less than a microsecond. Never knows where its content comes from.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReplicaRef:
    """A copy of a shard that may answer reads. `url` may hold a password and is not in the
    representation.
    """

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShardRef:
    """A shard. `url` may hold a password and is not in the representation."""

    id: int
    name: str
    url: str = field(repr=False)
    replicas: tuple[ReplicaRef, ...] = ()


class Placement:
    """One version of the directory's placement.

    Args:
        version: of the directory.
        shards: id -> shard.
        ranges: (first, one past the last, shard id), not overlapping, in any order.
        overrides: organisation -> shard id.
    """

    def __init__(
        self,
        version: int,
        shards: Mapping[int, ShardRef],
        ranges: Iterable[tuple[int, int, int]],
        overrides: Mapping[int, int],
    ) -> None:
        self.version = version
        self.shards = dict(shards)
        ordered = sorted(ranges)
        self._starts = [start for start, _, _ in ordered]
        self._stops = [stop for _, stop, _ in ordered]
        self._homes = [self.shards[shard_id] for _, _, shard_id in ordered]
        if any(stop > start for stop, start in zip(self._stops, self._starts[1:], strict=False)):
            raise ValueError("ranges of organisations overlap")
        self._overrides = {org_id: self.shards[s] for org_id, s in overrides.items()}

    def resolve(self, org_id: int) -> ShardRef | None:
        """Return the home shard, None for a number that no range holds."""
        home = self._overrides.get(org_id)
        if home is not None:
            return home
        at = bisect_right(self._starts, org_id) - 1
        if at < 0 or org_id >= self._stops[at]:
            return None
        return self._homes[at]

    def is_moved(self, org_id: int) -> bool:
        """Tell whether an override says where the organisation lives, and not its range."""
        return org_id in self._overrides

    def ranges_of(self, shard_id: int) -> list[tuple[int, int]]:
        """Return (first, one past the last) of each range of the shard, in their order."""
        spans = zip(self._starts, self._stops, self._homes, strict=True)
        return [(start, stop) for start, stop, home in spans if home.id == shard_id]

    @property
    def end(self) -> int:
        """The first number behind all ranges."""
        return self._stops[-1] if self._stops else 1

    def move(self, version: int, changes: Iterable[tuple[int, int | None]]) -> None:
        """Apply changes of overrides, (organisation, shard id or None for back to its range), in
        their order.

        In place: a fleet that is being rebalanced has a million overrides and a change each second.
        """
        for org_id, shard_id in changes:
            if shard_id is None:
                self._overrides.pop(org_id, None)
            else:
                self._overrides[org_id] = self.shards[shard_id]
        self.version = version
