"""Routes: an operation is found by the one spelling of its path, and by no other."""

from __future__ import annotations

from typing import Any

import pytest

from serai.core.errors import Code, SeraiError
from serai.http.app import listed_operations
from serai.http.operations import Operation, Routes, allowed
from serai.testing.vertical import VERTICAL

ROUTES = Routes(listed_operations(VERTICAL))
ID = "0198c0de-0000-7000-8000-000000000001"


def code_of(method: str, path: str) -> Code:
    with pytest.raises(SeraiError) as caught:
        ROUTES.find(method, path)
    return caught.value.code


@pytest.mark.parametrize("operation", ROUTES.operations, ids=lambda o: o.id)
def test_every_operation_is_found_under_its_path(operation: Operation):
    found, last = ROUTES.find(operation.method, operation.path.replace("{id}", ID))
    assert found is operation
    assert last == (ID if "{id}" in operation.path else "")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "v1/guests",
        "/v1",
        "/v1/",
        "/v2/guests",
        "/v1/guest",
        "/V1/guests",
        "/v1/Guests",
        "/v1/guests/",
        "//v1/guests",
        "/v1//guests",
        "/v1/./guests",
        "/v1/x/../guests",
        "/v1/guests/a/b",
        "/v1/%67uests",
        "/v1/guests;x=1",
        "/v1/guests%2F" + ID,
        "/v1/guests\x00",
        "/v1/me/" + ID,
        "/healthz/",
        "/healthz/x",
        "/v1/sync/" + ID,
        "/v1/{id}",
        "http://example.com/v1/guests",
        "/" * 1_000,
        "/v1/" + "x" * 100_000,
    ],
)
def test_no_other_spelling_leads_anywhere(path):
    for method in ("GET", "POST", "PATCH", "DELETE", "PUT", "BREW"):
        assert code_of(method, path) is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("path", "methods", "allow"),
    [
        ("/v1/guests", {"GET", "POST"}, "GET, HEAD, OPTIONS, POST"),
        (f"/v1/guests/{ID}", {"GET", "PATCH", "DELETE"}, "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/v1/sync/changes", {"POST"}, "OPTIONS, POST"),
        ("/v1/me", {"GET"}, "GET, HEAD, OPTIONS"),
        ("/v1/api-keys/x", {"DELETE"}, "DELETE, OPTIONS"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_told_which_it_has(path, methods, allow):
    for method in {"GET", "POST", "PATCH", "DELETE", "PUT", "TRACE", "get", ""} - methods:
        with pytest.raises(SeraiError) as caught:
            ROUTES.find(method, path)
        assert caught.value.code is Code.METHOD
        assert caught.value.extra == {"allow": allow}


@pytest.mark.parametrize("last", ["x", "..", ".", "%2e%2e", "%2F", ID.upper(), "\xff", " ", "{id}"])
def test_the_last_segment_is_handed_over_as_it_was_sent(last):
    operation, found = ROUTES.find("GET", f"/v1/guests/{last}")
    assert (operation.id, found) == ("getGuests", last)


def test_two_operations_of_one_place_are_refused_when_the_table_is_made():
    both: list[Any] = [*ROUTES.operations, ROUTES.operations[0]]
    with pytest.raises(ValueError, match="two operations are POST /v1/sync/changes"):
        Routes(both)


def test_ids_of_operations_and_places_are_there_once():
    places = {(o.method, o.path) for o in ROUTES.operations}
    assert len(places) == len({o.id for o in ROUTES.operations}) == len(ROUTES.operations)
    assert len(ROUTES.operations) > 5 * len(VERTICAL.collections)


def test_head_stands_where_get_does():
    assert allowed({"GET"}) == "GET, HEAD, OPTIONS"
    assert allowed({"POST"}) == "OPTIONS, POST"
