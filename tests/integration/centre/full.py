"""Databases with full tables: what a shard and the directory look like after years.

Owns the SQL that fills them: 20,000 rows of one organisation, and a few of others around it. Rows
of the vertical go in through its own generated functions. Never measures anything.
"""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import UUID

import psycopg

from integration.http.house import new_row
from serai.shard.queries import load_queries
from serai_hospitality import VERTICAL

ROWS: Final = 20_000
ORG: Final = 7
OTHERS: Final = (3, 5, 9, 11)
USER, DEVICE, SESSION, KEY, ROW, PLACE = (UUID(int=0xF00 + n) for n in range(6))
TOKEN, USED_TOKEN = b"\x01" * 32, b"\x02" * 32
# They check twenty thousand references, and record placement one row after another.
_NO_TRIGGERS: Final = "-c session_replication_role=replica"
_SQL: Final = load_queries("integration.centre", "full.sql")
_PARAMETERS: Final = {
    "rows": ROWS,
    "org": ORG,
    "others": list(OTHERS),
    "orgs": [ORG, *OTHERS],
    "user": USER,
    "device": DEVICE,
    "session": SESSION,
    "key": KEY,
    "row": ROW,
    "place": PLACE,
    "token": TOKEN,
    "used": USED_TOKEN,
}


def fill_shard(url: str) -> None:
    """Fill the tables of a shard's core."""
    _fill(url, "shard")


def fill_directory(url: str) -> None:
    """Fill the tables of a directory."""
    _fill(url, "directory")


def _fill(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True, options=_NO_TRIGGERS) as conn:
        for statement in _SQL[name].split(";\n"):
            conn.execute(statement.encode(), _PARAMETERS)
        conn.execute("ANALYZE")


def parents() -> dict[str, str]:
    """Return ids of the rows that rows of the vertical refer to: one of each collection."""
    found = {c.name: str(UUID(int=0xE00 + c.number)) for c in VERTICAL.collections}
    return {**found, "expense_account": found["accounts"]}


_BY_RULES: Final[dict[str, object]] = {"nights": 3}
"""What rules of the vertical set, where a row must have it."""


def document(name: str) -> dict[str, Any]:
    """Return a row of a collection, whole."""
    fields = VERTICAL.by_name[name].fields
    by_rules = {
        n: _BY_RULES[n] for n, field in fields.items() if field.server and not field.optional
    }
    return {**dict.fromkeys(fields), **by_rules, **new_row(name, parents())}


_ONE_OF_MANY: Final = "lpad(to_hex(g %% 5000), 32, '0')"
_DAY: Final = "date '1950-01-01' + g"
_DIFFERENT: Final = {
    "accounts": "jsonb_build_object('code', 'c' || g)",
    "room_inventory": "jsonb_build_object('room_type', 't' || g)",
    "stays": f"jsonb_build_object('guest_id', {_ONE_OF_MANY})",
    "revenues": f"jsonb_build_object('account_id', {_ONE_OF_MANY})",
    "expenses": f"jsonb_build_object('account_id', {_ONE_OF_MANY}, 'vendor_id', {_ONE_OF_MANY})",
    "staff_pay": f"jsonb_build_object('from_date', {_DAY}, 'staff_id', {_ONE_OF_MANY})",
    "shifts": f"jsonb_build_object('staff_id', {_ONE_OF_MANY})",
    "day_closes": f"jsonb_build_object('business_date', {_DAY})",
    "memberships": "jsonb_build_object('user_id', gen_random_uuid())",
}
"""Where rows must differ, or refer to many others, the row number makes them."""


def fill_vertical(url: str) -> None:
    """Fill the tables of the vertical, in order of dependency."""
    with psycopg.connect(url, autocommit=True, options=_NO_TRIGGERS) as conn:
        conn.execute(
            "INSERT INTO serai.org (org_id) SELECT unnest(%s::bigint[])", ([ORG, *OTHERS],)
        )
        order = conn.execute("SELECT name, apply_function FROM serai.collection ORDER BY position")
        for name, function in order.fetchall():
            statement = _SQL["vertical"].format(
                apply=function, different=_DIFFERENT.get(name, "'{}'")
            )
            parameters = {
                "doc": json.dumps(document(name)),
                "number": VERTICAL.by_name[name].number,
                "parent": parents()[name],
                "place": parents()["properties"],
            }
            for org_id in (ORG, *OTHERS):
                rows = ROWS if org_id == ORG else 500
                conn.execute(statement.encode(), {**parameters, "org": org_id, "rows": rows})
        conn.execute("ANALYZE")
