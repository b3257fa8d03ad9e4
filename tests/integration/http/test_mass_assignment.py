"""Fields that only the server sets, sent by a client: refused in every collection, and nothing
changes.

The lists are written by hand: a field that the declaration forgets to keep for the server would be
found here, and so would a new one that nobody thought of.
"""

from __future__ import annotations

import pytest

from integration.http.house import CHANGE, FIXED, ORDER, new_row, state
from serai.core.ids import uuid7
from serai_hospitality import VERTICAL

SOMEBODY = "01a214cb-6d85-73a0-b2f0-27f7de414624"
MOMENT = "2026-03-01T12:00:00.000000Z"
LATE: dict[str, object] = {
    "original_business_date": "2026-01-01",
    "reviewed_by": SOMEBODY,
    "corrects": SOMEBODY,
}
SERVER_OWNED: dict[str, dict[str, object]] = {
    "properties": {"open_business_date": "2026-03-01"},
    "room_inventory": {},
    "accounts": {},
    "vendors": {},
    "guests": {},
    "stays": {"nights": 3},
    "revenues": LATE,
    "expenses": {
        "created_by": SOMEBODY,
        "submitted_by": SOMEBODY,
        "submitted_at": MOMENT,
        "decided_by": SOMEBODY,
        "decided_at": MOMENT,
        "paid_by": SOMEBODY,
        "paid_at": MOMENT,
        "voided_by": SOMEBODY,
        "voided_at": MOMENT,
        **LATE,
    },
    "staff": {},
    "staff_pay": {},
    "shifts": {},
    "day_closes": {"closed_by": SOMEBODY, "closed_at": MOMENT},
    "memberships": {},
}
NEVER_CHANGED: dict[str, dict[str, object]] = {
    "properties": {"currency": "USD"},
    "revenues": {"stay_id": SOMEBODY},
    "expenses": {"source": "elsewhere.csv:1"},
    "staff_pay": {"staff_id": SOMEBODY},
    "shifts": {"staff_id": SOMEBODY},
}
"""Set at the insert, never after; beside `property_id`."""
OF_THE_LOG: dict[str, object] = {
    "version": 1,
    "org_id": 1,
    "orgId": 1,
    "epoch": 1,
    "scope": SOMEBODY,
    "collection": 1,
    "data": {},
    "deleted": False,
    "updated_at": MOMENT,
    "user_id_": SOMEBODY,
    "__proto__": {"role": "owner"},
    "constructor": {},
    "Name": "X",
    "name ": "X",
    "name\u0000": "X",
    "": "X",
}
"""What is no field of any collection, though the log or a careless reader knows it."""
each = pytest.mark.parametrize("name", ORDER)


@each
def test_the_list_here_and_the_declaration_name_the_same_fields(name):
    declared = {n for n, f in VERTICAL.by_name[name].fields.items() if f.server}
    assert declared == set(SERVER_OWNED[name])


@each
async def test_no_field_of_the_server_is_taken_from_a_client(name, sea, seaside, shard_url):
    before = state(shard_url, seaside.org_id)
    row, path = new_row(name, seaside.rows), f"/v1/{name}"
    for field, value in SERVER_OWNED[name].items():
        for sent in (value, None):
            made = await sea("POST", path, row | {field: sent})
            assert (made.status, made.code) == (422, "field_read_only"), (field, made)
            changed = await sea(
                "PATCH", f"{path}/{seaside.rows[name]}", CHANGE.get(name, {}) | {field: sent}
            )
            assert (changed.status, changed.code) == (422, "field_read_only"), (field, changed)
            assert field in [e["field"] for e in changed.json["errors"]]
    assert state(shard_url, seaside.org_id) == before


@each
async def test_what_is_set_at_the_insert_is_not_changed_after(name, sea, seaside, shard_url):
    before = state(shard_url, seaside.org_id)
    fixed = NEVER_CHANGED.get(name, {})
    if "property_id" in VERTICAL.by_name[name].fields:
        fixed = fixed | {"property_id": str(uuid7())}
    for field, value in fixed.items():
        refused = await sea("PATCH", f"/v1/{name}/{seaside.rows[name]}", {field: value})
        assert (refused.status, refused.code) == (422, "field_read_only"), (field, refused)
    moved = await sea("PATCH", f"/v1/{name}/{seaside.rows[name]}", {"id": str(uuid7())})
    assert (moved.status, moved.code) == (422, "field_unknown")
    assert state(shard_url, seaside.org_id) == before


@each
async def test_a_field_that_is_none_is_refused_by_its_name(name, sea, seaside, shard_url):
    before = state(shard_url, seaside.org_id)
    for field, value in OF_THE_LOG.items():
        for refused in (
            await sea("POST", f"/v1/{name}", new_row(name, seaside.rows) | {field: value}),
            await sea("PATCH", f"/v1/{name}/{seaside.rows[name]}", {field: value}),
        ):
            assert (refused.status, refused.code) == (422, "field_unknown"), (field, refused)
            assert field in [e["field"] for e in refused.json["errors"]]
    assert state(shard_url, seaside.org_id) == before


async def test_the_push_of_a_device_takes_no_more_than_rest(sea, seaside, shard_url):
    """The rows stay; each mutation is kept as refused, which is what a device is promised."""
    device, number, wanted = str(uuid7()), 0, []
    mutations = []
    for name in ORDER:
        for field, value in (SERVER_OWNED[name] | {"org_id": 1}).items():
            number += 1
            code = "field_read_only" if field in SERVER_OWNED[name] else "field_unknown"
            wanted.append((number, "rejected", code))
            fields = new_row(name, seaside.rows) | {field: value}
            mutation = {"number": number, "collection": name, "id": str(uuid7()), "op": "insert"}
            mutations.append(mutation | {"fields": fields})
    rows = state(shard_url, seaside.org_id)[0][1:3]
    answer = await sea("POST", "/v1/sync/mutations", {"deviceId": device, "mutations": mutations})
    assert answer.status == 200, answer
    found = [(r["number"], r["status"], r["code"]) for r in answer.json["results"]]
    assert found == wanted
    assert state(shard_url, seaside.org_id)[0][1:3] == rows


def test_every_collection_is_here():
    assert tuple(c.name for c in VERTICAL.collections) == ORDER
    assert {n for n in ORDER if n not in FIXED} == set(CHANGE)
