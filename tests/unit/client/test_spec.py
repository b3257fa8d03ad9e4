"""`protocol/SPEC.md` and the code say the same, and each test that the page names exists.

Owns the comparison in both directions, of tables, examples, limits and names of tests. Never checks
prose.
"""

from __future__ import annotations

import ast
import json
import re
from enum import Enum
from pathlib import Path

import msgspec
import pytest

from serai.client.forms import page_decoder, push_decoder
from serai.client.http import problem
from serai.client.reactions import reaction
from serai.client.states import CLIENT, COLLECTION, MUTATION
from serai.core import limits
from serai.core.errors import CODES, Code, SeraiError
from serai.wire.sync import ChangesAnswer, ChangesRequest, MutationsAnswer, MutationsRequest

ROOT = Path(__file__).parents[3]
SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
TABLES: dict[str, dict[tuple[Enum, Enum], Enum]] = {
    "client": {**CLIENT},
    "collection": {**COLLECTION},
    "mutation": {**MUTATION},
}
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def lines_of(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading."""
    section = re.split(r"^#", SPEC.split(heading + "\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [row.strip().strip("|").split("|") for row in section.splitlines() if "|" in row]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize("name", TABLES)
def test_every_transition_of_the_code_stands_in_the_page_and_no_other(name):
    in_page = {(start, event, end) for start, event, end, _ in lines_of(f"### Table: {name}")}
    in_code = {(s.value, e.value, end.value) for (s, e), end in TABLES[name].items()}
    assert in_page == in_code


@pytest.mark.parametrize("name", TABLES)
def test_every_transition_names_its_test(name):
    for row in lines_of(f"### Table: {name}"):
        assert NAMED.fullmatch(row[3]), row


def test_every_error_of_the_catalogue_stands_in_the_page_with_its_reaction():
    rows = lines_of("## 4. Errors and what a client does")
    in_page = {code.strip("`"): (retry, does) for code, retry, does in rows}
    in_code = {n: (c.kind.retry.value, reaction(c).value) for n, c in CODES.items()}
    assert in_page == in_code


def test_every_test_that_the_page_names_exists():
    found = NAMED.findall(SPEC)
    assert len(found) > 90
    missing = [f"{path}::{name}" for path, name in found if not exists(path, name)]
    assert missing == []


def test_no_test_is_named_in_a_way_that_the_check_overlooks():
    assert SPEC.count("tests/") == len(NAMED.findall(SPEC))


def test_every_invariant_of_sync_names_its_tests():
    rows = lines_of("## 9. What must always hold")
    assert [row[0] for row in rows] == [f"I{n}" for n in (*range(1, 13), 14, 15)]
    for _, promise, tests in rows:
        assert promise
        assert all(name.startswith(("test_", "Test")) for _, name in NAMED.findall(tests))
        assert NAMED.sub("", tests).strip(", ") == ""
        assert NAMED.findall(tests)


ANSWERS = {"ChangesAnswer": ChangesAnswer, "MutationsAnswer": MutationsAnswer}


def example(name: str) -> bytes:
    return SPEC.split(f"Example: {name}\n\n```json\n")[1].split("```")[0].encode()


def test_the_examples_of_requests_are_taken_by_the_server():
    # These forms refuse members that they do not know.
    wanted = msgspec.json.decode(example("ChangesRequest"), type=ChangesRequest)
    assert [w.name for w in wanted.collections] == ["guests", "stays"]
    batch = msgspec.json.decode(example("MutationsRequest"), type=MutationsRequest)
    assert [(m.number, m.op, m.base, m.after) for m in batch.mutations] == [
        (41, "insert", 0, None),
        (42, "update", 0, 41),
        (43, "delete", 8001, None),
    ]
    assert batch.pull is not None


@pytest.mark.parametrize("name", ANSWERS)
def test_every_example_of_an_answer_has_no_member_that_a_server_does_not_send(name):
    text = example(name)
    form = msgspec.to_builtins(msgspec.json.decode(text, type=ANSWERS[name]))
    assert contained(json.loads(text), form) == []


def contained(given, form, path: str = "") -> list[str]:
    """Return what stands in the example and not in the form that was read from it."""
    if isinstance(given, dict):
        return [
            fault
            for key, value in given.items()
            for fault in (
                contained(value, form[key], f"{path}.{key}") if key in form else [f"{path}.{key}"]
            )
        ]
    if isinstance(given, list):
        assert len(given) == len(form)
        return [f for a, b in zip(given, form, strict=True) for f in contained(a, b, path + "[]")]
    return [] if given == form else [f"{path}: {given} is not {form}"]


def test_the_examples_of_answers_are_read_by_the_client():
    pulled = page_decoder.decode(example("ChangesAnswer"))
    assert [(part.name, len(part.changes)) for part in pulled.collections] == [
        ("guests", 2),
        ("stays", 0),
    ]
    assert pulled.collections[1].filling
    pushed = push_decoder.decode(example("MutationsAnswer"))
    assert [(r.number, r.status) for r in pushed.results] == [
        (41, "applied"),
        (42, "merged"),
        (43, "rejected"),
    ]
    assert pushed.results[2].errors == [("status", "is checked_in")]
    found = problem(409, example("problem"), None)
    assert isinstance(found, SeraiError)
    assert (found.code, found.extra) == (Code.MUTATION_GAP, {"expected": 41})


def test_every_limit_of_the_page_is_that_of_the_code():
    stated = [int(value.split()[0]) for _, value in lines_of("### Limits")]
    assert stated == [
        limits.BODY_BYTES_MAX,
        limits.ROW_BYTES_MAX,
        limits.MUTATIONS_PER_PUSH_MAX,
        limits.PAGE_ROWS_MAX,
        limits.PAGE_BYTES_MAX,
        limits.SYNC_COLLECTIONS_MAX,
        limits.SYNC_PROPERTIES_MAX,
        limits.TOKEN_BYTES_MAX,
        limits.INTEGER_MAX,
    ]
    assert limits.TOMBSTONE_HORIZON_DAYS == 30
    assert limits.ACCESS_SECONDS == 15 * 60
    assert limits.WRITE_ROWS_MAX == 200


def exists(path: str, name: str) -> bool:
    file = ROOT / path
    if not file.is_file():
        return False
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    names |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return not name or name in names
