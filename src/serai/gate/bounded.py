"""A dictionary with a bound: the entry that was used longest ago leaves first.

Owns the memory bound of everything that the gate remembers (verified tokens, grants, API keys,
attempts). Promises that it never holds more than `size_max` entries. Never decides whether an entry
is still true: whoever reads it checks that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most `size_max` entries, least recently used out first. For one event loop; not for
    threads.
    """

    def __init__(self, size_max: int) -> None:
        if size_max < 1:
            raise ValueError("a bound is at least 1")
        self._size_max = size_max
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the entry, which counts as a use, or None."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep the entry; the oldest leaves if there is no room."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size_max:
            self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget the entry, if it is there."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
