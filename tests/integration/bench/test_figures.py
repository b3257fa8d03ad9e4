"""Each figure, on a hundredth of its load: that it is measured, not what comes out.

Time is never judged here. What is judged: names and members as documented, floors and values that
are positive, and the figures that do not depend on time.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from serai.bench.figure import Figure, Load
from serai.bench.suite import ALL

TINY = replace(Load().scaled(0.001), fleet=(100, 200))
AT = (
    "seed_{}_seconds",
    "bytes_per_org_at_{}",
    "empty_pull_us_at_{}",
    "pull_us_at_{}",
    "write_us_at_{}",
    "push_us_at_{}",
    "cold_pull_us_at_{}",
    "move_us_at_{}",
)
EXPECTED = {
    "commit": ["commit_rows_per_second", "commit_p99_ms"],
    "commit --hot": ["hot_rows_per_second", "hot_plain_ratio"],
    "pull": ["pull_rows_per_second"],
    "empty-pull": ["empty_pulls_per_second"],
    "http-write": ["http_writes_per_second"],
    "http-push": ["http_push_rows_per_second"],
    "http-pull": ["http_pull_rows_per_second"],
    "http-empty-pull": ["http_empty_pulls_per_second", "statements_per_empty_pull"],
    "bootstrap": ["bootstrap_seconds", "bootstrap_server_cpu_seconds"],
    "history": ["history_rows_downloaded"],
    "cold-start": ["cold_start_seconds", "idle_memory_mb"],
    "import": ["import_seconds"],
    "directory": ["directory_lookup_us", "directory_mb"],
    "scale": [
        *(each.format(count) for count in (100, 200) for each in AT),
        *(
            f"flatness_{each}"
            for each in ("write", "pull", "push", "empty_pull", "cold_pull", "move")
        ),
    ],
    "segments": [
        "segment_rows_per_second_core",
        "segment_bytes_per_row",
        "segment_bootstrap_seconds",
    ],
    "replicas": ["replica_share", "replica_read_p99_ms"],
    "move": ["move_pause_p99_ms"],
    "move-large": ["move_100k_seconds"],
    "move-many": ["moves_per_second"],
    "failover": ["failover_lost", "failover_seconds"],
}
WITHOUT_FLOOR = {
    "commit_p99_ms",
    "hot_plain_ratio",
    "bootstrap_server_cpu_seconds",
    "cold_start_seconds",
    "idle_memory_mb",
    "directory_mb",
    *EXPECTED["segments"],
    *EXPECTED["replicas"],
    "move_pause_p99_ms",
    "move_100k_seconds",
    "moves_per_second",
    *EXPECTED["failover"],
}
BY_HAND = {
    "statements_per_empty_pull": 1.0,
    "history_rows_downloaded": 10.0,
    "failover_lost": 0.0,
}


def test_every_figure_is_listed_here() -> None:
    assert list(ALL) == list(EXPECTED)


@pytest.mark.parametrize("name", list(ALL))
async def test_a_figure_is_measured_alone(name: str) -> None:
    figures = await ALL[name](TINY)
    assert [each.figure for each in figures] == EXPECTED[name]
    for each in figures:
        _whole(each)


def _whole(figure: Figure) -> None:
    assert math.isfinite(figure.value)
    assert figure.value > 0 or figure.figure == "failover_lost"
    assert figure.unit
    assert figure.conditions
    if figure.figure in WITHOUT_FLOOR or figure.figure in EXPECTED["scale"]:
        assert figure.floor is None
    else:
        assert figure.floor is not None
        assert figure.floor > 0
    if figure.figure == "history_rows_downloaded":
        assert figure.value == BY_HAND["history_rows_downloaded"]
    if figure.figure == "statements_per_empty_pull":
        # One a pull, and the reads of keys and grants every few seconds.
        assert figure.value < 2
