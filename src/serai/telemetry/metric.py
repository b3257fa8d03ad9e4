"""What a metric is: its declaration, without any number.

Owns the type of the catalogue's entries, and how values of several processes become one. Promises
nothing about names: a test of the catalogue holds them to the rules of Prometheus. Never counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a metric is, as Prometheus writes it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Across(Enum):
    """How the values of several processes become one. Counters and histograms are sums."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"

    @property
    def combine(self) -> Callable[[float, float], float]:
        """The function of two values."""
        match self:
            case Across.SUM:
                return _sum
            case Across.MAX:
                return max
            case Across.MIN:
                return min


def _sum(one: float, other: float) -> float:
    return one + other


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as scraped; a histogram's series have `_bucket`, `_sum` and `_count` after it.
        kind: its type.
        help: one sentence: what is counted.
        why: what an operator learns from it, or does about it.
        labels: names; the values are listed in `serai.telemetry` or in a declaration of the
            deployment (operations, databases).
        buckets: upper bounds of a histogram, in the unit of the name.
        across: how processes go together.
    """

    name: str
    kind: Kind
    help: str
    why: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across = Across.SUM
