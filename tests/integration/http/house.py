"""Two organisations on the server that ships, their people, and a row of every collection.

Owns the set-up: what each collection takes, written by hand from its declaration, in an order in
which references lead to rows that are there. Never asserts a promise.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psycopg

from serai.app.organisations import create_organisation, give_role
from serai.app.people import ensure_user, new_password_for
from serai.app.runtime import open_runtime
from serai.app.settings import Settings
from serai.core.ids import uuid7

Fields = dict[str, Any]
ORDER = (
    "properties",
    "room_inventory",
    "accounts",
    "vendors",
    "guests",
    "stays",
    "revenues",
    "expenses",
    "staff",
    "staff_pay",
    "shifts",
    "day_closes",
    "memberships",
)
FIXED = ("day_closes", "memberships")
"""Collections whose rows never change."""
EVERYWHERE = ("properties", "accounts", "vendors")
"""Collections whose rows belong to no property."""


@dataclass(frozen=True)
class Answer:
    """One answer of the server."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:500]!r}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        return self.json["code"]


@dataclass(frozen=True)
class Api:
    """Requests as one caller sends them."""

    session: aiohttp.ClientSession
    url: str
    token: str | None

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        **headers: str | None,
    ) -> Answer:
        """Send one; `Some_Name="x"` is a header, None leaves out one that is there by default."""
        named: dict[str, str | None] = {}
        if self.token is not None:
            named["Authorization"] = f"Bearer {self.token}"
        if body is not None or raw is not None:
            named["Content-Type"] = "application/json"
        if method in ("POST", "PATCH", "DELETE"):
            named["Idempotency-Key"] = secrets.token_hex(8)
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body).encode() if raw is None and body is not None else raw
        async with self.session.request(
            method,
            f"{self.url}{path}",
            data=None if data is None else io.BytesIO(data),
            headers={name: value for name, value in named.items() if value is not None},
            allow_redirects=False,
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


@dataclass(frozen=True)
class Inn:
    """An organisation and its owner. `rows`: id of a row of each collection, once filled."""

    key: str
    org_id: int
    email: str
    password: str
    rows: dict[str, str] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)


async def make_inn(directory_url: str, key: str, *also: tuple[str, str]) -> Inn:
    """Make an organisation with an owner; `also`: (e-mail, role) of further people with the same
    password as theirs.
    """
    settings = Settings(directory_url=directory_url, pool_min=1, pool_max=4)
    async with open_runtime(settings, as_owner=True) as runtime:
        email = f"owner@{key}.example"
        owner = await ensure_user(runtime, email)
        password = await new_password_for(runtime, owner.user_id)
        org_id = await create_organisation(runtime, key, name=key, owner=owner.user_id)
        for other, role in also:
            user = await ensure_user(runtime, other)
            await give_role(runtime, org_id, user.user_id, role, None)
    return Inn(key, org_id, email, password)


async def token_for(session: aiohttp.ClientSession, url: str, inn: Inn) -> str:
    """Sign in the owner as a person does, once: sign-ins are limited."""
    if inn.tokens:
        return inn.tokens[0]
    form = {"email": inn.email, "password": inn.password, "organisation": inn.org_id}
    answer = await Api(session, url, None)("POST", "/v1/auth/token", form, Idempotency_Key=None)
    assert answer.status == 200, answer
    inn.tokens.append(answer.json["accessToken"])
    return inn.tokens[0]


@asynccontextmanager
async def owner_of(inn: Inn, url: str) -> AsyncGenerator[Api]:
    """Yield the requests of the owner."""
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        yield Api(session, url, await token_for(session, url, inn))


def new_row(name: str, rows: Mapping[str, str], mark: str = "Sea View") -> Fields:
    """Return a new row of the collection; `rows` has ids of rows that it may refer to."""
    place = {"property_id": rows.get("properties", str(uuid7()))}
    if name == "day_closes":
        return {**place, "business_date": "2026-02-01", "note": mark}
    if name == "memberships":
        return {**place, "user_id": str(uuid7()), "role": "staff"}
    found = _house(mark) | _books(rows, mark) | _people(rows, mark)
    return found[name] if name in EVERYWHERE else {**place, **found[name]}


