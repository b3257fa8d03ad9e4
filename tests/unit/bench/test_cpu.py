"""Processor time from /proc, on processes that really run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from serai.bench.cpu import Meter, cpu_seconds, family, name_of, resident_bytes

_BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"


def test_work_of_a_child_that_has_ended_is_counted() -> None:
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", _BUSY], check=True)
    # The kernel counts in ticks of 10 ms, rounded down.
    assert cpu_seconds(os.getpid()) - before > 0.2


def test_a_family_is_a_process_and_all_below_it() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        try:
            while len(found := family(parent.pid)) < 2:
                assert parent.poll() is None
            assert found[0] == parent.pid
            assert found[1] not in (parent.pid, os.getpid())
            os.kill(found[1], 15)
        finally:
            parent.kill()


def test_a_process_that_has_ended_is_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    )
    pid = int(ended.stdout)
    assert cpu_seconds(pid) == 0.0
    assert resident_bytes(pid) == 0
    assert name_of(pid) == ""


def test_this_process_is_known() -> None:
    assert name_of(os.getpid())
    assert resident_bytes(os.getpid()) > 1_000_000


def test_a_meter_keeps_the_two_sides_apart() -> None:
    with subprocess.Popen([sys.executable, "-c", _BUSY + "input()"], stdin=-1) as other:
        with Meter(other.pid) as spent:
            while cpu_seconds(other.pid) < 0.2:
                pass
        other.communicate(b"\n")
    assert spent.postgres_seconds > 0
    assert spent.python_seconds > 0
    assert spent.seconds > 0


@pytest.mark.parametrize(("rows", "microseconds"), [(100_000, 20.0), (0, 2_000_000.0)])
def test_time_is_divided_among_rows(rows: int, microseconds: float) -> None:
    with Meter(os.getpid()) as spent:
        pass
    spent.python_seconds, spent.postgres_seconds = 2.0, 1.0
    assert spent.python_us(rows) == microseconds
    assert spent.postgres_us(rows) == microseconds / 2
