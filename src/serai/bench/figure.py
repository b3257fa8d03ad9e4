"""A figure: one number, what it is measured against, and how it is printed.

Owns the names of all figures with their targets. Promises that a line has the same members for
every figure. Never measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

_WHOLE_FROM: Final = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach: `least` or `most`, in the figure's unit."""

    kind: Literal["least", "most"]
    bound: float

    def met(self, value: float) -> bool:
        """Tell whether the value reaches it."""
        return value >= self.bound if self.kind == "least" else value <= self.bound

    def part(self, value: float) -> float:
        """Return how far the value is on its way: 1 is the target, more is better."""
        if self.kind == "least":
            return value / self.bound
        return self.bound / value if value else 1.0

    def __str__(self) -> str:
        return f"{'>=' if self.kind == 'least' else '<='} {self.bound:,g}"


def _least(bound: float) -> Target:
    return Target("least", bound)


def _most(bound: float) -> Target:
    return Target("most", bound)


TARGETS: Final[dict[str, Target]] = {
    "commit_rows_per_second": _least(20_000),
    "commit_p99_ms": _most(40),
    "hot_rows_per_second": _least(10_000),
    "hot_plain_ratio": _least(5),
    "http_writes_per_second": _least(5_000),
    "http_push_rows_per_second": _least(20_000),
    "http_empty_pulls_per_second": _least(5_000),
    "statements_per_empty_pull": _most(1),
    "bootstrap_seconds": _most(5),
    "bootstrap_server_cpu_seconds": _most(2.5),
    "history_rows_downloaded": _most(1_000),
    "segment_rows_per_second_core": _least(2_000_000),
    "segment_bytes_per_row": _most(65),
    "segment_bootstrap_seconds": _most(2),
    "import_seconds": _most(40),
    "replica_share": _least(0.95),
    "failover_lost": _most(0),
    "failover_seconds": _most(10),
    "cold_start_seconds": _most(6),
    "idle_memory_mb": _most(250),
    "directory_lookup_us": _most(1),
    "directory_mb": _most(50),
    "seed_5m_seconds": _most(480),
    "flatness_empty_pull": _most(1.3),
    "flatness_pull": _most(1.3),
    "move_pause_p99_ms": _most(50),
    "move_100k_seconds": _most(2),
    "moves_per_second": _least(900),
}
"""Figures without an entry are shown for comparison only."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One published number.

    Attributes:
        figure: its name, in which its unit stands too.
        floor: what plain SQL needs or gives for the same rows in the same run, in the figure's
            unit; None where there is no such thing.
        python_us_per_row, postgres_us_per_row: processor time, user and system, of the server's
            Python processes and of all PostgreSQL processes, a row (or a request that brings none).
        conditions: what was done, with which load.
    """

    figure: str
    value: float
    unit: str
    floor: float | None = None
    python_us_per_row: float | None = None
    postgres_us_per_row: float | None = None
    conditions: str = ""

    @property
    def target(self) -> Target | None:
        """What it should reach, None if it has no target."""
        return TARGETS.get(self.figure)

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of its floor."""
        return round(self.value / self.floor, 3) if self.floor else None

    def line(self) -> dict[str, str | float | None]:
        """Return the members of its JSON line."""
        return {
            "figure": self.figure,
            "value": self.value,
            "unit": self.unit,
            "floor": self.floor,
            "ratio": self.ratio,
            "python_us_per_row": self.python_us_per_row,
            "postgres_us_per_row": self.postgres_us_per_row,
            "conditions": self.conditions,
        }


@dataclass(frozen=True, slots=True)
class Load:
    """How much is done for a figure.

    Attributes:
        writes: rows written by each figure that writes in process.
        organisations: that the writes fall on.
        in_flight: writes or requests that wait at once.
        seconds: of load over HTTP, after as long a warm-up (two seconds at most).
        connections: over which that load comes.
        device_rows: rows of the organisation that a fresh device fetches.
        history_rows: rows that are updated `history_updates` times before a device fetches them.
        import_lines: of the file of bookings; None for all.
        fleet: organisations on one shard, for the figures of scale.
    """

    writes: int = 100_000
    organisations: int = 10_000
    in_flight: int = 256
    seconds: float = 8.0
    connections: int = 256
    device_rows: int = 100_000
    history_rows: int = 1_000
    history_updates: int = 20
    import_lines: int | None = None
    fleet: tuple[int, ...] = (1_000, 100_000, 1_000_000, 5_000_000)

    def scaled(self, part: float) -> Load:
        """Return a load of that part, for a first look; its figures are not to be published."""
        if part == 1:
            return self

        def least(count: int, least: int) -> int:
            return max(int(count * part), least)

        return Load(
            writes=least(self.writes, 100),
            organisations=least(self.organisations, 10),
            in_flight=self.in_flight,
            seconds=max(self.seconds * part, 0.2),
            connections=least(self.connections, 2),
            device_rows=least(self.device_rows, 100),
            history_rows=least(self.history_rows, 10),
            history_updates=self.history_updates,
            import_lines=least(119_390, 100),
            fleet=tuple(sorted({least(count, 100) for count in self.fleet})),
        )


def rounded(value: float) -> float:
    """Return the value with three digits that count, or whole above a thousand."""
    return float(f"{value:.0f}") if abs(value) >= _WHOLE_FROM else float(f"{value:.3g}")


def percentile(values: list[float], part: float) -> float:
    """Return the value that `part` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
