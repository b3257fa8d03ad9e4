"""The OpenAPI document: valid, complete, with examples that people would recognise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from serai.core.errors import CODES, Code
from serai.http.app import document_of, listed_operations
from serai.http.docs_page import STYLE, errors_page, operations_page
from serai.http.openapi import openapi_text
from serai.http.schemas import insert_example, row_example, update_example
from serai.model import Collection, Scope, integer, text
from serai.model.validate import row_values
from serai.testing.vertical import VERTICAL as TRIAL
from serai_hospitality import VERTICAL

DOCUMENT = document_of(VERTICAL, "1.2.3")
COLLECTIONS = [*VERTICAL.collections, *TRIAL.collections]


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every content of the document with the place where it stands."""
    for path, entry in DOCUMENT["paths"].items():
        for method, operation in entry.items():
            if method == "parameters":
                continue
            answers = operation["responses"].items()
            found = [("request", operation.get("requestBody", {})), *answers]
            for name, part in found:
                for kind, content in part.get("content", {}).items():
                    yield f"{method} {path} {name} {kind}", content


def parameters() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, entry in DOCUMENT["paths"].items():
        for method, operation in entry.items():
            shared = operation if method == "parameters" else operation.get("parameters", [])
            yield from ((f"{method} {path} {p['name']}", p) for p in shared)


def faults(schema: dict[str, Any], value: object) -> list[str]:
    """Return what the schema finds wrong, formats too."""
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    whole["components"] = DOCUMENT["components"]
    validator = jsonschema_rs.validator_for(whole, validate_formats=True)
    return [error.message for error in validator.iter_errors(value)]


def examples() -> Iterator[tuple[str, dict[str, Any], object]]:
    for place, content in bodies():
        if "example" in content:
            yield place, content["schema"], content["example"]
        for name, example in content.get("examples", {}).items():
            yield f"{place} {name}", content["schema"], example["value"]
    for place, parameter in parameters():
        if "example" in parameter:
            yield place, parameter["schema"], parameter["example"]


def test_the_document_is_valid_openapi_3_1():
    assert DOCUMENT["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    broken = json.loads(openapi_text(DOCUMENT))
    del broken["info"]["title"]
    with pytest.raises(jsonschema_rs.ValidationError):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_schema_is_one_of_json_schema_2020_12():
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name


def test_every_reference_leads_somewhere():
    found = set(re.findall(r'"\$ref":"([^"]+)"', json.dumps(DOCUMENT, separators=(",", ":"))))
    names = {ref.removeprefix("#/components/schemas/") for ref in found}
    assert names <= DOCUMENT["components"]["schemas"].keys()
    assert len(names) > 2 * len(VERTICAL.collections)


def test_every_operation_is_there_with_every_problem_that_it_may_answer():
    listed = listed_operations(VERTICAL)
    assert len(listed) > 5 * len(VERTICAL.collections)
    for operation in listed:
        answers = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
        codes = {c for answer in answers.values() for c in answer.get("x-serai-codes", ())}
        assert codes == {code.text for code in operation.codes}
        assert str(operation.status) in answers
        for status, answer in answers.items():
            for code in answer.get("x-serai-codes", ()):
                assert CODES[code].kind.status == int(status)


def test_every_example_is_what_its_schema_says():
    found = list(examples())
    assert {
        place: faults(schema, value) for place, schema, value in found if faults(schema, value)
    } == {}
    assert len(found) > 1_000


def test_a_wrong_example_would_be_seen():
    row = row_example(VERTICAL.by_name["stays"])
    schema = {"$ref": "#/components/schemas/Stays"}
    assert faults(schema, row) == []
    for name, wrong in (
        ("arrival", "14.03.2026"),
        ("guest_id", "7"),
        ("adults", 2.5),
        ("status", "gone"),
        ("note", 1),
        ("more", 1),
    ):
        assert faults(schema, {**row, name: wrong}) != [], name


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda c: c.name)
def test_the_server_takes_its_own_examples(collection: Collection):
    insert = insert_example(collection)
    identity = insert.pop("id")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(identity))
    taken = row_values(collection, dict(insert), "insert")
    assert {name: taken[name] for name in insert} == insert
    assert {
        name for name in taken.keys() - insert.keys() if not collection.fields[name].server
    } == set()
    changed = update_example(collection)
    assert row_values(collection, dict(changed), "update") == changed


