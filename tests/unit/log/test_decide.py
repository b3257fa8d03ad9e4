"""From a wish to a planned write: every verdict, and what each of them rests on.

Owns the tests of `serai.log.decide`, on rows written here by hand. What matters is the read set: a
decision that does not say which rows it has seen is applied although they moved. Never commits
anything: the coalescer's tests do.
"""

from __future__ import annotations

import pytest

from serai.core.errors import Code, SeraiError
from serai.core.ids import ORG_SCOPE
from serai.core.limits import WRITE_ROWS_MAX
from serai.log.decide import NeedRows, decide, plan_refusal
from serai.ports.store import (
    IdempotencyKey,
    MutationKey,
    ReadSetItem,
)
from unit.log.deciding import STAY, Rows, clerk, kept, key, planned, refused
from unit.log.house import (
    ANNA,
    BEN,
    GUEST,
    HILL,
    HOUSE,
    NOW,
    ORG,
    PHONE,
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


def test_an_insert_is_planned_as_the_whole_row_in_declared_order() -> None:
    plan = planned(rest(clerk(), stay(1, nights=3, note="sea view"), key="k"))
    (op,) = plan.ops
    assert (op.op, op.collection, op.id, op.scope) == ("insert", 4, STAY, SEA)
    assert op.doc.startswith(f'{{"property_id":"{SEA}","note":"sea view","nights":3,')
    assert plan.reads == (ReadSetItem(4, STAY, 0),)
    assert (plan.org_id, plan.epoch) == (ORG, 3)
    assert plan.reply.startswith(f'{{"id":"{STAY}","version":{{version}},')


def test_nothing_is_decided_on_a_row_that_was_not_read() -> None:
    with pytest.raises(NeedRows) as caught:
        decide(HOUSE, rest(clerk(), stay(1)), {}, epoch=1, now=NOW)
    assert caught.value.keys == [key("stays", STAY)]


def test_an_insert_may_take_its_id_for_new_and_still_says_so_in_its_read_set() -> None:
    plan = decide(HOUSE, rest(clerk(), stay(1)), {}, epoch=1, now=NOW, new_ids=True)
    assert plan.reads == (ReadSetItem(4, STAY, 0),)
    update = rest(clerk(), wish("stays", "update", STAY, {"nights": 2}))
    with pytest.raises(NeedRows):
        decide(HOUSE, update, {}, epoch=1, now=NOW, new_ids=True)


def test_an_insert_over_a_row_that_exists_never_replaces_it() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", nights=9)}
    assert refused(rest(clerk(), stay(1)), rows).code is Code.ROW_EXISTS
    plan = planned(mutation(clerk(), 1, stay(1)), rows)
    assert plan.ops == ()
    answer = told(plan.reply)
    assert (answer["status"], answer["code"], answer["version"]) == ("conflict", "conflict", 5)
    assert answer["row"]["nights"] == 9
    assert plan.reads == (ReadSetItem(4, STAY, 5),)


def test_an_id_of_another_property_does_not_show_its_row() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", HILL, note="secret")}
    assert refused(rest(clerk(), stay(1)), rows).code is Code.FORBIDDEN
    plan = planned(mutation(clerk(), 1, stay(1)), rows)
    assert "secret" not in plan.reply
    assert told(plan.reply)["code"] == "forbidden"


def test_an_update_keeps_every_field_that_was_not_sent() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", nights=2, note="late", source="web")}
    plan = planned(rest(clerk(), wish("stays", "update", STAY, {"nights": 3})), rows)
    (op,) = plan.ops
    assert (op.op, op.scope, op.changed) == ("update", SEA, ("nights",))
    assert told(op.doc) | {"nights": 2} == told(
        kept("stays", nights=2, note="late", source="web").doc
    )
    assert plan.reads == (ReadSetItem(4, STAY, 5),)


def test_an_update_of_a_row_that_is_gone_is_refused_and_not_an_insert() -> None:
    intent = wish("stays", "update", STAY, {"nights": 3})
    assert refused(rest(clerk(), intent)).code is Code.NOT_FOUND
    plan = planned(mutation(clerk(), 1, intent))
    assert plan.ops == ()
    assert plan.refusal is not None
    assert (plan.refusal.outcome, plan.refusal.code) == ("rejected", "not_found")
    assert plan.reads == (ReadSetItem(4, STAY, 0),), "it may be inserted meanwhile: decide again"


def test_a_phone_that_deletes_what_is_gone_already_has_what_it_wants() -> None:
    gone = wish("stays", "delete", STAY, base=4)
    plan = planned(mutation(caller(), 1, gone))
    assert (plan.ops, plan.refusal) == ((), None)
    assert told(plan.reply.replace("{version}", "9"))["status"] == "applied"
    assert refused(rest(caller(), wish("stays", "delete", STAY))).code is Code.NOT_FOUND


def test_a_delete_keeps_the_last_state_for_those_who_must_forget_it() -> None:
    stored = kept("stays", nights=2)
    intent = rest(caller(), wish("stays", "delete", STAY), key="k")
    plan = planned(intent, {key("stays", STAY): stored})
    (op,) = plan.ops
    assert (op.op, op.scope, op.doc) == ("delete", SEA, stored.doc)
    assert told(plan.reply.replace("{version}", "9")) == {
        "id": str(STAY),
        "version": 9,
        "data": None,
    }


def test_a_row_of_another_property_is_not_there() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", HILL, note="secret")}
    for op in ("update", "delete"):
        intent = wish("stays", op, STAY, {"nights": 2} if op == "update" else None)
        assert refused(rest(clerk(), intent), rows).code is Code.NOT_FOUND
        plan = planned(mutation(clerk(), 1, intent), rows)
        assert plan.ops == ()
        assert "secret" not in plan.reply


def test_pay_is_neither_read_nor_written_by_a_clerk() -> None:
    rows: Rows = {key("pay", STAY): kept("pay", person="Cook", wage_minor=1, wage_currency="EUR")}
    change = wish("pay", "update", STAY, {"wage_minor": 2}, base=5)
    new = wish("pay", "insert", row_id(2), {"property_id": str(SEA), "person": "x"})
    assert refused(rest(clerk(), change), rows).code is Code.NOT_FOUND
    assert refused(rest(clerk(), new)).code is Code.FORBIDDEN
    assert "Cook" not in planned(mutation(clerk(), 1, change), rows).reply


def test_a_clerk_writes_only_where_the_role_is_held() -> None:
    assert planned(rest(clerk(SEA), stay(1, at=SEA))).ops
    error = refused(rest(clerk(SEA), stay(1, at=HILL)))
    assert error.code is Code.FORBIDDEN
    assert "may not create stays" in error.detail


def test_a_clerk_who_may_change_a_stay_may_still_not_delete_it() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", nights=2)}
    assert planned(rest(clerk(), wish("stays", "update", STAY, {"nights": 3})), rows).ops
    error = refused(rest(clerk(), wish("stays", "delete", STAY)), rows)
    assert error.code is Code.FORBIDDEN


def test_who_may_approve_may_ask_only_where_a_rule_can_refuse() -> None:
    rows: Rows = {
        key("stays", STAY): kept("stays", nights=2),
        key("guests", STAY): kept("guests", ORG_SCOPE, name="x"),
    }
    approver = caller(ANNA, ("approver", SEA))
    vertical = house(HouseRule())
    with_rule = wish("stays", "update", STAY, {"nights": 3}, vertical=vertical)
    assert planned(rest(approver, with_rule), rows, vertical).ops
    without = wish("stays", "update", STAY, {"nights": 3})
    assert refused(rest(approver, without), rows).code is Code.FORBIDDEN
    other = wish("guests", "update", STAY, {"name": "y"})
    assert refused(rest(approver, other), rows).code is Code.FORBIDDEN


def test_a_form_that_was_made_on_an_older_row_is_refused() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", nights=2)}
    older = wish("stays", "update", STAY, {"nights": 3}, base=4)
    error = refused(rest(clerk(), older), rows)
    assert error.code is Code.PRECONDITION
    assert "version 5" in error.detail
    same = wish("stays", "update", STAY, {"nights": 3}, base=5)
    assert planned(rest(clerk(), same), rows).ops
    newer = wish("stays", "update", STAY, {"nights": 3}, base=6)
    assert refused(rest(clerk(), newer), rows).code is Code.PRECONDITION


def test_a_phone_is_told_which_fields_others_had_changed() -> None:
    rows: Rows = {
        key("stays", STAY): kept("stays", version=8, nights=2, changed={"note": 8, "nights": 3})
    }
    ours = wish("stays", "update", STAY, {"nights": 4}, base=5)
    answer = told(planned(mutation(clerk(), 1, ours), rows).reply.replace("{version}", "9"))
    assert (answer["status"], answer["fields"]) == ("merged", ["note"])
    theirs = wish("stays", "update", STAY, {"note": "mine"}, base=5)
    plan = planned(mutation(clerk(), 1, theirs), rows)
    answer = told(plan.reply)
    assert (answer["status"], answer["version"], answer["row"]["nights"]) == ("conflict", 8, 2)
    assert "note" in answer["reason"]
    assert plan.refusal is not None
    assert (plan.refusal.outcome, plan.refusal.scope) == ("conflict", SEA)


def test_a_change_that_changes_nothing_writes_nothing_and_tells_the_rows_own_version() -> None:
    rows: Rows = {key("stays", STAY): kept("stays", nights=2, note="{version}")}
    same = wish("stays", "update", STAY, {"nights": 2}, base=5)
    for intent in (rest(clerk(), same, key="k"), mutation(clerk(), 1, same)):
        plan = planned(intent, rows)
        assert plan.ops == ()
        assert plan.refusal is None
        assert told(plan.reply)["version"] == 5
        assert plan.reads == (ReadSetItem(4, STAY, 5),)


@pytest.mark.parametrize(("rows", "fits"), [(WRITE_ROWS_MAX, True), (WRITE_ROWS_MAX + 1, False)])
def test_a_write_has_a_bound_of_rows(rows: int, fits: bool) -> None:
    intent = rest(caller(), *(stay(n) for n in range(rows)))
    if fits:
        assert len(planned(intent).ops) == rows
    else:
        assert refused(intent).code is Code.WRITE_TOO_LARGE


def test_only_a_change_of_roles_makes_everybody_look_at_their_grants_again() -> None:
    new = wish("memberships", "insert", row_id(3), {"user_id": str(BEN), "role": "clerk"})
    assert planned(rest(caller(), new)).grants_change
    assert not planned(rest(caller(), stay(1))).grants_change
    refusal = planned(mutation(clerk(), 1, new))
    assert refusal.refusal is not None
    assert not refusal.grants_change


def test_a_mutation_that_was_wrong_already_is_recorded_and_reads_nothing() -> None:
    wrong = SeraiError(Code.FIELDS_INVALID, errors=(("nights", "must be from 1 to 20"),))
    plan = planned(mutation(clerk(), 4, wish("stays", "update", STAY), refused=wrong))
    assert (plan.ops, plan.reads) == ((), ())
    answer = told(plan.reply)
    assert (answer["number"], answer["status"], answer["code"]) == (4, "rejected", "fields_invalid")
    assert answer["errors"] == [["nights", "must be from 1 to 20"]]
    assert plan.refusal is not None
    assert plan.refusal.reason == "Fields are not valid"


def test_what_the_database_refused_is_recorded_with_its_fields() -> None:
    error = SeraiError(Code.NOT_UNIQUE, "Taken.", errors=(("name", "Taken."),))
    guest = mutation(clerk(), 2, wish("guests", "insert", GUEST, {"name": "Ada"}))
    plan = plan_refusal(HOUSE, guest, error, epoch=2, now=NOW)
    assert (plan.ops, plan.reads, plan.epoch) == ((), (), 2)
    assert plan.refusal is not None
    assert (plan.refusal.code, plan.refusal.scope) == ("not_unique", ORG_SCOPE)
    assert told(plan.reply)["errors"] == [["name", "Taken."]]


def test_a_refusal_is_shown_at_the_property_it_was_for() -> None:
    at_hill = planned(mutation(clerk(SEA), 1, stay(1, at=HILL))).refusal
    assert at_hill is not None
    assert (at_hill.scope, at_hill.collection, at_hill.row_id) == (HILL, 4, STAY)
    house_itself = planned(
        mutation(clerk(), 1, wish("properties", "insert", SEA, {"name": "x"}))
    ).refusal
    assert house_itself is not None
    assert house_itself.scope == SEA


def test_a_write_with_a_key_carries_it_and_the_hash_of_what_was_sent() -> None:
    plan = planned(rest(clerk(), stay(1), key="k", body=b"abc"))
    assert plan.once == IdempotencyKey(ANNA, "k")
    assert plan.body_hash == b"abc".ljust(32, b"\0")
    plan = planned(mutation(clerk(), 9, stay(1)))
    assert plan.once == MutationKey(ANNA, PHONE, 9)
