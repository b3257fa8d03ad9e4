"""Which organisations take the most: an estimate in bounded memory.

Owns the counts by organisation of one process: requests, rows written, bytes in and out. Promises
at most twice `kept` counters however many organisations there are, that an estimate is never above
the truth, and below it by at most `error`, which is at most the total divided by `kept`. Never is a
metric with an organisation label: ten million series would be the end of whoever scrapes them.

The sketch is Misra-Gries with weights and a purge in batches (Anderson et al., "A high-performance
algorithm for identifying frequent items in data streams", 2017): an update is one addition in a
dictionary. Two of them are merged by adding (Agarwal et al., "Mergeable summaries", 2012).
Rejected: Space-Saving, whose evictions with weights (bytes) need a heap at each new organisation;
exact counts, which grow with the number of organisations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from serai.core.limits import TOP_ORGANISATIONS_KEPT, TOP_WINDOW_SECONDS


@dataclass(slots=True)
class HeavyHitters:
    """Estimates of the largest sums by key.

    Attributes:
        kept: counters after a purge.
        counts: key -> estimate.
        total: of everything that was added.
        error: by how much an estimate may be too low.
    """

    kept: int = TOP_ORGANISATIONS_KEPT
    counts: dict[int, float] = field(default_factory=dict[int, float])
    total: float = 0.0
    error: float = 0.0

    def add(self, key: int, amount: float) -> None:
        """Add to the key's sum."""
        self.total += amount
        self.counts[key] = self.counts.get(key, 0.0) + amount
        if len(self.counts) > 2 * self.kept:
            self._purge()

    def merge(self, other: HeavyHitters) -> None:
        """Add another one's sums."""
        self.total += other.total
        self.error += other.error
        for key, amount in other.counts.items():
            self.counts[key] = self.counts.get(key, 0.0) + amount
        if len(self.counts) > 2 * self.kept:
            self._purge()

    def top(self, number: int) -> list[tuple[int, float]]:
        """Return the `number` largest, largest first; ties by key."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:number]

    def _purge(self) -> None:
        """Take the value of the first counter that does not stay from all of them."""
        taken = sorted(self.counts.values(), reverse=True)[self.kept]
        self.error += taken
        self.counts = {k: v - taken for k, v in self.counts.items() if v > taken}


MEASURES: Final = ("requests", "rows", "bytes")
TopState = dict[str, tuple[dict[int, float], float, float]]
"""Measure -> (largest counts by organisation, total, error)."""


class TopOrganisations:
    """The three measures over two windows: the one that runs and the last whole one, so that an
    answer is about the last 5 to 10 minutes and old traffic is forgotten.
    """

    def __init__(self, now: float, kept: int = TOP_ORGANISATIONS_KEPT) -> None:
        """Start at `now`, in seconds since 1970: processes turn their windows together."""
        self._kept = kept
        self._window = int(now // TOP_WINDOW_SECONDS)
        self.running = self._empty()
        self.before = self._empty()

    def _empty(self) -> dict[str, HeavyHitters]:
        return {measure: HeavyHitters(self._kept) for measure in MEASURES}

    def request(self, org_id: int, size: int) -> None:
        """Count a request and its bytes, both ways."""
        self.running["requests"].add(org_id, 1.0)
        self.running["bytes"].add(org_id, float(size))

    def rows(self, org_id: int, number: int) -> None:
        """Count rows written."""
        self.running["rows"].add(org_id, float(number))

    def turn(self, now: float) -> None:
        """Begin a new window when its time has come."""
        window = int(now // TOP_WINDOW_SECONDS)
        if window != self._window:
            self.before = self.running if window == self._window + 1 else self._empty()
            self.running = self._empty()
            self._window = window

    def state(self) -> TopState:
        """Return measure -> (largest counts, total, error), both windows together."""
        found: TopState = {}
        for measure in MEASURES:
            both = HeavyHitters(self._kept)
            both.merge(self.before[measure])
            both.merge(self.running[measure])
            found[measure] = (dict(both.top(self._kept)), both.total, both.error)
        return found


def merged(states: Sequence[TopState], number: int) -> dict[str, object]:
    """Return the page of the top `number` organisations over all processes."""
    page: dict[str, object] = {"window_seconds": 2 * TOP_WINDOW_SECONDS}
    for measure in MEASURES:
        both = HeavyHitters(TOP_ORGANISATIONS_KEPT)
        for state in states:
            counts, total, error = state[measure]
            both.merge(HeavyHitters(TOP_ORGANISATIONS_KEPT, dict(counts), total, error))
        page[measure] = {
            "total": round(both.total),
            "too_low_by_at_most": round(both.error),
            "organisations": [
                {"org_id": org_id, "at_least": round(amount)} for org_id, amount in both.top(number)
            ],
        }
    return page