def _house(mark: str) -> dict[str, Fields]:
    place = {"kind": "hotel", "timezone": "Europe/Lisbon", "currency": "EUR"}
    return {
        "properties": {"name": mark, **place, "active": True},
        "room_inventory": {
            "room_type": secrets.token_hex(4),
            "rooms": 12,
            "from_date": "2026-01-01",
        },
        "guests": {"name": mark, "email": "guest@example.com", "note": "late"},
    }


def _books(rows: Mapping[str, str], mark: str) -> dict[str, Fields]:
    amount = {"amount_minor": 12_345, "amount_currency": "EUR", "business_date": "2026-03-01"}
    return {
        "accounts": {
            "code": f"a_{secrets.token_hex(4)}",
            "name": mark,
            "kind": "revenue",
            "usali_schedule": 1,
            "active": True,
        },
        "vendors": {"name": mark, "active": True},
        "revenues": {"account_id": rows.get("accounts"), "kind": "charge", "note": mark, **amount},
        "expenses": {
            "account_id": rows.get("expense_account"),
            "kind": "invoice",
            "status": "draft",
            "description": mark,
            **amount,
        },
    }


def _people(rows: Mapping[str, str], mark: str) -> dict[str, Fields]:
    return {
        "stays": {
            "guest_id": rows.get("guests"),
            "status": "reserved",
            "arrival": "2026-03-01",
            "departure": "2026-03-04",
            "adults": 2,
            "babies": 0,
            "channel": "direct",
            "rate_minor": 9_900,
            "rate_currency": "EUR",
            "note": mark,
        },
        "staff": {"name": mark, "department": "rooms", "active": True},
        "staff_pay": {
            "staff_id": rows.get("staff"),
            "from_date": "2026-01-01",
            "basis": "hour",
            "pay_minor": 1_250,
            "pay_currency": "EUR",
            "note": mark,
        },
        "shifts": {
            "staff_id": rows.get("staff"),
            "business_date": "2026-03-01",
            "starts_at": "2026-03-01T07:00:00.000000Z",
            "ends_at": "2026-03-01T15:00:00.000000Z",
            "break_minutes": 30,
            "note": mark,
        },
    }


CHANGE: dict[str, Fields] = {
    "properties": {"name": "Harbour House"},
    "room_inventory": {"rooms": 13},
    "accounts": {"name": "Rooms, transient"},
    "vendors": {"tax_number": "PT 500 000 000"},
    "guests": {"phone": "+351 210 000 000"},
    "stays": {"departure": "2026-03-06"},
    "revenues": {"amount_minor": 9_900},
    "expenses": {"document": "R-2026/17"},
    "staff": {"job": "Night porter"},
    "staff_pay": {"pay_minor": 1_300},
    "shifts": {"break_minutes": 45},
}
"""A change of one field, for each collection that can change."""


async def fill(api: Api, inn: Inn, mark: str = "Sea View") -> None:
    """Make a row of every collection, and note their ids. The close comes last: it ends a day."""
    spending = {**new_row("accounts", {}, mark), "kind": "expense"}
    made = await api("POST", "/v1/accounts", spending)
    assert made.status == 201, made
    inn.rows["expense_account"] = made.json["id"]
    for name in ORDER:
        made = await api("POST", f"/v1/{name}", new_row(name, inn.rows, mark))
        assert made.status == 201, (name, made)
        inn.rows[name] = made.json["id"]


def sql(url: str, text: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask the database, past everything under test."""
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode(), values).fetchall()


def state(shard_url: str, org_id: int) -> list[tuple[Any, ...]]:
    """Return what an organisation's write changes: its number, its rows, its log, its replies."""
    return sql(
        shard_url,
        "SELECT version,"
        " (SELECT md5(string_agg(r.id::text || r.version || r.doc, ',' ORDER BY r.id))"
        "    FROM serai.row r WHERE r.org_id = o.org_id),"
        " (SELECT count(*) FROM serai.log l WHERE l.org_id = o.org_id),"
        " (SELECT count(*) FROM serai.reply p WHERE p.org_id = o.org_id),"
        " (SELECT count(*) FROM serai.refusal f WHERE f.org_id = o.org_id)"
        " FROM serai.org o WHERE o.org_id = %s",
        org_id,
    )
