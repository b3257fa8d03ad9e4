"""The forms of rules and of imports: what a vertical hands to the platform cannot change later.

Owns the tests of the small forms in `serai.model.rules` and `serai.model.importing`. They hold data
only, so what matters is that two of them never share a part and that none can be altered after the
platform has looked at it. Never runs a rule: the log's tests do.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from uuid import UUID

import pytest

from serai.model import Accept, BadLine, ImportedLine, NewRow, Refuse, RowChange

ROW = UUID(int=1)


def test_a_verdict_cannot_be_altered_after_it_was_given() -> None:
    verdict = Accept(RowChange("rooms", "insert", ROW, {"name": "7"}))
    assert verdict.also == ()
    with pytest.raises(AttributeError, match="immutable"):
        verdict.change = None  # pyright: ignore[reportAttributeAccessIssue] - frozen, which is the point
    with pytest.raises(AttributeError, match="immutable"):
        Refuse("closed", "The day is closed.").code = "open"  # pyright: ignore[reportAttributeAccessIssue] - frozen, which is the point


def test_equal_verdicts_are_equal_so_that_a_rule_can_be_tested() -> None:
    assert Accept(None) == Accept(None, ())
    assert Refuse("closed", "The day is closed.") != Refuse("closed", "The month is closed.")


def test_a_line_of_an_import_is_whole_by_its_form() -> None:
    line = ImportedLine(2, (NewRow("rooms", ROW, {"name": "7"}),))
    assert line.shared == ()
    with pytest.raises(FrozenInstanceError):
        line.rows = ()  # pyright: ignore[reportAttributeAccessIssue] - frozen, which is the point


def test_a_bad_line_is_a_loss_unless_the_importer_says_it_is_meant() -> None:
    assert not BadLine(3, "no date").expected
