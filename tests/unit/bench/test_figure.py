"""What a figure says: its line, its target, its numbers."""

from __future__ import annotations

import pytest

from serai.bench.figure import TARGETS, Figure, Load, Target, percentile, rounded


def test_a_line_has_the_documented_members() -> None:
    figure = Figure(
        figure="commit_rows_per_second",
        value=21_000.0,
        unit="rows/s",
        floor=84_000.0,
        python_us_per_row=17.0,
        postgres_us_per_row=44.0,
        conditions="as measured",
    )
    assert figure.line() == {
        "figure": "commit_rows_per_second",
        "value": 21_000.0,
        "unit": "rows/s",
        "floor": 84_000.0,
        "ratio": 0.25,
        "python_us_per_row": 17.0,
        "postgres_us_per_row": 44.0,
        "conditions": "as measured",
    }


def test_a_figure_without_a_floor_has_no_ratio() -> None:
    line = Figure(figure="cold_start_seconds", value=2.0, unit="s").line()
    assert line["floor"] is None
    assert line["ratio"] is None


@pytest.mark.parametrize(
    ("name", "value", "met", "part"),
    [
        ("commit_rows_per_second", 20_000, True, 1.0),
        ("commit_rows_per_second", 10_000, False, 0.5),
        ("commit_p99_ms", 40, True, 1.0),
        ("commit_p99_ms", 80, False, 0.5),
        ("bootstrap_seconds", 2.5, True, 2.0),
    ],
)
def test_a_target_is_a_least_or_a_most(name: str, value: float, met: bool, part: float) -> None:
    target = TARGETS[name]
    assert target.met(value) is met
    assert target.part(value) == part


def test_a_target_is_shown_with_its_direction() -> None:
    assert str(Target("least", 20_000)) == ">= 20,000"
    assert str(Target("most", 2.5)) == "<= 2.5"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(24_681.4, 24_681.0), (1_000.4, 1_000.0), (999.4, 999.0), (22.56, 22.6), (0.41987, 0.42)],
)
def test_figures_are_rounded_to_what_counts(value: float, shown: float) -> None:
    assert rounded(value) == shown


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51.0
    assert percentile(values, 0.99) == 100.0
    assert percentile([7.0], 0.99) == 7.0


def test_a_part_of_the_load_is_never_nothing() -> None:
    tiny = Load().scaled(0.000_001)
    assert (tiny.writes, tiny.organisations, tiny.connections) == (100, 10, 2)
    assert (tiny.device_rows, tiny.history_rows, tiny.import_lines) == (100, 10, 100)
    assert tiny.seconds == 0.2


def test_the_whole_load_is_the_published_one() -> None:
    whole = Load().scaled(1)
    assert (whole.writes, whole.organisations, whole.in_flight) == (100_000, 10_000, 256)
    assert (whole.device_rows, whole.history_rows, whole.history_updates) == (100_000, 1_000, 20)
    assert whole.import_lines is None