@pytest.mark.parametrize(
    ("collection", "expected"),
    [
        (
            "properties",
            {
                "name": "Hotel Miramar",
                "timezone": "Europe/Lisbon",
                "currency": "EUR",
                "country": "PT",
            },
        ),
        ("guests", {"name": "Ana Silva", "email": "ana@example.com", "country": "PRT"}),
        ("stays", {"arrival": "2026-03-14", "departure": "2026-03-17", "nights": 3, "adults": 2}),
        ("accounts", {"code": "rooms_transient", "kind": "revenue", "usali_schedule": 1}),
        (
            "expenses",
            {"kind": "invoice", "status": "draft", "amount_minor": 12_500, "paid_at": None},
        ),
        ("shifts", {"starts_at": "2026-03-14T07:00:00.000000Z", "break_minutes": 30}),
    ],
)
def test_an_example_makes_sense(collection, expected):
    row = row_example(VERTICAL.by_name[collection])
    assert {name: row[name] for name in expected} == expected


def test_no_text_of_one_field_is_the_example_of_another():
    texts = [
        (f"{c.name}.{n}", value)
        for c in VERTICAL.collections
        for n, value in row_example(c).items()
        if c.fields[n].kind.name == "TEXT" and isinstance(value, str) and c.fields[n].known is None
    ]
    repeated = {n for n, v in texts for other, w in texts if n != other and v == w}
    # A room type is a code that stays refer to.
    assert repeated == {"room_inventory.room_type", "stays.room_type"}


def test_an_example_that_is_no_value_of_its_field_is_refused_when_it_is_declared():
    def declared(**example: Any) -> Collection:
        fields = {"code": text("Code", maximum=3), "rooms": integer("Rooms", minimum=1)}
        return Collection(
            name="wings",
            number=1,
            doc="Wings",
            scope=Scope.ORGANISATION,
            fields=fields,
            example=example,
        )

    assert row_example(declared(code="A1")) == {"code": "A1", "rooms": 2}
    for wrong in ({"code": "long"}, {"rooms": 0}, {"rooms": "1"}, {"code": None}, {"beds": 1}):
        with pytest.raises(ValueError, match="collection wings"):
            declared(**wrong)


class Loaded(HTMLParser):
    """Notes what a page would load or send, and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name != "style"
            if name in ("src", "srcset", "data", "action", "background", "poster", "ping"):
                self.loaded.append(value or "")
            if name == "href":
                (self.links if tag == "a" else self.loaded).append(value or "")
            if name == "id":
                self.ids.append(value or "")


def seen(page: str) -> Loaded:
    found = Loaded()
    found.feed(page)
    found.close()
    return found


@pytest.mark.parametrize(
    "page", [operations_page(DOCUMENT), errors_page()], ids=["operations", "errors"]
)
def test_a_page_loads_nothing_but_its_own_style(page: str):
    found = seen(page)
    assert found.loaded == ["/docs/style.css"]
    assert not found.tags & {"script", "iframe", "img", "object", "embed", "form", "base", "style"}
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in found.links)
    assert "http-equiv" not in page
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_every_link_of_the_pages_leads_to_a_place_on_them():
    operations, errors = seen(operations_page(DOCUMENT)), seen(errors_page())
    assert len(set(operations.ids)) == len(operations.ids)
    assert set(errors.ids) == {code.text for code in Code}
    for link in operations.links:
        page, _, place = link.partition("#")
        assert page in ("", "/openapi.json", "/docs/errors")
        if place:
            assert place in (errors.ids if page else operations.ids)
    assert {o.id for o in listed_operations(VERTICAL)} <= set(operations.ids)


def test_what_a_vertical_says_cannot_become_a_tag():
    document = json.loads(openapi_text(DOCUMENT))
    for entry in document["paths"].values():
        for operation in (o for m, o in entry.items() if m != "parameters"):
            operation["summary"] = operation["description"] = "<script>alert(1)</script>"
    document["info"]["title"] = '"><script src=x>'
    assert "script" not in seen(operations_page(document)).tags
