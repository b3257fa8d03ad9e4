"""The forms of sync as bytes: what is taken, and that all else is refused.

Owns the tests of `serai.wire.sync`: requests are written as a client would write them, by hand.
Members nobody declared, wrong types and lists without end are refused before any of it is used.
Never calls a reader.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from serai.wire.sync import (
    ChangesAnswer,
    ChangesRequest,
    MutationResult,
    MutationsAnswer,
    MutationsRequest,
    RawChangesAnswer,
    RawCollectionChanges,
    RawMutationsAnswer,
)

ID = "0198c0de-0000-7000-8000-000000000001"
PULL: dict[str, Any] = {"collections": [{"name": "stays"}]}
MUTATION: dict[str, Any] = {"number": 1, "collection": "stays", "id": ID, "op": "insert"}
PUSH: dict[str, Any] = {"deviceId": ID, "mutations": [MUTATION]}
Form = type[ChangesRequest] | type[MutationsRequest]


def taken(form: Form, body: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body), type=form)


def refused(form: Form, body: object) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        taken(form, body)
    return str(caught.value)


def test_the_smallest_pull_has_the_documented_defaults() -> None:
    request = taken(ChangesRequest, PULL)
    assert request.batch_size == 100
    assert request.collections[0].since_token is None
    assert request.collections[0].property_ids is None


@pytest.mark.parametrize(
    ("form", "body", "where"),
    [
        (ChangesRequest, {**PULL, "since": 3}, "`since`"),
        (ChangesRequest, {**PULL, "batch_size": 3}, "`batch_size`"),
        (ChangesRequest, {"collections": [{"name": "stays", "token": "x"}]}, "$.collections[0]"),
        (ChangesRequest, {"collections": [{"name": "s", "since_token": "x"}]}, "$.collections[0]"),
        (MutationsRequest, {**PUSH, "user": ID}, "`user`"),
        (MutationsRequest, {**PUSH, "mutations": [{**MUTATION, "force": True}]}, "$.mutations[0]"),
        (MutationsRequest, {**PUSH, "pull": {**PULL, "x": 1}}, "$.pull"),
    ],
)
def test_a_member_that_nobody_declared_is_refused(form: Form, body: object, where: str) -> None:
    said = refused(form, body)
    assert "unknown field" in said
    assert where in said


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"collections": []},
        {"collections": [{}]},
        {"collections": [{"name": "s"}] * 65},
        {"collections": [{"name": None}]},
        {"collections": {"name": "s"}},
        {**PULL, "batchSize": 0},
        {**PULL, "batchSize": -1},
        {**PULL, "batchSize": 5_001},
        {**PULL, "batchSize": "100"},
        {**PULL, "batchSize": 1.0},
        {**PULL, "batchSize": True},
        {"collections": [{"name": "s", "sinceToken": "x" * 65_537}]},
        {"collections": [{"name": "s", "sinceToken": 7}]},
        {"collections": [{"name": "s", "propertyIds": [ID] * 1_001}]},
        {"collections": [{"name": "s", "propertyIds": ["all"]}]},
        {"collections": [{"name": "s", "propertyIds": ID}]},
        [],
        None,
    ],
)
def test_a_pull_out_of_bounds_is_refused(body: object) -> None:
    refused(ChangesRequest, body)


def test_a_pull_at_its_bounds_is_taken() -> None:
    part = {"name": "s", "sinceToken": "x" * 65_536, "propertyIds": [ID] * 1_000}
    request = taken(ChangesRequest, {"collections": [part] * 64, "batchSize": 5_000})
    assert len(request.collections) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 0},
        {"number": -1},
        {"number": 2**53},
        {"number": 1.5},
        {"number": "1"},
        {"base": -1},
        {"base": 2**53},
        {"base": None},
        {"after": 0},
        {"id": "1"},
        {"id": None},
        {"op": "upsert"},
        {"op": "INSERT"},
        {"op": None},
        {"fields": []},
        {"fields": None},
        {"collection": 4},
    ],
)
def test_a_mutation_out_of_bounds_is_refused(changed: dict[str, object]) -> None:
    refused(MutationsRequest, {**PUSH, "mutations": [{**MUTATION, **changed}]})


@pytest.mark.parametrize("missing", ["number", "collection", "id", "op"])
def test_a_mutation_says_what_it_is(missing: str) -> None:
    part = {name: value for name, value in MUTATION.items() if name != missing}
    assert missing in refused(MutationsRequest, {**PUSH, "mutations": [part]})


@pytest.mark.parametrize(
    "changed",
    [
        {"deviceId": "phone"},
        {"deviceId": None},
        {"epoch": -1},
        {"epoch": "1"},
        {"epoch": 2**31},
        {"mutations": [MUTATION] * 501},
        {"mutations": None},
        {"pull": {"collections": []}},
    ],
)
def test_a_push_out_of_bounds_is_refused(changed: dict[str, object]) -> None:
    refused(MutationsRequest, {**PUSH, **changed})


def test_a_push_may_be_empty_and_only_pull() -> None:
    request = taken(MutationsRequest, {"deviceId": ID, "mutations": [], "pull": PULL})
    assert request.pull == taken(ChangesRequest, PULL)
    assert request.epoch == 0


def test_the_fields_of_a_mutation_stay_as_the_phone_wrote_them() -> None:
    plain = msgspec.json.encode(PUSH).decode()
    fields_text = ',"fields":{"a":12345678901234567890123,"b": 1e999 ,"c":"\\u00e9"}}]}'
    body = plain.removesuffix("}]}") + fields_text
    request = msgspec.json.decode(body, type=MutationsRequest)
    fields = request.mutations[0].fields
    assert {name: bytes(raw).strip() for name, raw in fields.items()} == {
        "a": b"12345678901234567890123",
        "b": b"1e999",
        "c": b'"\\u00e9"',
    }


def test_a_result_leaves_out_what_it_does_not_say() -> None:
    result = MutationResult(3, "applied", UUID(ID))
    assert msgspec.json.decode(msgspec.json.encode(result)) == {
        "number": 3,
        "status": "applied",
        "id": ID,
    }


def test_what_the_server_writes_is_what_a_client_reads() -> None:
    change = f'{{"id":"{ID}","action":"insert","version":7,"data":{{"note":null}}}}'
    part = RawCollectionChanges("stays", msgspec.Raw(f"[{change}]".encode()), "t", has_more=True)
    page = RawChangesAnswer([part], "2026-03-01T12:00:00.000000Z", 1, 7)
    read = msgspec.json.decode(msgspec.json.encode(page), type=ChangesAnswer)
    (got,) = read.collections
    assert (got.name, got.next_token, got.has_more) == ("stays", "t", True)
    assert (got.purge, got.keep, got.filling, got.must_refetch) == ([], [], False, False)
    assert (got.changes[0].version, got.changes[0].data) == (7, {"note": None})
    result = msgspec.Raw(f'{{"number":1,"status":"applied","id":"{ID}"}}'.encode())
    answer = RawMutationsAnswer([result], "2026-03-01T12:00:00.000000Z", 2, page)
    both = msgspec.json.decode(msgspec.json.encode(answer), type=MutationsAnswer)
    assert both.results[0].status == "applied"
    assert both.next_number == 2
    assert both.pull == read
