"""The texts of answers: the version goes where it belongs and nowhere else.

Owns the tests of `serai.log.replies`. Every text is read with the strict form that a client has,
and users write the most unfortunate notes. Never decides anything.
"""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.errors import Code, SeraiError
from serai.log import replies
from serai.ports.store import Refusal
from serai.wire.sync import MutationResult

ROW = UUID("0198c0de-0000-7000-8000-000000000001")

unfortunate = st.sampled_from(
    [
        "{version}",
        '"version":{version}',
        '\\"version":{version}',
        '","version":{version},"x":"',
        "{{version}}",
        "\\",
        '"',
    ]
)
texts = unfortunate | st.text(max_size=20)


class RestRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client of REST reads."""

    id: UUID
    version: int
    data: dict[str, str]


def doc(note: str) -> str:
    return msgspec.json.encode({"note": note}).decode()


def result(text: str) -> MutationResult:
    return msgspec.json.decode(text, type=MutationResult)


@given(texts, st.integers(0, 2**53 - 1), st.lists(texts, max_size=2).map(tuple))
def test_an_applied_write_gets_its_version_and_keeps_the_users_words(note, version, fields) -> None:
    text = replies.applied_reply(3, ROW, fields, version=replies.VERSION_MARK, doc=doc(note))
    read = result(replies.with_version(text, version))
    assert (read.number, read.id, read.version, read.row) == (3, ROW, version, {"note": note})
    assert read.status == ("merged" if fields else "applied")
    assert tuple(read.fields) == fields


@given(texts)
def test_a_write_that_changed_nothing_keeps_the_version_of_the_row_and_the_users_words(
    note,
) -> None:
    text = replies.applied_reply(3, ROW, (), version="41", doc=doc(note))
    assert replies.with_version(text, 99) == text
    assert result(text).version == 41
    assert result(text).row == {"note": note}


@given(texts, texts, texts)
def test_a_refused_write_keeps_every_word_of_its_reason(note, reason, name) -> None:
    error = SeraiError(
        Code.CONFLICT, reason or "Changed.", errors=((name, reason),), extra={"rule": note}
    )
    text = replies.refusal_reply(3, ROW, error, version=7, doc=doc(note))
    read = result(replies.with_version(text, 99))
    assert (read.status, read.version, read.row) == ("conflict", 7, {"note": note})
    assert (read.code, read.reason) == (note, reason or "Changed.")
    assert read.errors == [(name, reason)]


@given(texts, st.integers(0, 2**53 - 1))
def test_a_row_of_rest_gets_its_version_and_keeps_the_users_words(note, version) -> None:
    text = replies.rest_reply(ROW, version=replies.VERSION_MARK, doc=doc(note))
    read = msgspec.json.decode(replies.with_version(text, version), type=RestRow)
    assert (read.id, read.version, read.data) == (ROW, version, {"note": note})
    fixed = replies.rest_reply(ROW, version="5", doc=doc(note))
    assert replies.with_version(fixed, version) == fixed


def test_a_deleted_row_is_answered_without_data() -> None:
    text = replies.rest_reply(ROW, version="5", doc=None)
    assert msgspec.json.decode(text) == {"id": str(ROW), "version": 5, "data": None}
    assert result(replies.applied_reply(1, ROW, (), version="5", doc=None)).row is None


@given(texts, texts, st.sampled_from(["conflict", "rejected"]))
def test_a_refusal_whose_answer_is_gone_is_told_again_from_the_list(code, reason, outcome) -> None:
    kept = Refusal(outcome, code, reason, 4, ROW, ROW, "{}")
    read = result(replies.refusal_again_reply(9, kept))
    assert (read.number, read.status, read.code, read.reason) == (9, outcome, code, reason)


def test_an_applied_write_whose_answer_is_gone_is_still_told_applied() -> None:
    read = result(replies.lost_reply(9, ROW, 0))
    assert (read.number, read.status, read.id, read.row) == (9, "applied", ROW, None)


@pytest.mark.parametrize(
    ("code", "status"),
    [(Code.CONFLICT, "conflict"), (Code.FORBIDDEN, "rejected"), (Code.RULE, "rejected")],
)
def test_only_a_conflict_is_called_one(code: Code, status: str) -> None:
    read = result(replies.refusal_reply(1, ROW, SeraiError(code), version=0, doc=None))
    assert read.status == status
    assert read.code == code.text
    assert read.reason == code.kind.title


@given(texts, st.lists(texts, max_size=2).map(tuple), st.sampled_from([1, 3, 31]))
def test_only_a_write_that_was_applied_as_asked_is_taken_for_one(note, fields, number) -> None:
    applied = replies.applied_reply(3, ROW, fields, version="5", doc=doc(note))
    error = SeraiError(Code.RULE, note, extra={"rule": '","status":"applied",'})
    refused = replies.refusal_reply(3, ROW, error, version=0, doc=doc(note))
    assert replies.plainly_applied(applied, number) == (number == 3 and fields == ())
    assert replies.plainly_applied(replies.lost_reply(3, ROW, 5), number) == (number == 3)
    assert not replies.plainly_applied(refused, number)
    assert not replies.plainly_applied(replies.reused_reply(3, ROW), number)
