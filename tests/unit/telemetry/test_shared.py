"""Numbers of several processes, on real processes that are really killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serai.core.limits import (
    METRIC_SEGMENT_BYTES,
    METRIC_SERIES_MAX,
    TOP_ORGANISATIONS_KEPT,
)
from serai.telemetry import catalogue as m
from serai.telemetry.registry import Registry, Snapshot
from serai.telemetry.shared import Segment, SharedNumbers, packed, unpacked
from serai.telemetry.top import TopOrganisations
from unit.telemetry.worker import numbers

WORKER = str(Path(__file__).with_name("worker.py"))
NAME = ("serai_rows_written_total", ())
PROCESSES = ("serai_processes", ())


@pytest.fixture
def shared() -> Iterator[SharedNumbers]:
    made = SharedNumbers(workers=2)
    yield made
    made.close()


@contextmanager
def worker(shared: SharedNumbers, rows: int) -> Generator[subprocess.Popen[str]]:
    """Start a process that shows its numbers; it is killed at the end of the block."""
    arguments = [sys.executable, WORKER, shared.path, str(shared.count), str(rows)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_workers_are_one(shared: SharedNumbers) -> None:
    with worker(shared, 2), worker(shared, 5):
        found, tops = shared.read()
        assert found[NAME] == [7]
        assert found[PROCESSES] == [2]
        assert [top["rows"][1] for top in tops] == [2, 5]


def test_what_a_killed_worker_counted_stays_and_it_is_not_counted_as_running(
    shared: SharedNumbers,
) -> None:
    with worker(shared, 2) as process, worker(shared, 5):
        kill(process)
        found, _ = shared.read()
        assert found[NAME] == [7]
        assert found[PROCESSES] == [1]


def test_a_successor_counts_on_from_the_killed_one(shared: SharedNumbers) -> None:
    with worker(shared, 2) as process:
        kill(process)
    with worker(shared, 1), worker(shared, 10):
        found, _ = shared.read()
        assert found[NAME] == [13]
        assert found[PROCESSES] == [2]


def test_many_deaths_lose_and_double_nothing(shared: SharedNumbers) -> None:
    for _ in range(8):
        with worker(shared, 1):
            shared.read()
    assert shared.read()[0][NAME] == [8]


def test_a_worker_more_than_there_are_places_is_told_so(shared: SharedNumbers) -> None:
    with worker(shared, 1):
        done = subprocess.run(
            [sys.executable, WORKER, shared.path, "1", "1"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == "all 1 places for the numbers of workers are taken\n"
        assert shared.read()[0][NAME] == [1]


def test_nothing_was_published_yet(shared: SharedNumbers) -> None:
    assert shared.read() == ({}, [])


def test_half_a_snapshot_is_never_read(shared: SharedNumbers) -> None:
    data = numbers(3)
    found = unpacked(data)
    assert found is not None
    expected: Snapshot = {
        ("serai_metric_series_refused_total", ()): [0],
        NAME: [3],
        PROCESSES: [1],
    }
    assert found[0] == expected
    for cut in (len(data) - 1, len(data) // 2, 12):
        torn = data[:cut] + bytes(len(data) - cut)
        assert unpacked(torn) is None, cut
    assert unpacked(bytes(64)) is None


def test_a_place_that_is_written_all_the_time_shows_its_last_whole_numbers(
    shared: SharedNumbers,
) -> None:
    segment = Segment(shared.path, shared.count)
    segment.publish(numbers(3))
    assert shared.read()[0][NAME] == [3]
    torn = bytearray(numbers(9))
    torn[-1] ^= 0xFF
    segment.publish(bytes(torn))
    assert shared.read()[0][NAME] == [3]


def test_the_largest_snapshot_fits_into_its_place() -> None:
    registry, top = Registry(), TopOrganisations(now=0.0)
    for number in range(METRIC_SERIES_MAX):
        registry.spread(m.REQUEST_SECONDS, f"listSomethingWithALongName{number:06}").observe(1)
    for org in range(3 * TOP_ORGANISATIONS_KEPT):
        top.request(2**53 + org, 2**30)
        top.rows(2**53 + org, 200)
    assert len(packed(registry.series, registry.values, top.state())) <= METRIC_SEGMENT_BYTES
