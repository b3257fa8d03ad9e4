"""What the outlet does next, for each relation of what was sent and where things stand."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from serai.core.ids import ORG_SCOPE
from serai.core.limits import OUTLET_MESSAGE_BYTES_MAX, ROW_BYTES_MAX
from serai.readers.outlet.messages import Entry, Origin, beginning, ending, of_rows, of_version
from serai.readers.outlet.plan import FIRST, Begin, Fill, Follow, Page, Sent, next_step

PLACE, ROW = UUID(int=5), UUID(int=9)


def entry(version: int, text: str = "") -> Entry:
    change = f'{{"id":"{ROW}","action":"update","version":{version},"data":{{"name":"{text}"}}}}'
    return Entry(version, 4, PLACE, change)


def page(sent: Sent | None, *versions: int, epoch: int = 1, head: int = 9, floor: int = 0) -> Page:
    return Page(epoch, head, floor, sent, [entry(v) for v in versions], head)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (page(None, floor=3), Begin("new")),
        (page(Sent(1, 2), floor=3), Begin("floor")),
        (page(Sent(1, 9), epoch=2), Begin("epoch")),
        (page(Sent(1, 10)), Begin("ahead")),
        (page(Sent(1, 9, 0, FIRST)), Fill(Sent(1, 9, 0, FIRST), FIRST)),
        (page(Sent(1, 2, 0, FIRST), floor=3), Begin("floor")),
        (page(Sent(1, 9)), Follow(Sent(1, 9), [])),
    ],
)
def test_what_comes_next(at: Page, expected: object):
    assert next_step(at) == expected


def test_an_organisation_at_the_floor_goes_on_from_its_log():
    step = next_step(page(Sent(1, 3), 4, 5, floor=3, head=5))
    assert isinstance(step, Follow)
    assert [(v, p) for v, p, _ in step.versions] == [(4, 3), (5, 4)]


def test_an_organisation_that_was_never_sent_begins_at_version_0():
    step = next_step(page(None, 1, 2, head=2))
    assert step == Follow(Sent(1, 0), [(1, 0, [entry(1)]), (2, 1, [entry(2)])])


def test_folded_versions_name_the_one_that_was_sent_before_them():
    step = next_step(page(Sent(1, 2), 6, 9))
    assert isinstance(step, Follow)
    assert [(v, p) for v, p, _ in step.versions] == [(6, 2), (9, 6)]


def test_versions_without_changes_are_told_all_the_same():
    assert next_step(page(Sent(1, 2), 6)) == Follow(Sent(1, 2), [(6, 2, [entry(6)]), (9, 6, [])])


def test_a_message_says_whose_and_which_version_and_what_came_before():
    (message,) = of_version(Origin(7, 2, 0), 12, 11, [entry(12, "Ünal")], {4: "stays"})
    assert message.org_id == 7
    assert message.id == "7.2.12"
    assert json.loads(message.body) == {
        "kind": "changes",
        "org": 7,
        "epoch": 2,
        "version": 12,
        "previous": 11,
        "part": 1,
        "parts": 1,
        "changes": [
            {
                "collection": "stays",
                "scope": str(PLACE),
                "id": str(ROW),
                "action": "update",
                "version": 12,
                "data": {"name": "Ünal"},
            }
        ],
    }


def test_a_row_of_the_organisation_itself_has_no_scope():
    own = Entry(3, 4, ORG_SCOPE, f'{{"id":"{ROW}","action":"delete","version":3}}')
    (message,) = of_version(Origin(7, 1, 0), 3, 2, [own], {4: "stays"})
    (change,) = json.loads(message.body)["changes"]
    assert (change["scope"], change["action"], "data" in change) == (None, "delete", False)


def test_a_large_version_goes_in_parts_each_small_enough_for_the_bus():
    entries = [entry(3, "☃" * (ROW_BYTES_MAX // 3 - 100)) for _ in range(40)]
    found = list(of_version(Origin(7, 1, 0), 3, 2, entries, {4: "stays"}))
    bodies = [json.loads(m.body) for m in found]
    assert len(found) > 1
    assert max(len(m.body) for m in found) < OUTLET_MESSAGE_BYTES_MAX
    assert [m.id for m in found] == [f"7.1.3.{n + 1}" for n in range(len(found))]
    assert [(b["part"], b["parts"]) for b in bodies] == [
        (n + 1, len(found)) for n in range(len(found))
    ]
    assert sum(len(b["changes"]) for b in bodies) == 40


def test_after_a_rewind_a_message_has_another_id_so_that_no_bus_drops_it():
    first, again = (next(of_version(Origin(7, 1, t), 3, 2, [entry(3)], {4: "s"})) for t in (0, 1))
    assert first.id != again.id
    assert first.body == again.body


def test_a_fill_begins_has_rows_and_ends_under_one_name():
    origin = Origin(7, 2, 1)
    rows = list(of_rows(origin, 40, [entry(0)], ROW, {4: "stays"}))
    told = [beginning(origin, 40, "epoch"), *rows, ending(origin, 40)]
    bodies = [json.loads(m.body) for m in told]
    assert [b["kind"] for b in bodies] == ["begin", "rows", "end"]
    assert {b["fill"] for b in bodies} == {"2.40.1"}
    assert len({m.id for m in told}) == 3
