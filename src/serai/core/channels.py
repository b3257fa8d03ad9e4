"""Channel sets: which (scope, collection) pairs a caller may see.

Owns the set algebra over channels. A set is a mapping scope -> bit mask, where bit n stands for the
collection with number n; the scope `ALL_SCOPES` stands for every property. Promises that sets are
normal: no empty mask, and no bit under a property that stands under `ALL_SCOPES` already, so equal
    sets compare equal. Pure functions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from serai.core.ids import ALL_SCOPES, ORG_SCOPE

ChannelSet = dict[UUID, int]
Channel = tuple[UUID, int]
"""(scope, collection number)."""


def normal(channels: Mapping[UUID, int]) -> ChannelSet:
    """Return the normal form of `channels`, keys in order of their bytes."""
    everywhere = channels.get(ALL_SCOPES, 0)
    out: ChannelSet = {}
    for scope in sorted(channels):
        mask = channels[scope]
        if scope not in (ALL_SCOPES, ORG_SCOPE):
            mask &= ~everywhere
        if mask:
            out[scope] = mask
    return out


def contains(channels: Mapping[UUID, int], scope: UUID, number: int) -> bool:
    """Tell whether a row of collection `number` in `scope` is visible through `channels`."""
    mask = channels.get(scope, 0)
    if scope != ORG_SCOPE:
        mask |= channels.get(ALL_SCOPES, 0)
    return bool(mask >> number & 1)


def union(left: Mapping[UUID, int], right: Mapping[UUID, int]) -> ChannelSet:
    """Return the channels that are in either set."""
    out = dict(left)
    for scope, mask in right.items():
        out[scope] = out.get(scope, 0) | mask
    return normal(out)


def gained(held: Mapping[UUID, int], now: Mapping[UUID, int]) -> ChannelSet:
    """Return the channels of `now` that `held` does not cover: they must be filled from the
    start.
    """
    everywhere = held.get(ALL_SCOPES, 0)
    out: ChannelSet = {}
    for scope, mask in now.items():
        covered = held.get(scope, 0) | (everywhere if scope != ORG_SCOPE else 0)
        out[scope] = mask & ~covered
    return normal(out)


def lost(held: Mapping[UUID, int], now: Mapping[UUID, int]) -> ChannelSet:
    """Return the channels of `held` that `now` does not cover: the device must drop their rows.

    `ALL_SCOPES` in the answer means: drop every property's rows of these collections except where
    `now` still has the property.
    """
    return gained(now, held)


def common(left: Mapping[UUID, int], right: Mapping[UUID, int]) -> ChannelSet:
    """Return the channels that both sets cover."""
    out: ChannelSet = {}
    for scope in {*left, *right}:
        both = _covering(left, scope) & _covering(right, scope)
        if both:
            out[scope] = both
    return normal(out)


def restrict(
    channels: Mapping[UUID, int], mask: int, properties: Iterable[UUID] | None
) -> ChannelSet:
    """Return what is left of `channels` for the collections in `mask` and, if given, only these
    properties.

    Rows of the organisation itself have no property and stay.
    """
    if properties is None:
        return normal({scope: bits & mask for scope, bits in channels.items()})
    out: ChannelSet = {ORG_SCOPE: channels.get(ORG_SCOPE, 0) & mask}
    for scope in properties:
        out[scope] = _covering(channels, scope) & mask
    return normal(out)


def numbers(mask: int) -> list[int]:
    """Return the collection numbers in `mask`, rising."""
    return [n for n in range(mask.bit_length()) if mask >> n & 1]


def _covering(channels: Mapping[UUID, int], scope: UUID) -> int:
    mask = channels.get(scope, 0)
    if scope != ORG_SCOPE:
        mask |= channels.get(ALL_SCOPES, 0)
    return mask
