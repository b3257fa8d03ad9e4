"""The examples of the document, sent as they stand: the server takes each of them.

Only ids are replaced, by those of rows that are there; the example of a row cannot know them.
"""

from __future__ import annotations

from typing import Any

from integration.http.house import FIXED, ORDER, Api, Inn, fill


def example(document: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    content = document["paths"][path][method]["requestBody"]["content"]["application/json"]
    return content["example"]


def with_ids(document: dict[str, Any], form: str, body: dict[str, Any], inn: Inn) -> dict[str, Any]:
    """Return the body with references to rows of the organisation."""
    fields = document["components"]["schemas"][form]["properties"]
    found = dict(body)
    for name in body.keys() & fields.keys():
        target = fields[name].get("x-serai-collection")
        if target is not None and body[name] is not None:
            expense = form.startswith("Expenses") and target == "accounts"
            found[name] = inn.rows["expense_account" if expense else target]
    return found


async def test_a_newcomer_who_copies_the_examples_gets_rows(api: Api, inn: Inn):
    await fill(api, inn)
    document = (await api("GET", "/openapi.json")).json
    for name in ORDER:
        form = "".join(part.capitalize() for part in name.split("_"))
        insert = example(document, f"/v1/{name}", "post")
        sent = with_ids(document, f"{form}Insert", insert, inn)
        made = await api("POST", f"/v1/{name}", sent)
        assert made.status == 201, (name, made)
        inn.rows[name] = made.json["id"]
        assert sent.items() <= {"id": made.json["id"], **made.json["data"]}.items(), name
        if name not in FIXED:
            update = example(document, f"/v1/{name}/{{id}}", "patch")
            change = with_ids(document, f"{form}Update", update, inn)
            changed = await api("PATCH", f"/v1/{name}/{made.json['id']}", change)
            assert changed.status == 200, (name, changed)
            assert change.items() <= changed.json["data"].items(), name
