"""REST of every collection of the hospitality vertical, on the server that ships and PostgreSQL.

What an answer says is compared with what was sent and with the database, never with another answer
of the same code.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from integration.http.house import CHANGE, FIXED, ORDER, Api, Inn, fill, new_row, sql, state
from serai.core.ids import uuid7

each = pytest.mark.parametrize("name", ORDER)
each_that_changes = pytest.mark.parametrize("name", [n for n in ORDER if n not in FIXED])


def stored(shard_url: str, inn: Inn, row_id: str) -> tuple[int, dict[str, Any]] | None:
    found = sql(
        shard_url,
        "SELECT version, doc FROM serai.row WHERE org_id = %s AND id = %s",
        inn.org_id,
        row_id,
    )
    return (found[0][0], json.loads(found[0][1])) if found else None


async def test_a_row_of_every_collection_is_made_read_changed_and_deleted(api, inn, shard_url):
    await fill(api, inn)
    for name in ORDER:
        row_id, sent = inn.rows[name], new_row(name, inn.rows)
        got = await api("GET", f"/v1/{name}/{row_id}")
        assert got.status == 200, got
        version, row = got.json["version"], got.json["data"]
        assert stored(shard_url, inn, row_id) == (version, row)
        assert got.headers["ETag"] == f'"{version}"'
        own = {n: v for n, v in sent.items() if n not in ("room_type", "code", "user_id")}
        assert {n: row[n] for n in own} == own
        if name in FIXED:
            continue
        new = await api("PATCH", f"/v1/{name}/{row_id}", CHANGE[name], If_Match=got.headers["ETag"])
        assert new.status == 200, new
        assert new.json["version"] > version
        after = stored(shard_url, inn, row_id)
        assert after == (new.json["version"], new.json["data"])
        assert {n: new.json["data"][n] for n in CHANGE[name]} == CHANGE[name]
    assert (await api("GET", f"/v1/stays/{inn.rows['stays']}")).json["data"]["nights"] == 5
    for name in reversed(ORDER):
        gone = await api("DELETE", f"/v1/{name}/{inn.rows[name]}")
        if name in ("day_closes", "properties"):
            # A close is never taken back, so the house that it belongs to stays.
            assert gone.status in (403, 409, 422), gone
            assert stored(shard_url, inn, inn.rows[name]) is not None
            continue
        assert gone.status == 200, gone
        assert gone.json["data"] is None
        assert stored(shard_url, inn, inn.rows[name]) is None
        assert (await api("GET", f"/v1/{name}/{inn.rows[name]}")).code == "not_found"


@each
async def test_a_list_finds_the_row_by_each_of_its_fields_and_not_by_another_value(
    name, sea, seaside
):
    row_id = seaside.rows[name]
    row = (await sea("GET", f"/v1/{name}/{row_id}")).json["data"]
    for field, value in row.items():
        if value is None:
            assert row_id in await listed(sea, name, {f"{field}[null]": "true"}), field
            assert row_id not in await listed(sea, name, {f"{field}[null]": "false"}), field
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        assert row_id in await listed(sea, name, {field: text}), field
        assert row_id not in await listed(sea, name, {f"{field}[ne]": text}), field


async def listed(api: Api, name: str, query: dict[str, str]) -> list[str]:
    text = "&".join(f"{quoted(n)}={quoted(v)}" for n, v in query.items())
    found = await api("GET", f"/v1/{name}?{text}")
    assert found.status == 200, found
    return [row["id"] for row in found.json["rows"]]


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


async def test_pages_by_key_give_every_row_once_in_any_order_while_others_write(api, inn):
    await fill(api, inn)
    names = ["Ana", "Ben", "Ben", "Cleo", "Ben", "Dan", "Zoë", "Ana"]
    made = {inn.rows["guests"]: "Sea View"}
    for name in names:
        new = await api("POST", "/v1/guests", new_row("guests", inn.rows) | {"name": name})
        made[new.json["id"]] = name
    for order, key, down in (
        ("id", lambda i: i, False),
        ("-id", lambda i: i, True),
        ("name", lambda i: (made[i], i), False),
        ("-name", lambda i: (made[i], i), True),
    ):
        seen: list[str] = []
        cursor = ""
        while True:
            page = await api("GET", f"/v1/guests?order={order}&limit=3{cursor}")
            assert page.status == 200, page
            rows = page.json["rows"]
            assert 1 <= len(rows) <= 3
            seen += [row["id"] for row in rows]
            if page.json["nextCursor"] is None:
                break
            cursor = f"&cursor={page.json['nextCursor']}"
            # A row that comes in between changes nothing about those that were there.
            extra = await api("POST", "/v1/guests", new_row("guests", inn.rows) | {"name": "Eve"})
            assert extra.status == 201
        assert [i for i in seen if i in made] == sorted(made, key=key, reverse=down), order
        assert len(set(seen)) == len(seen)
        for late in set(seen) - set(made):
            assert (await api("DELETE", f"/v1/guests/{late}")).status == 200
        for row_id in await listed(api, "guests", {"name": "Eve"}):
            assert (await api("DELETE", f"/v1/guests/{row_id}")).status == 200


async def test_filters_narrow_a_list_as_their_words_say(api, inn):
    await fill(api, inn)
    for minor in (-100, 0, 250, 9_007):
        kind = "allowance" if minor < 0 else "charge"
        row = new_row("revenues", inn.rows) | {"amount_minor": minor, "kind": kind}
        assert (await api("POST", "/v1/revenues", row)).status == 201

    async def amounts(query: str) -> list[int]:
        found = await api("GET", f"/v1/revenues?order=amount_minor&{query}")
        assert found.status == 200, found
        return [row["data"]["amount_minor"] for row in found.json["rows"]]

    assert await amounts("amount_minor%5Blt%5D=250") == [-100, 0]
    assert await amounts("amount_minor%5Ble%5D=250") == [-100, 0, 250]
    assert await amounts("amount_minor%5Bgt%5D=250") == [9_007, 12_345]
    assert await amounts("amount_minor%5Bge%5D=250") == [250, 9_007, 12_345]
    assert await amounts("amount_minor%5Bne%5D=250") == [-100, 0, 9_007, 12_345]
    assert await amounts("amount_minor=250") == [250]
    assert await amounts("kind=allowance") == [-100]
    assert await amounts("kind=charge&amount_minor%5Bgt%5D=0&limit=1") == [250]
    assert await amounts("stay_id%5Bnull%5D=true&kind=allowance") == [-100]
    assert await amounts("stay_id%5Bnull%5D=false") == []
    assert await amounts("business_date%5Bge%5D=2026-03-02") == []


@each
async def test_a_list_answers_what_it_does_not_understand_with_a_problem(name, sea):
    for query, field in (
        ("colour=red", "colour"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("order=colour", "order"),
        ("cursor=AAAA", "cursor"),
        ("id=1", "id"),
        ("limit=1&limit=2", "limit"),
    ):
        refused = await sea("GET", f"/v1/{name}?{query}")
        assert (refused.status, refused.code) == (400, "query_invalid"), refused
        assert [e["field"] for e in refused.json["errors"]] == [field]


@each
async def test_a_write_without_a_key_is_refused(name, sea, seaside, shard_url):
    before = state(shard_url, seaside.org_id)
    row_id, row = seaside.rows[name], new_row(name, seaside.rows)
    for refused in (
        await sea("POST", f"/v1/{name}", row, Idempotency_Key=None),
        await sea("PATCH", f"/v1/{name}/{row_id}", {}, Idempotency_Key=None),
        await sea("DELETE", f"/v1/{name}/{row_id}", Idempotency_Key=None),
        await sea("POST", f"/v1/{name}", row, Idempotency_Key=""),
        await sea("POST", f"/v1/{name}", row, Idempotency_Key="k" * 201),
        await sea("POST", f"/v1/{name}", row, Idempotency_Key="two words"),
    ):
        assert (refused.status, refused.code) == (400, "key_required")
    assert state(shard_url, seaside.org_id) == before


@each
async def test_the_same_key_with_the_same_body_gives_the_same_bytes_and_one_row(
    name, api, inn, shard_url
):
    await fill(api, inn)
    row = new_row(name, inn.rows)
    row |= {"day_closes": {"business_date": "2026-02-02"}}.get(name, {})
    row |= {"staff_pay": {"from_date": "2026-02-02"}}.get(name, {})
    key = secrets.token_hex(8)
    first = await api("POST", f"/v1/{name}", row, Idempotency_Key=key)
    assert first.status == 201, first
    after = state(shard_url, inn.org_id)
    again = await api("POST", f"/v1/{name}", row, Idempotency_Key=key)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    for header in ("ETag", "Location", "Content-Type"):
        assert again.headers[header] == first.headers[header]
    # The draft that is to be a standard writes the key in quotes; it is the same key.
    quoted_key = await api("POST", f"/v1/{name}", row, Idempotency_Key=f'"{key}"')
    assert quoted_key.body == first.body
    other = await api("POST", f"/v1/{name}", row | {"id": str(uuid7())}, Idempotency_Key=key)
    assert (other.status, other.code) == (422, "key_reused")
    elsewhere = "guests" if name != "guests" else "vendors"
    moved = await api("POST", f"/v1/{elsewhere}", new_row(elsewhere, inn.rows), Idempotency_Key=key)
    assert (moved.status, moved.code) == (422, "key_reused")
    assert state(shard_url, inn.org_id) == after


@each_that_changes
async def test_a_repeated_change_and_a_repeated_delete_have_one_effect(name, api, inn, shard_url):
    await fill(api, inn)
    row_id = inn.rows[name]
    change, change_key = CHANGE[name], secrets.token_hex(8)
    first = await api("PATCH", f"/v1/{name}/{row_id}", change, Idempotency_Key=change_key)
    assert first.status == 200, first
    after = state(shard_url, inn.org_id)
    again = await api("PATCH", f"/v1/{name}/{row_id}", change, Idempotency_Key=change_key)
    assert (again.status, again.body) == (200, first.body)
    with_another = await api(
        "PATCH", f"/v1/{name}/{row_id}", change, Idempotency_Key=change_key, If_Match='"1"'
    )
    assert with_another.code == "key_reused"
    assert state(shard_url, inn.org_id) == after
    delete_key = secrets.token_hex(8)
    gone = await api("DELETE", f"/v1/{name}/{row_id}", Idempotency_Key=delete_key)
    if gone.status == 200:
        again = await api("DELETE", f"/v1/{name}/{row_id}", Idempotency_Key=delete_key)
        assert (again.status, again.body) == (200, gone.body)
        back = await api("POST", f"/v1/{name}", new_row(name, inn.rows) | {"id": row_id})
        assert (back.status, back.code) == (409, "row_gone")


@each
async def test_what_is_there_already_and_what_is_not_there_are_told_apart(name, sea, seaside):
    row = new_row(name, seaside.rows) | {"id": seaside.rows[name]}
    if name == "day_closes":
        row["business_date"] = "2026-02-02"
    taken = await sea("POST", f"/v1/{name}", row)
    assert (taken.status, taken.code) == (409, "row_exists"), taken
    nowhere = f"/v1/{name}/{uuid7()}"
    for missing in (
        await sea("GET", nowhere),
        await sea("PATCH", nowhere, CHANGE.get(name, {})),
        await sea("DELETE", nowhere),
        await sea("GET", f"/v1/{name}/1"),
        await sea("GET", f"/v1/{name}/{seaside.rows[name].upper()}x"),
    ):
        assert (missing.status, missing.code) == (404, "not_found"), missing


@each_that_changes
async def test_a_tag_of_an_older_version_is_refused_and_overwrites_nothing(
    name, api, inn, shard_url
):
    await fill(api, inn)
    path = f"/v1/{name}/{inn.rows[name]}"
    old = (await api("GET", path)).headers["ETag"]
    new = await api("PATCH", path, CHANGE[name], If_Match=old)
    assert new.status == 200
    before = state(shard_url, inn.org_id)
    for tag in (old, '"999999999"', '"not-ours"', 'W/"1"'):
        for refused in (
            await api("PATCH", path, CHANGE[name], If_Match=tag),
            await api("DELETE", path, If_Match=tag),
        ):
            assert (refused.status, refused.code) == (412, "precondition"), (tag, refused)
    for tag in ("12", "", '"1", "2"', '"unclosed'):
        refused = await api("PATCH", path, CHANGE[name], If_Match=tag)
        assert (refused.status, refused.code) == (400, "header_invalid"), (tag, refused)
    assert state(shard_url, inn.org_id) == before
    assert (await api("PATCH", path, CHANGE[name], If_Match="*")).status == 200


@each
async def test_who_holds_the_row_gets_304_without_a_body(name, sea, seaside):
    path = f"/v1/{name}/{seaside.rows[name]}"
    tag = (await sea("GET", path)).headers["ETag"]
    for held in (tag, f"W/{tag}", f'"x", {tag}', "*", f'{tag[:-1]}-zstd"'):
        same = await sea("GET", path, If_None_Match=held)
        assert (same.status, same.body) == (304, b""), held
        assert same.headers["ETag"] == tag
    assert (await sea("GET", path, If_None_Match='"0"')).status == 200
    assert (await sea("GET", path, If_None_Match="bare")).code == "header_invalid"


async def test_money_is_whole_minor_units_and_a_currency_everywhere(api, inn, shard_url):
    await fill(api, inn)
    before = state(shard_url, inn.org_id)
    row = new_row("revenues", inn.rows)
    for wrong in (
        {"amount_minor": 123.45},
        {"amount_minor": "12345"},
        {"amount_minor": None},
        {"amount_minor": True},
        {"amount_minor": 9_000_000_000_000_001},
        {"amount_currency": "eur"},
        {"amount_currency": "EURO"},
        {"amount_currency": None},
    ):
        refused = await api("POST", "/v1/revenues", row | wrong)
        assert (refused.status, refused.code) == (422, "fields_invalid"), wrong
        assert [e["field"] for e in refused.json["errors"]] == list(wrong)
    for raw in (b"12345.0", b"1.2345e4", b"12345e0"):
        body = json.dumps(row).encode().replace(b"12345", raw)
        refused = await api("POST", "/v1/revenues", raw=body)
        assert refused.code == "fields_invalid", raw
    assert state(shard_url, inn.org_id) == before
    largest = await api("POST", "/v1/revenues", row | {"amount_minor": 9_000_000_000_000_000})
    assert largest.json["data"]["amount_minor"] == 9_000_000_000_000_000
    column = sql(
        shard_url,
        "SELECT amount_minor, pg_typeof(amount_minor)::text FROM hospitality.revenues"
        " WHERE org_id = %s AND id = %s",
        inn.org_id,
        largest.json["id"],
    )
    assert column == [(9_000_000_000_000_000, "bigint")]


async def test_a_refusal_names_every_field_at_fault(api, inn):
    await fill(api, inn)
    row = new_row("stays", inn.rows) | {"adults": -1, "channel": "fax", "arrival": "1 March"}
    refused = await api("POST", "/v1/stays", row)
    assert refused.status == 422
    assert {e["field"] for e in refused.json["errors"]} == {"adults", "channel", "arrival"}
    dangling = await api("POST", "/v1/stays", new_row("stays", inn.rows | {"guests": str(uuid7())}))
    assert (dangling.status, dangling.code) == (422, "reference_missing")
    referred = await api("DELETE", f"/v1/guests/{inn.rows['guests']}")
    assert (referred.status, referred.code) == (409, "referenced")
    twice = new_row("accounts", inn.rows) | {"code": "twice"}
    assert (await api("POST", "/v1/accounts", twice)).status == 201
    again = await api("POST", "/v1/accounts", twice)
    assert (again.status, again.code) == (409, "not_unique")
    backwards = await api(
        "POST", "/v1/stays", new_row("stays", inn.rows) | {"departure": "2026-02-01"}
    )
    assert (backwards.status, backwards.code) == (422, "rule")
