"""Members that stand twice are refused, wherever they stand and however they are written.

What is sent is written here, member by member, so that a text with two of a name can be made; which
object has them is drawn, and what the server says is compared with it.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.core.errors import Code, SeraiError
from serai.http.identity import _form, _sign_in_decoder
from serai.http.json_text import check_members
from serai.http.rest import _fields
from serai.http.services import HttpServices, HttpSettings
from serai.http.sync import _batch_of, _wanted_of
from serai.testing.vertical import VERTICAL
from unit.http.requests import parts, request

ID = "0198c0de-0000-7000-8000-000000000001"


@dataclass
class Twice:
    """An object whose member `name` stands twice, the first time with its letters escaped."""

    members: dict[str, Any]
    name: str
    escaped: bool


def written(value: Any, colon: str) -> str:
    """Return JSON text; `colon` is what stands between a name and its value."""
    if isinstance(value, Twice):
        name = value.name
        first = "".join(f"\\u{ord(c):04x}" for c in name) if value.escaped else name
        again = f'"{first}"{colon}{written(value.members[name], colon)}'
        return "{" + again + "," + written(value.members, colon)[1:]
    if isinstance(value, dict):
        pairs = (f"{json.dumps(n)}{colon}{written(v, colon)}" for n, v in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(v, colon) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def verdict(read: Any, body: str) -> Code | None:
    try:
        read(body.encode())
    except SeraiError as error:
        return error.code
    return None


texts = st.text(st.sampled_from('ab:" \\,{}é'), max_size=12)
fields = st.dictionaries(
    st.sampled_from(["name", "note", "starts_at", "more", "a:b"]),
    st.one_of(texts, st.integers(0, 99), st.none(), st.booleans()),
    max_size=4,
)
mutations = st.fixed_dictionaries(
    {
        "number": st.integers(1, 9),
        "collection": st.just("guests"),
        "id": st.just(ID),
        "op": st.sampled_from(["insert", "update"]),
    },
    optional={"base": st.integers(0, 2), "fields": fields, "after": st.integers(1, 2)},
)
pulls = st.fixed_dictionaries(
    {
        "collections": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["guests", "a:b"])},
                optional={
                    "sinceToken": st.one_of(st.none(), texts),
                    "propertyIds": st.one_of(st.none(), st.lists(st.just(ID), max_size=2)),
                },
            ),
            min_size=1,
            max_size=3,
        )
    },
    optional={"batchSize": st.sampled_from([1, 500])},
)
pushes = st.fixed_dictionaries(
    {"deviceId": st.just(ID), "mutations": st.lists(mutations, max_size=4)},
    optional={"epoch": st.integers(0, 1), "pull": st.one_of(st.none(), pulls)},
)
colons = st.sampled_from([":", ": ", " :", "\n:\t"])


def objects_in(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every object with members inside `[value]`."""
    found: list[tuple[Any, Any]] = []
    todo: list[tuple[Any, Any]] = [(value, 0)]
    while todo:
        container, key = todo.pop()
        each = container[key]
        if isinstance(each, dict) and each:
            found.append((container, key))
            todo += [(each, name) for name in each]
        elif isinstance(each, list):
            todo += [(each, n) for n in range(len(each))]
    return found


@pytest.mark.parametrize(("forms", "read"), [(pushes, _batch_of), (pulls, _wanted_of)])
@given(data=st.data(), colon=colons)
def test_a_request_is_read_once_each_and_refused_with_one_member_twice(forms, read, data, colon):
    form = data.draw(forms)
    assert verdict(read, written(form, colon)) is None
    root = [form]
    container, key = data.draw(st.sampled_from(objects_in(root)))
    members = container[key]
    name = data.draw(st.sampled_from(list(members)))
    container[key] = Twice(members, name, data.draw(st.booleans()))
    assert verdict(read, written(root[0], colon)) is Code.BODY_INVALID


@given(fields.filter(bool), st.data(), colons)
def test_any_object_with_a_name_twice_is_refused_and_without_is_not(members, data, colon):
    def read(body: bytes) -> None:
        check_members(body, len(json.loads(body)))

    assert verdict(read, written(members, colon)) is None
    twice = Twice(members, data.draw(st.sampled_from(list(members))), data.draw(st.booleans()))
    assert verdict(read, written(twice, colon)) is Code.BODY_INVALID


MUTATION = (
    f'{{"number":1,"collection":"a:b","id":"{ID}","op":"insert","fields":{{"n":{"9" * 5_000}}}}}'
)
"""With a colon, so that it is read again, and a number of five thousand digits."""


def read_row(body: bytes) -> None:
    unused: Any = None
    services = HttpServices(VERTICAL, unused, unused, unused, unused, "1", HttpSettings())
    asked = request(parts(body), headers={"content-type": "application/json"})
    asyncio.run(_fields(asked, services))


def read_form(body: bytes) -> None:
    unused: Any = None
    services = HttpServices(VERTICAL, unused, unused, unused, unused, "1", HttpSettings())
    asked = request(parts(body), headers={"content-type": "application/json"})
    asyncio.run(_form(asked, services, _sign_in_decoder))


@pytest.mark.parametrize(
    ("read", "body", "expected"),
    [
        (read_row, '{"name":"Ana","note":"at 12:30"}', None),
        (read_row, '{"name":"Ana","name":"Ben"}', Code.BODY_INVALID),
        (read_row, '{"name" :"Ana","name":"Ben"}', Code.BODY_INVALID),
        (read_row, '{"name":"Ana","n\\u0061me":"Ana"}', Code.BODY_INVALID),
        (read_row, '{"name":{"a":1,"a":2}}', Code.BODY_INVALID),
        (_batch_of, f'{{"deviceId":"{ID}","mutations":[{MUTATION}]}}', None),
        (read_form, '{"email":"a@example.com","password":"b:c"}', None),
        (read_form, '{"email":"a@example.com","password":"b","password":"c"}', Code.BODY_INVALID),
    ],
)
def test_rows_and_forms_are_read_the_same_way(read, body, expected):
    assert verdict(read, body) is expected


def test_the_second_member_in_a_push_of_real_rows_is_found():
    row = {"property_id": ID, "starts_at": "2026-03-14T07:00:00.000000Z", "note": "07:00"}
    batch = {
        "deviceId": ID,
        "mutations": [
            {
                "number": n,
                "collection": "shifts",
                "id": str(uuid.uuid4()),
                "op": "insert",
                "fields": row,
            }
            for n in range(1, 21)
        ],
    }
    body = json.dumps(batch)
    assert verdict(_batch_of, body) is None
    for again in ('"note": "07:00"', '"number": 20', '"op": "insert"'):
        place = body.rindex(again)
        assert verdict(_batch_of, f"{body[:place]}{again}, {body[place:]}") is Code.BODY_INVALID
