"""Guards on Python files: the hard house numbers, docstrings, suppressions, what tests may not do.

Each rule runs on the whole tree, and once on a sample that breaks it: a guard that cannot fail
guards nothing. The samples are written here by hand and never come from the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guards import python_rules as rules
from guards.tree import Finding, project_files, report, source_files

Rule = Callable[[Path], list[Finding]]

EVERYWHERE: list[Rule] = [
    rules.long_functions,
    rules.unexplained_suppressions,
    rules.silent_excepts,
]
IN_TESTS: list[Rule] = [rules.skipped_tests, rules.sleeping_tests]


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda r: r.__name__)
def test_every_python_file_keeps(rule: Rule) -> None:
    found = [f for path in project_files(".py") for f in rule(path)]
    assert not found, report(found)


@pytest.mark.parametrize("rule", IN_TESTS, ids=lambda r: r.__name__)
def test_every_test_keeps(rule: Rule) -> None:
    found = [f for path in project_files(".py", under=("tests",)) for f in rule(path)]
    assert not found, report(found)


def test_every_file_is_short_enough_to_read() -> None:
    found = [f for path in project_files(".py", ".sql", ".ts") for f in rules.long_file(path)]
    assert not found, report(found)


def test_every_module_says_what_it_owns() -> None:
    found = [f for path in source_files(".py") for f in rules.thin_docstring(path)]
    assert not found, report(found)


def _sample(folder: Path, text: str) -> Path:
    path = folder / "sample.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (
            rules.long_functions,
            "def f():\n" + "    x = 1\n" * 70,
            'def f():\n    """A.\n' + "    B.\n" * 80 + '    """\n' + "    x = 1\n" * 69,
        ),
        (rules.long_file, "x = 1\n" * 501, "x = 1\n" * 500),
        (rules.thin_docstring, '"""Helpers."""\nx = 1\n', f'"""{"Owns a thing. " * 9}"""\nx = 1\n'),
        (rules.thin_docstring, "x = 1\n", "\n"),
        (
            rules.unexplained_suppressions,
            "x = 1  # noqa\n",
            "x = 1  # noqa: E501 - a long address\n",
        ),
        (rules.unexplained_suppressions, "x = 1  # noqa: E501\n", "x = '# noqa'\n"),
        (
            rules.unexplained_suppressions,
            "x = 1  # noqa: E501 - long\n",
            "x = 1  # noqa: E501 (a long address)\n",
        ),
        (
            rules.unexplained_suppressions,
            "x = 1  # pyright: ignore\n",
            "x = 1  # pyright: ignore[reportAny] - the library is untyped here\n",
        ),
        (rules.unexplained_suppressions, "x = 1  # type: ignore[misc] - because\n", "x = 1\n"),
        (
            rules.silent_excepts,
            "try:\n    f()\nexcept ValueError:\n    pass\n",
            "try:\n    f()\nexcept ValueError:\n    pass  # the row is gone already\n",
        ),
        (
            rules.silent_excepts,
            "with suppress(Exception):\n    f()\n",
            "with suppress(FileNotFoundError):\n    f()\n",
        ),
        (rules.skipped_tests, "pytest.skip('later')\n", "pytest.raises(ValueError)\n"),
        (rules.skipped_tests, "@pytest.mark.xfail\ndef test(): ...\n", "page.skip(3)\n"),
        (rules.sleeping_tests, "await asyncio.sleep(0.1)\n", "await asyncio.sleep(0)\n"),
        (rules.sleeping_tests, "time.sleep(1)\n", "time.sleep(delay)\n"),
    ],
)
def test_a_rule_sees_what_breaks_it_and_nothing_else(
    rule: Rule, bad: str, good: str, tmp_path: Path
) -> None:
    found = rule(_sample(tmp_path, bad))
    assert len(found) == 1
    assert found[0].line >= 1
    assert rule(_sample(tmp_path, good)) == []


def test_a_finding_names_file_line_and_remedy(tmp_path: Path) -> None:
    [found] = rules.sleeping_tests(_sample(tmp_path, "x = 1\ntime.sleep(1)\n"))
    assert str(found).startswith(f"{tmp_path}/sample.py:2: wait for the event")
