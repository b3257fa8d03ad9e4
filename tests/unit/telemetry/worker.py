"""A worker for the tests of shared numbers: takes a place, shows its count, then waits.

Owns nothing. Arguments: the memory's path, its places, rows counted. Says `ready` when its numbers
can be read, or what is wrong.
"""

from __future__ import annotations

import sys

from serai.telemetry import catalogue as m
from serai.telemetry.registry import Registry
from serai.telemetry.shared import Segment, packed
from serai.telemetry.top import TopOrganisations


def numbers(rows: int, segment: Segment | None = None) -> bytes:
    registry, top = Registry(), TopOrganisations(now=0.0)
    if segment is not None:
        registry.load(segment.inherited)
    registry.cell(m.ROWS_WRITTEN).add(rows)
    registry.cell(m.PROCESSES).set(1)
    top.rows(17, rows)
    return packed(registry.series, registry.values, top.state())


if __name__ == "__main__":
    try:
        place = Segment(sys.argv[1], int(sys.argv[2]))
    except OSError as error:
        sys.exit(str(error))
    place.publish(numbers(int(sys.argv[3]), place))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
