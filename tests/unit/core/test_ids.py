"""Ids: one spelling for each, and new ones in the order of time.

Owns the tests of `serai.core.ids`. The layout of RFC 9562 is checked bit by bit from the text of an
id, by hand. Never asks for an id of a server: there is none to ask.
"""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.ids import ALL_SCOPES, ORG_SCOPE, check_uuid, parse_uuid, uuid7


def test_a_phones_new_id_has_the_layout_of_version_7() -> None:
    text = str(uuid7())
    assert text[14] == "7"
    assert text[19] in "89ab"
    check_uuid(text)


def test_ids_made_later_sort_later_so_that_rows_stay_together_on_disk() -> None:
    made = [uuid7()]
    while len(made) < 4:
        new = uuid7()
        if new.int >> 80 != made[-1].int >> 80:
            made.append(new)
    assert made == sorted(made)
    assert [str(each) for each in made] == sorted(str(each) for each in made)


def test_an_id_tells_the_millisecond_it_was_made_in() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert before <= int(str(made).replace("-", "")[:12], 16) <= after


def test_two_phones_never_make_the_same_id() -> None:
    made = [uuid7() for _ in range(5_000)]
    assert len(set(made)) == len(made)
    # 74 random bits: each of them is seen both ways, none is stuck.
    seen_one = seen_zero = 0
    for each in made:
        seen_one |= each.int
        seen_zero |= ~each.int
    random_bits = (0xFFF << 64) | (2**62 - 1)
    assert seen_one & seen_zero & random_bits == random_bits


@given(st.uuids())
def test_the_canonical_spelling_is_read_back(made) -> None:
    assert parse_uuid(str(made)) == made


@given(st.uuids(), st.data())
def test_every_other_spelling_of_an_id_is_refused(made, data) -> None:
    text = str(made)
    other = data.draw(
        st.sampled_from(
            [
                text.upper(),
                text.replace("-", ""),
                "{" + text + "}",
                "urn:uuid:" + text,
                text + "\n",
                " " + text,
                text[:-1],
                text + "0",
                text.replace("-", "_"),
                text[:8] + text[9:] + "0",
            ]
        )
    )
    if other != text:
        with pytest.raises(ValueError, match="UUID in lower case with hyphens"):
            parse_uuid(other)


@pytest.mark.parametrize("text", ["", "-" * 36, "g" * 36, "\u0661" * 36, "0198c0de"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="UUID in lower case"):
        check_uuid(text)


@pytest.mark.parametrize("reserved", [ORG_SCOPE, ALL_SCOPES])
def test_no_row_can_take_the_name_of_the_organisation_or_of_every_property(reserved: UUID) -> None:
    with pytest.raises(ValueError, match="reserved"):
        parse_uuid(str(reserved))


def test_the_reserved_scopes_sort_around_every_property() -> None:
    assert str(ORG_SCOPE) == "00000000-0000-0000-0000-000000000000"
    assert str(ALL_SCOPES) == "ffffffff-ffff-ffff-ffff-ffffffffffff"
    assert ORG_SCOPE < uuid4() < ALL_SCOPES
