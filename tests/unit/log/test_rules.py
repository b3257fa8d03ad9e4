"""Rules of a vertical in the write path: what they see, what they may write, what they cannot.

Owns the tests of how `serai.log.decide` runs a rule. Each test writes the rule that it is about. A
write rests on every row its rule saw, so that a rule is never wrong for long. Never commits.
"""

from __future__ import annotations

import pytest

from serai.core.errors import Code
from serai.core.ids import ORG_SCOPE
from serai.core.limits import ROW_BYTES_MAX
from serai.log.decide import NeedRows, decide
from serai.model import Accept, Key, Refuse, RowChange, RuleInput, Verdict, Vertical
from serai.ports.store import (
    ReadSetItem,
)
from unit.log.deciding import STAY, Rows, clerk, kept, key, planned, refused
from unit.log.house import (
    ANNA,
    GUEST,
    HILL,
    NOW,
    SEA,
    HouseRule,
    caller,
    house,
    mutation,
    rest,
    row_id,
    stay,
    told,
    wish,
)


def test_a_row_never_moves_to_another_property_whatever_a_rule_says() -> None:
    def move(asked: RuleInput) -> Verdict:
        assert asked.after is not None
        return Accept(
            RowChange("stays", "update", asked.id, {**asked.after, "property_id": str(HILL)})
        )

    vertical = house(HouseRule(says=move))
    rows: Rows = {key("stays", STAY): kept("stays", nights=2)}
    change = wish("stays", "update", STAY, {"nights": 3}, vertical=vertical)
    error = refused(rest(caller(vertical=vertical), change), rows, vertical)
    assert (error.code, error.errors) == (
        Code.FIELD_READ_ONLY,
        (("property_id", "never changes"),),
    )


def test_a_rule_sees_the_row_before_and_after_and_the_rows_it_asked_for() -> None:
    rule = HouseRule(wants=lambda *_: [("guests", GUEST), ("properties", SEA)])
    vertical = house(rule)
    rows: Rows = {
        key("stays", STAY): kept("stays", nights=2),
        key("guests", GUEST): kept("guests", ORG_SCOPE, version=7, name="Ada"),
    }
    change = wish("stays", "update", STAY, {"nights": 3}, vertical=vertical)
    plan = planned(rest(clerk(), change), rows, vertical)
    (asked,) = rule.asked
    assert asked.before is not None
    assert asked.after is not None
    assert (asked.op, asked.before["nights"], asked.after["nights"]) == ("update", 2, 3)
    assert asked.rows[("guests", GUEST)] == {"name": "Ada", "email": None}
    assert asked.rows[("properties", SEA)] is None
    assert (asked.now, asked.actor) == (NOW, clerk())
    assert set(plan.reads) == {
        ReadSetItem(4, STAY, 5),
        ReadSetItem(3, GUEST, 7),
        ReadSetItem(1, SEA, 0),
    }, "the write rests on all of them, the missing one included"


def test_a_rule_asks_for_its_rows_before_it_decides() -> None:
    rule = HouseRule(wants=lambda *_: [("guests", GUEST)])
    vertical = house(rule)
    rows: Rows = {key("stays", STAY): None}
    with pytest.raises(NeedRows) as caught:
        decide(vertical, rest(clerk(), stay(1, vertical)), rows, epoch=1, now=NOW)
    assert caught.value.keys == [key("guests", GUEST)]
    assert rule.asked == []


def test_what_a_rule_refuses_is_refused_in_its_own_words() -> None:
    vertical = house(HouseRule(says=lambda _: Refuse("day_closed", "The day is closed.")))
    who = caller(vertical=vertical)
    error = refused(rest(who, stay(1, vertical)), vertical=vertical)
    assert (error.code, error.detail) == (Code.RULE, "The day is closed.")
    plan = planned(mutation(who, 1, stay(1, vertical)), vertical=vertical)
    assert plan.refusal is not None
    assert (plan.refusal.outcome, plan.refusal.code) == ("rejected", "day_closed")
    assert plan.refusal.reason == "The day is closed."
    assert told(plan.reply)["code"] == "day_closed"
    assert plan.reads == (ReadSetItem(4, STAY, 0),)


def test_a_rule_sets_what_only_the_server_may_set() -> None:
    def stamp(asked: RuleInput) -> Verdict:
        assert asked.after is not None
        row = {**asked.after, "posted_by": str(asked.actor.user_id)}
        return Accept(RowChange("stays", asked.op, asked.id, row))

    vertical = house(HouseRule(says=stamp))
    plan = planned(rest(caller(vertical=vertical), stay(1, vertical)), vertical=vertical)
    assert told(plan.ops[0].doc)["posted_by"] == str(ANNA)


def test_a_rule_cannot_alter_the_wish_that_will_be_decided_again() -> None:
    def spoil(asked: RuleInput) -> Verdict:
        assert asked.after is not None
        asked.after["nights"] = 99
        return Refuse("no", "No.")

    vertical = house(HouseRule(says=spoil))
    intent = rest(caller(vertical=vertical), stay(1, vertical, nights=2))
    refused(intent, vertical=vertical)
    assert intent.rows[0].fields["nights"] == 2


