"""The reference page of metrics, as Markdown.

Owns how the catalogue is shown to readers. Promises that every metric is on the page, so it cannot
be incomplete. Never says anything that is not in the catalogue.
"""

from __future__ import annotations

from typing import Final

from serai.telemetry.catalogue import CATALOGUE
from serai.telemetry.metric import Across, Kind, Metric

_HEAD: Final = """\
# Metrics

`/metrics` of the listener at `SERAI_METRICS_HOST` and `SERAI_METRICS_PORT` answers these, summed
over all processes of `serai serve`. No metric has an organisation as a label: `/top` of the same
listener lists the organisations that take most. Durations are in seconds, sizes in bytes.

| metric | type | labels | what it counts | what it is for |
|---|---|---|---|---|
"""
_MARKS: Final = {Across.SUM: "", Across.MAX: ", highest", Across.MIN: ", lowest"}


def metrics_page() -> str:
    """Return the page."""
    return _HEAD + "".join(map(_row, CATALOGUE))


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    kind = metric.kind.value + (_MARKS[metric.across] if metric.kind is Kind.GAUGE else "")
    return f"| `{metric.name}` | {kind} | {labels} | {metric.help} | {metric.why} |\n"
