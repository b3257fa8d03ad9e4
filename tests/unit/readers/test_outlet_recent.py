"""What an outlet remembers of its last messages, for a bus that loses them."""

from __future__ import annotations

from serai.readers.outlet.recent import Recent


def test_an_organisation_goes_on_after_the_first_message_that_was_lost():
    recent = Recent()
    for number, org_id, after in ((1, 7, 0), (2, 8, 4), (3, 7, 1), (4, 7, 2), (5, 8, 5)):
        recent.note(number, org_id, after)
    assert recent.lost_after(2) == ({7: 1, 8: 5}, True)
    assert recent.highest == 2
    assert recent.lost_after(2) == ({}, True), "told once"


def test_what_comes_again_may_be_lost_again():
    recent = Recent()
    recent.note(5, 7, 3)
    assert recent.lost_after(4) == ({7: 3}, True)
    recent.note(5, 7, 3)
    assert recent.lost_after(0) == ({7: 3}, True)


def test_more_than_is_remembered_is_said_to_be_lost():
    recent = Recent(limit=2)
    for number in (1, 2, 3):
        recent.note(number, 7, number - 1)
    assert recent.lost_after(1) == ({7: 1}, True)
    recent = Recent(limit=2)
    for number in (1, 2, 3):
        recent.note(number, 7, number - 1)
    assert recent.lost_after(0) == ({7: 1}, False), "what was lost before is not known"


def test_a_bus_that_does_not_count_is_not_remembered():
    recent = Recent()
    recent.note(0, 7, 1)
    assert recent.lost_after(0) == ({}, True)
