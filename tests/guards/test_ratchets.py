"""Guards that only turn one way: soft limits that shrink, a volume of tests that grows.

Owns the numbers below. A change that makes the tree better moves them in the same commit; no change
moves them back. When a number has become slack by more than its step, the test asks for it, because
a ratchet with slack is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from guards.python_rules import FILE_LINES_SOFT, FUNCTION_LINES_SOFT, function_lengths
from guards.tree import code_lines, project_files, source_files


@dataclass(frozen=True, slots=True)
class AtMost:
    """A count that may only go down."""

    limit: int
    step: int

    def complaint(self, measured: int, advice: str) -> str | None:
        """What is wrong with `measured`, or None."""
        if measured > self.limit:
            return f"{measured} now, {self.limit} allowed: {advice}"
        if measured < self.limit - self.step:
            return f"{measured} now, {self.limit} allowed: set the limit here to {measured}"
        return None


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A ratio that may only go up, to `target`."""

    limit: float
    step: float
    target: float

    def complaint(self, measured: float, advice: str) -> str | None:
        """What is wrong with `measured`, or None."""
        if measured < self.limit:
            return f"{measured:.2f} now, {self.limit:.2f} required: {advice}"
        if self.limit < self.target and measured > self.limit + self.step:
            raised = min(measured, self.target)
            return f"{measured:.2f} now, {self.limit:.2f} required: raise the limit to {raised:.2f}"
        return None


LONG_FUNCTIONS = AtMost(limit=12, step=12)
LONG_FILES = AtMost(limit=15, step=15)
TESTS_TO_SOURCE = AtLeast(limit=0.0, step=1.3, target=1.3)
MOCKS_PER_1000_TEST_LINES_MAX = 2

_MOCK = re.compile(r"\b(MagicMock|AsyncMock|Mock|patch|create_autospec)\(|\bmonkeypatch\.setattr\(")


def mocks(path: Path) -> int:
    """Lines of a test file that put a pretended thing in the place of a real one."""
    return sum(bool(_MOCK.search(line)) for line in path.read_text(encoding="utf-8").splitlines())


def test_long_functions_become_fewer() -> None:
    lengths = [n for path in source_files(".py") for _, n in function_lengths(path)]
    count = sum(n > FUNCTION_LINES_SOFT for n in lengths)
    advice = f"shorten a function of more than {FUNCTION_LINES_SOFT} lines"
    assert LONG_FUNCTIONS.complaint(count, advice) is None


def test_long_files_become_fewer() -> None:
    sizes = [len(p.read_text(encoding="utf-8").splitlines()) for p in source_files(".py", ".sql")]
    count = sum(n > FILE_LINES_SOFT for n in sizes)
    advice = f"split a file of more than {FILE_LINES_SOFT} lines"
    assert LONG_FILES.complaint(count, advice) is None


def test_tests_grow_with_the_source() -> None:
    source = sum(map(code_lines, source_files(".py")))
    tests = sum(map(code_lines, project_files(".py", under=("tests",))))
    advice = "a change of behaviour brings the test that would have failed before it"
    assert TESTS_TO_SOURCE.complaint(tests / source, advice) is None


def test_tests_use_real_things() -> None:
    paths = [p for p in project_files(".py", under=("tests",)) if p != Path(__file__)]
    count, lines = sum(map(mocks, paths)), sum(map(code_lines, paths))
    assert count * 1000 < MOCKS_PER_1000_TEST_LINES_MAX * max(lines, 1000), (
        f"{count} mocks in {lines} lines: use the real server, or a fake that keeps the contract"
    )


@pytest.mark.parametrize(
    ("measured", "said"),
    [(11, "allowed: advice"), (10, None), (8, None), (7, "set the limit here to 7")],
)
def test_a_count_may_only_go_down(measured: int, said: str | None) -> None:
    complaint = AtMost(limit=10, step=2).complaint(measured, "advice")
    assert complaint is None if said is None else said in (complaint or "")


@pytest.mark.parametrize(
    ("limit", "measured", "said"),
    [
        (0.8, 0.79, "required: advice"),
        (0.8, 0.85, None),
        (0.8, 0.95, "raise the limit to 0.95"),
        (0.8, 2.0, "raise the limit to 1.30"),
        (1.3, 2.0, None),
    ],
)
def test_a_ratio_may_only_go_up(limit: float, measured: float, said: str | None) -> None:
    complaint = AtLeast(limit=limit, step=0.1, target=1.3).complaint(measured, "advice")
    assert complaint is None if said is None else said in (complaint or "")


def test_a_mock_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text("x = Mock()\nwith patch('a.b'):\n    ...\ny = mocked\n", encoding="utf-8")
    assert mocks(path) == 2
