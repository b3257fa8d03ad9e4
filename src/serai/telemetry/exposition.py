"""The text of `/metrics`.

Owns the format that Prometheus reads (text format 0.0.4). Promises that every metric of the
catalogue that has a series is there with its type and its meaning, that buckets are cumulative, and
that label values are escaped. Never knows where the numbers come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from serai.telemetry.catalogue import CATALOGUE
from serai.telemetry.metric import Kind, Metric
from serai.telemetry.registry import Labels, Snapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_IN_HELP: Final = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_IN_LABEL: Final = _IN_HELP | {ord('"'): '\\"'}


def exposition(numbers: Snapshot) -> str:
    """Return the text."""
    by_metric: dict[str, list[tuple[Labels, list[float]]]] = {}
    for (name, labels), values in numbers.items():
        by_metric.setdefault(name, []).append((labels, values))
    lines: list[str] = []
    for metric in CATALOGUE:
        found = by_metric.get(metric.name)
        if found:
            lines.append(f"# HELP {metric.name} {metric.help.translate(_IN_HELP)}")
            lines.append(f"# TYPE {metric.name} {metric.kind.value}")
            for labels, values in sorted(found):
                lines.extend(_lines(metric, labels, values))
    return "\n".join(lines) + "\n"


def _lines(metric: Metric, labels: Labels, values: Sequence[float]) -> Iterator[str]:
    pairs = [f'{n}="{v.translate(_IN_LABEL)}"' for n, v in zip(metric.labels, labels, strict=True)]
    if metric.kind is not Kind.HISTOGRAM:
        yield f"{metric.name}{_braced(pairs)} {_number(values[0])}"
        return
    count = 0.0
    bounds = [*map(_number, metric.buckets), "+Inf"]
    for bound, more in zip(bounds, values[1:], strict=True):
        count += more
        le = f'le="{bound}"'
        yield f"{metric.name}_bucket{_braced([*pairs, le])} {_number(count)}"
    yield f"{metric.name}_sum{_braced(pairs)} {_number(values[0])}"
    yield f"{metric.name}_count{_braced(pairs)} {_number(count)}"


def _braced(pairs: Sequence[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _number(value: float) -> str:
    if math.isinf(value):
        # The lag of a replica that was never seen to follow.
        return "+Inf" if value > 0 else "-Inf"
    # A cell that was set may hold an int.
    whole = int(value)
    return str(whole) if whole == value else repr(value)
