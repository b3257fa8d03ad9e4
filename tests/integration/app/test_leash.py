"""Workers end with the process that started them: kill -9 of it, at any time, on any system.

Owns the promises of `serai.app.leash`, on real processes; `test_dev.py` has the same of `serai
serve` itself. What is left is asked of the kernel.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from integration.app.programs import wait_for_end

PROGRAM = Path(__file__).with_name("leashed.py")


@contextmanager
def workers(
    method: str, kernel: str, kind: str
) -> Generator[tuple[subprocess.Popen[str], list[psutil.Process], int]]:
    """Yield the parent, its workers, and a descriptor for orders to late ones."""
    orders, order = os.pipe()
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), method, kernel, kind],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[orders],
        env={**os.environ, "ORDERS": str(orders)},
    ) as parent:
        os.close(orders)
        try:
            assert parent.stdout is not None
            yield parent, [psutil.Process(int(parent.stdout.readline())) for _ in range(2)], order
        finally:
            os.close(order)
            parent.kill()


@pytest.mark.parametrize("kernel", ["kernel", "pipe"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_end_with_a_parent_that_is_killed(method: str, kernel: str) -> None:
    with workers(method, kernel, "plain") as (parent, family, _):
        assert all(each.is_running() for each in family)
        parent.kill()
        wait_for_end(family)


@pytest.mark.parametrize("kernel", ["kernel", "pipe"])
def test_a_worker_that_does_not_listen_is_ended_after_its_time(kernel: str) -> None:
    with workers("fork", kernel, "deaf") as (parent, family, _):
        parent.kill()
        wait_for_end(family)


@pytest.mark.parametrize("kernel", ["kernel", "pipe"])
def test_a_worker_that_only_starts_is_ended_at_once(kernel: str) -> None:
    with workers("fork", kernel, "starting") as (parent, family, _):
        parent.kill()
        wait_for_end(family)


@pytest.mark.parametrize("kernel", ["kernel", "pipe"])
def test_a_parent_that_died_before_the_worker_asked_is_noticed(kernel: str) -> None:
    with workers("fork", kernel, "late") as (parent, family, order):
        parent.kill()
        parent.wait()
        assert all(each.is_running() for each in family), "nobody has told them yet"
        os.write(order, b"\n\n")
        wait_for_end(family)


def test_a_worker_that_dies_takes_nobody_along() -> None:
    with workers("fork", "kernel", "plain") as (parent, (first, second), _):
        first.kill()
        wait_for_end([first])
        assert second.is_running()
        assert parent.poll() is None
