"""After any bad luck that a seed can make, every promise of the design holds.

Owns the seeds that run with every change (`seeds.py` has the knobs for more), and the proof that
they reach every fault and every branch of the protocol. Never decides what is right: the
simulation's oracle does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from serai.testing.simulation import Explored, explore, simulate
from serai.testing.simulation.coverage import SEEDS_MIN, never_hit
from simulation.seeds import FIRST, SEEDS

COMMAND = [sys.executable, "-m", "serai.testing.simulation"]


@pytest.mark.timeout(max(600, SEEDS))
def test_no_row_and_no_write_is_lost_whatever_goes_wrong_and_everything_does():
    explored = explore(FIRST, SEEDS, jobs=2)
    assert not explored.failed, explored.failed[0].report()
    assert explored.missed == []
    assert explored.ok


def test_a_run_that_never_met_a_fault_fails_and_says_which():
    counts = Counter(simulate(5).counts)
    missed = never_hit(counts, SEEDS_MIN)
    assert missed
    assert not [name for name in missed if counts[name]]
    assert Explored(SEEDS_MIN - 1, [], counts).ok
    assert not Explored(SEEDS_MIN, [], counts).ok


def test_on_a_calm_day_nothing_goes_wrong():
    result = simulate(1, calm=True)
    assert not result.broken, result.report()
    assert not [name for name in result.counts if name.startswith("fault:")]
    assert result.counts["branch:applied"] > 0


@pytest.mark.parametrize("seed", [3, 11])
def test_a_failure_can_be_seen_again_on_another_machine(seed):
    script = f"from serai.testing.simulation import simulate; print(simulate({seed}).digest)"
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", script]
    again = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert again.stdout.strip() == simulate(seed).digest
    assert simulate(seed + 1).digest != simulate(seed).digest


def test_a_report_says_how_to_run_the_seed_again():
    result = simulate(2)
    command = next(
        line.removeprefix("again: ") for line in result.report().splitlines() if "again:" in line
    )
    assert command == "python -m serai.testing.simulation --start 2"
    again = _run(*command.split()[3:])
    assert again.startswith("seed 2: all promises held")
    assert again.splitlines()[-1] == result.tail.splitlines()[-1]


def test_a_program_can_read_what_seeds_showed():
    one = json.loads(_run("--start", "2", "--json"))
    assert (one["seed"], one["broken"], one["digest"]) == (2, [], simulate(2).digest)
    assert one["trace"][0].endswith("office-1: insert properties 4096")
    (summary,) = map(json.loads, _run("--start", "2", "--seeds", "3", "--json").splitlines())
    assert (summary["seeds"], summary["failed"]) == (3, [])
    counts = sum((Counter(simulate(seed).counts) for seed in (2, 3, 4)), Counter())
    assert summary["counts"] == counts


def _run(*words: str) -> str:
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
