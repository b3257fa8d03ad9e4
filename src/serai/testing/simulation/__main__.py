"""Runs seeds by hand: `python -m serai.testing.simulation --start 0 --seeds 3000`.

Owns the command line only. One seed prints its whole trace, many print the failing ones with the
end of theirs; `--json` prints JSON lines only, a summary last. The exit code is 1 when a promise
was broken, or when 300 seeds or more never met a fault or a branch. Never decides what a seed
means.
"""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from serai.testing.simulation.explore import Explored, explore, needed_faults
from serai.testing.simulation.result import Result
from serai.testing.simulation.seed import simulate


def main(arguments: list[str]) -> int:
    """Run the seeds; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serai.testing.simulation")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--jobs", type=int, default=None, help="processes; one a processor")
    parser.add_argument("--json", action="store_true", help="JSON lines only")
    parser.add_argument(
        "--shrink", action="store_true", help="leave out the faults that a failing seed can spare"
    )
    given = parser.parse_args(arguments)
    if given.shrink:
        needed, result = needed_faults(given.start)
        _say(f"seed {given.start} needs: {', '.join(needed) or 'no fault'}")
        _say(result.report())
        return 1
    if given.seeds == 1:
        result = simulate(given.start, whole=True)
        _say(_json(result) if given.json else result.report())
        return int(bool(result.broken))
    started = time.monotonic()
    explored = explore(given.start, given.seeds, jobs=given.jobs)
    for result in explored.failed:
        _say(_json(result) if given.json else result.report())
    _say(_summary(explored, time.monotonic() - started, as_json=given.json))
    return int(not explored.ok)


def _json(result: Result) -> str:
    found = {
        "seed": result.seed,
        "broken": result.broken,
        "digest": result.digest,
        "trace": result.tail.splitlines(),
    }
    return msgspec.json.encode(found).decode()


def _summary(explored: Explored, seconds: float, *, as_json: bool) -> str:
    failed = [each.seed for each in explored.failed]
    if as_json:
        found = {
            "seeds": explored.seeds,
            "failed": failed,
            "never_hit": explored.missed,
            "seconds": round(seconds, 1),
            "counts": dict(sorted(explored.counts.items())),
        }
        return msgspec.json.encode(found).decode()
    counts = "\n".join(f"{n:>9} {name}" for name, n in sorted(explored.counts.items()))
    missed = ", ".join(explored.missed) or "nothing"
    return (
        f"{counts}\nnever hit: {missed}\n"
        f"{explored.seeds} seeds in {seconds:.0f} s, {len(failed)} failed: {failed}"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
