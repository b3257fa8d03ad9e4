"""`serai bench` as it is typed: JSON lines, a table, a picture, words for a mistake."""

from __future__ import annotations

import json
from pathlib import Path

from integration.app.programs import Shell

MEMBERS = [
    "figure",
    "value",
    "unit",
    "floor",
    "ratio",
    "python_us_per_row",
    "postgres_us_per_row",
    "conditions",
]


def test_with_json_standard_output_is_one_line_a_figure(tmp_path: Path) -> None:
    done = Shell(tmp_path).ok("bench", "history", "commit", "--json", "--scale", "0.001")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [list(line) for line in lines] == [MEMBERS] * 3
    assert [line["figure"] for line in lines] == [
        "history_rows_downloaded",
        "commit_rows_per_second",
        "commit_p99_ms",
    ]
    assert lines[1]["floor"] > 0
    assert lines[1]["ratio"] > 0


def test_without_it_there_is_a_table_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "figures.png"
    done = Shell(tmp_path).ok("bench", "history", "--scale", "0.001", "--plot", str(picture))
    assert "history_rows_downloaded" in done.out
    assert "<= 1,000" in done.out
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_hot_without_commit_is_refused_in_words(tmp_path: Path) -> None:
    done = Shell(tmp_path).run("bench", "history", "--hot")
    assert done.status == 1
    assert "--hot goes with commit alone" in done.err


def test_a_figure_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = Shell(tmp_path).run("bench", "nonsense")
    assert done.status != 0
    assert done.out == ""
