"""What happens to a database when a declaration changes, decided without one."""

from __future__ import annotations

import pytest

from serai.schema.errors import DestructiveChangeError
from serai.schema.generated import GeneratedStatement
from serai.schema.vertical import Recorded, plan_vertical

TABLE = GeneratedStatement("stays", "table", "CREATE TABLE stays ()")
FIELD = GeneratedStatement("stays.nights", "column", "ALTER TABLE stays ADD COLUMN nights bigint")
CHECK = GeneratedStatement("stays.positive", "constraint", "ADD v1", drop="DROP positive")
FUNCTION = GeneratedStatement("stays.apply", "function", "CREATE OR REPLACE v1")


def recorded(*statements: GeneratedStatement) -> dict[str, Recorded]:
    return {s.name: Recorded(s.kind, s.sha256, s.drop) for s in statements}


def test_the_first_time_everything_runs_in_the_order_given():
    assert plan_vertical({}, [TABLE, FIELD, CHECK]).run == (TABLE, FIELD, CHECK)


def test_nothing_runs_when_nothing_changed():
    plan = plan_vertical(recorded(TABLE, FIELD, FUNCTION), [TABLE, FIELD, FUNCTION])
    assert (plan.run, plan.drop, plan.kept) == ((), {}, ())


def test_a_new_field_runs_alone():
    assert plan_vertical(recorded(TABLE), [TABLE, FIELD]).run == (FIELD,)


def test_a_changed_rule_replaces_the_old_one():
    tighter = GeneratedStatement("stays.positive", "constraint", "ADD v2", drop="DROP positive")
    assert plan_vertical(recorded(TABLE, CHECK), [TABLE, tighter]).run == (tighter,)


def test_a_rule_that_has_left_the_declaration_is_dropped_or_reported():
    plan = plan_vertical(recorded(TABLE, CHECK, FUNCTION), [TABLE])
    assert plan.drop == {"stays.positive": "DROP positive"}
    assert plan.kept == ("stays.apply",)


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        ([TABLE], "stays.nights is a column with data and is not declared any more"),
        ([FIELD], "stays is a table with data and is not declared any more"),
        (
            [TABLE, GeneratedStatement("stays.nights", "column", "ADD COLUMN nights text")],
            "stays.nights is a column with another definition",
        ),
        (
            [TABLE, GeneratedStatement("stays.nights", "index", FIELD.sql)],
            "stays.nights is a column with another definition",
        ),
    ],
)
def test_a_change_that_would_lose_data_is_refused(statements, problem):
    with pytest.raises(DestructiveChangeError) as caught:
        plan_vertical(recorded(TABLE, FIELD), statements)
    assert caught.value.problems == [problem]


def test_every_problem_is_told_at_once():
    with pytest.raises(DestructiveChangeError) as caught:
        plan_vertical(recorded(TABLE, FIELD), [])
    assert len(caught.value.problems) == 2


def test_two_objects_with_one_name_are_a_mistake_of_the_generator():
    with pytest.raises(ValueError, match="one name"):
        plan_vertical({}, [TABLE, TABLE])
