"""How a metric is declared.

Owns the list that declarations go to, in their order, and the usual buckets. Promises that a metric
which was declared is in the list. Never says which metrics there are (`serai.telemetry.catalogue`).
"""

from __future__ import annotations

from typing import Final

from serai.telemetry.metric import Across, Kind, Metric

_MILLISECONDS: Final = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)
SECONDS: Final = tuple(each / 1000 for each in _MILLISECONDS)
"""From a pull with nothing new to the deadline of a request."""
BYTES: Final = tuple(float(4**n) for n in range(3, 14))
"""64 B to 64 MiB: above the largest body."""
COUNTS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
CHANGES: Final = (0.0, 1.0, 10.0, 100.0, 1000.0, 5000.0)

DECLARED: Final[list[Metric]] = []


def _metric(kind: Kind, name: str, meaning: str, why: str, *labels: str) -> Metric:
    metric = Metric(name, kind, meaning, why, labels)
    DECLARED.append(metric)
    return metric


def counter(name: str, meaning: str, why: str, *labels: str) -> Metric:
    return _metric(Kind.COUNTER, name, meaning, why, *labels)


def gauge(name: str, meaning: str, why: str, *labels: str, across: Across = Across.SUM) -> Metric:
    metric = Metric(name, Kind.GAUGE, meaning, why, labels, across=across)
    DECLARED.append(metric)
    return metric


def histogram(
    name: str, meaning: str, why: str, buckets: tuple[float, ...], *labels: str
) -> Metric:
    metric = Metric(name, Kind.HISTOGRAM, meaning, why, labels, buckets)
    DECLARED.append(metric)
    return metric
