"""How a defect is planted, and found.

Owns the form of a planted defect. Promises that it is found by the promise that it breaks, that the
seed which finds it passes without it, and that it is gone afterwards. Never knows a defect.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serai.testing.simulation import Result, simulate

SEEDS_MAX = 400
"""Most defects show in the first seeds. The rarest need about ninety, and which ones they are
changes with every await in the code that ships."""


@dataclass(frozen=True)
class Bug:
    """A defect: what stands in the place of `owner.name`, made from what stood there.

    `breaks` is the promise by which it must be found, `first` the seed at which the search begins:
    for a rare one, not far below a seed that was known to show it, which saves time. `fleet`: it
    takes several shards.
    """

    owner: Any
    name: str
    make: Any
    breaks: str
    first: int = 0
    fleet: bool = False


@contextmanager
def planted(bug: Bug) -> Generator[None]:
    """Let the defect stand in the place of the right code."""
    right = getattr(bug.owner, bug.name)
    setattr(bug.owner, bug.name, bug.make(right))
    try:
        yield
    finally:
        setattr(bug.owner, bug.name, right)


def assert_found(bug: Bug) -> None:
    """Show that some seed finds the defect by its promise, and passes without it."""
    with planted(bug):
        seeds = range(bug.first, bug.first + SEEDS_MAX)
        results = (simulate(seed, fleet=bug.fleet) for seed in seeds)
        found = next((result for result in results if _names(bug.breaks, result)), None)
    assert found is not None, f"{SEEDS_MAX} seeds did not find: {bug.make.__doc__}"
    assert not simulate(found.seed, fleet=bug.fleet).broken


def _names(promise: str, result: Result) -> bool:
    return any(message.startswith(f"{promise}:") for message in result.broken)