def also(*changes: RowChange, change: bool = True) -> Vertical:
    def says(asked: RuleInput) -> Verdict:
        own = RowChange("stays", asked.op, asked.id, asked.after)
        return Accept(own if change else None, changes)

    return house(HouseRule(says=says))


def test_what_a_rule_writes_beside_the_row_is_one_write_with_it() -> None:
    vertical = also(RowChange("guests", "insert", GUEST, {"name": "Ada"}))
    plan = planned(rest(caller(vertical=vertical), stay(1, vertical)), vertical=vertical)
    assert [(op.collection, op.id, op.scope) for op in plan.ops] == [
        (4, STAY, SEA),
        (3, GUEST, ORG_SCOPE),
    ]
    assert ReadSetItem(3, GUEST, 0) in plan.reads
    assert plan.ops[1].doc == '{"name":"Ada","email":null}'


def test_a_rule_may_write_a_row_of_another_collection_instead() -> None:
    vertical = also(RowChange("guests", "insert", GUEST, {"name": "Ada"}), change=False)
    plan = planned(mutation(caller(vertical=vertical), 1, stay(1, vertical)), vertical=vertical)
    assert [op.collection for op in plan.ops] == [3]
    answer = told(plan.reply.replace("{version}", "9"))
    assert (answer["status"], answer["id"]) == ("applied", str(STAY))
    assert "row" not in answer, "a phone would keep a guest among its stays"


def test_a_rule_may_write_nothing_at_all() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", nights=2)}
    vertical = also(change=False)
    change = wish("stays", "update", STAY, {"nights": 3}, vertical=vertical)
    plan = planned(mutation(caller(vertical=vertical), 1, change), rows, vertical)
    assert plan.ops == ()
    assert told(plan.reply)["version"] == 5
    assert told(plan.reply)["row"]["nights"] == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (RowChange("stays", "update", STAY, {"nights": 8}), Code.RULE),
        (RowChange("guests", "insert", GUEST, {"name": "Ada"}), Code.ROW_EXISTS),
        (RowChange("guests", "update", row_id(77), {"name": "Ada"}), Code.NOT_FOUND),
        (RowChange("guests", "delete", row_id(77), None), Code.NOT_FOUND),
    ],
)
def test_a_rule_that_contradicts_the_rows_changes_nothing(change: RowChange, code: Code) -> None:
    rows: Rows = {key("guests", GUEST): kept("guests", ORG_SCOPE, name="Ada")}
    vertical = also(change)
    assert refused(rest(caller(vertical=vertical), stay(1, vertical)), rows, vertical).code is code


def test_an_import_writes_a_guest_and_a_stay_at_once_and_rules_see_both() -> None:
    rule = HouseRule(wants=lambda *_: [("guests", GUEST)])
    vertical = house(rule)
    guest = wish("guests", "insert", GUEST, {"name": "Ada"}, vertical=vertical)
    plan = planned(
        rest(caller(vertical=vertical), guest, stay(1, vertical)), vertical=vertical, new_ids=True
    )
    assert [op.collection for op in plan.ops] == [3, 4]
    assert rule.asked[0].rows["guests", GUEST] == {"name": "Ada", "email": None}
    assert plan.reply == ""


def test_one_import_line_does_not_write_a_row_twice() -> None:
    guest = wish("guests", "insert", GUEST, {"name": "Ada"})
    assert refused(rest(caller(), guest, guest)).code is Code.RULE


def wide_house() -> Vertical:
    def fat(asked: RuleInput) -> Verdict:
        assert asked.after is not None
        size = asked.after["nights"]
        assert isinstance(size, int)
        return Accept(
            RowChange("stays", asked.op, asked.id, {**asked.after, "note": "\u00e9" * size})
        )

    return house(HouseRule(says=fat))


def test_a_row_is_measured_in_bytes_not_in_characters() -> None:
    vertical = wide_house()
    who = caller(vertical=vertical)
    spare = len(planned(rest(who, stay(1, vertical, nights=9)), vertical=vertical).ops[0].doc)
    fits = (ROW_BYTES_MAX - spare) // 2
    plan = planned(rest(who, stay(1, vertical, nights=fits)), vertical=vertical)
    assert len(plan.ops[0].doc.encode()) <= ROW_BYTES_MAX
    error = refused(rest(who, stay(1, vertical, nights=fits + 20)), vertical=vertical)
    assert error.code is Code.WRITE_TOO_LARGE


def test_a_rule_that_reads_the_whole_house_is_refused() -> None:
    keys: list[Key] = [("guests", row_id(n)) for n in range(500)]
    vertical = house(HouseRule(wants=lambda *_: keys))
    error = refused(rest(caller(vertical=vertical), stay(1, vertical)), vertical=vertical)
    assert error.code is Code.WRITE_TOO_LARGE
