"""Many seeds at once, on every processor, and what they reached together.

Owns the running of a range of seeds and the search for the faults that a failing one needs.
Promises that the verdict of a range is the sum of its seeds': all promises held, and everything of
`coverage` occurred if the range is large enough to show it. Never changes what one seed does.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context

from serai.app.collector import rare_collections
from serai.testing.simulation.coverage import SEEDS_MIN, never_hit
from serai.testing.simulation.result import Result
from serai.testing.simulation.seed import simulate
from serai.testing.simulation.weather import Weather

_CHUNK = 25


@dataclass(frozen=True, slots=True)
class Explored:
    """What a range of seeds showed.

    Attributes:
        failed: results of seeds in which a promise was broken.
        counts: how often each fault and each branch occurred.
    """

    seeds: int
    failed: list[Result]
    counts: Counter[str]

    @property
    def missed(self) -> list[str]:
        """Faults and branches that never occurred."""
        return never_hit(self.counts, self.seeds)

    @property
    def ok(self) -> bool:
        """Whether all held, and enough occurred to say so."""
        return not self.failed and not (self.missed and self.seeds >= SEEDS_MIN)


def explore(start: int, seeds: int, *, jobs: int | None = None) -> Explored:
    """Run `seeds` seeds from `start` in `jobs` processes; by default one a processor."""
    chunks = [
        range(first, min(first + _CHUNK, start + seeds))
        for first in range(start, start + seeds, _CHUNK)
    ]
    explored = Explored(seeds, [], Counter())
    # Spawned: a forked child would share the parent's open files and event loop.
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for failed, counts in pool.map(_run, chunks):
            explored.failed.extend(failed)
            explored.counts.update(counts)
    return explored


def _run(seeds: Iterable[int]) -> tuple[list[Result], Counter[str]]:
    failed: list[Result] = []
    counts: Counter[str] = Counter()
    with rare_collections():
        for seed in seeds:
            result = simulate(seed)
            counts.update(result.counts)
            if result.broken:
                failed.append(result)
    return failed, counts


def needed_faults(seed: int) -> tuple[list[str], Result]:
    """Return the faults without which a failing seed does not break the same promise, and the run
    that has only them. A chance is left out if the failure stays without it.
    """
    result = simulate(seed)
    assert result.broken, f"seed {seed} breaks nothing"
    promise = result.broken[0].partition(":")[0]
    left_out: set[str] = set()
    names = [each.name for each in fields(Weather) if each.type == "float"]
    for name in names:
        tried = simulate(seed, without=frozenset({*left_out, name}))
        if tried.broken and tried.broken[0].startswith(promise):
            left_out.add(name)
            result = tried
    return [name for name in names if name not in left_out], result
