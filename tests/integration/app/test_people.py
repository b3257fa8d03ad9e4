"""People, from the operator's command to a request that is answered: sign-in, refresh, machines,
and the list of organisations that a sign-in shows. The API is the shipping server on a socket.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from integration.app.programs import SECONDS, Shell
from integration.conftest import with_database
from serai.app.asgi import Application
from serai.app.serving import served
from serai.app.settings import Settings
from serai.embedded.ports import free_port


@dataclass
class Api:
    """The API, and what it answered: (status, JSON)."""

    session: aiohttp.ClientSession
    url: str

    async def post(
        self, path: str, body: Any, token: str = "", key: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key or uuid4().hex}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self.session.post(self.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, await answer.json(content_type=None) if text else None

    async def get(self, path: str, token: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def sign_in(self, email: str, password: str, **more: object) -> dict[str, Any]:
        form = {"email": email, "password": password, **more}
        status, answer = await self.post("/v1/auth/token", form)
        assert status == 200, answer
        return answer


@pytest_asyncio.fixture
async def api(fleet: tuple[str, str]) -> AsyncIterator[Api]:
    settings = Settings(directory_url=fleet[0], port=free_port(), pool_min=2, pool_max=8)
    async with (
        served(Application(settings), settings.host, settings.port),
        aiohttp.ClientSession() as session,
    ):
        yield Api(session, f"http://{settings.host}:{settings.port}")


@dataclass
class House:
    """An organisation and its owner, who is signed in."""

    key: str
    org_id: int
    owner: str
    password: str


@pytest_asyncio.fixture
async def house(shell: Shell, key: str) -> House:
    made = shell.ok("org", "create", key, "--owner", f"{key}@example.com", "--json").json
    return House(key, made["org_id"], made["owner"], made["password"])


@contextmanager
def nobody_gets_in(url: str) -> Generator[None]:
    """Break a database under whoever uses it; it is whole again after the block."""
    name = urlsplit(url).path.removeprefix("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as server:
        server.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        try:
            yield
        finally:
            server.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def organisations(answer: dict[str, Any]) -> list[str]:
    return [organisation["key"] for organisation in answer["organisations"]]


async def test_the_password_of_org_create_signs_the_owner_in(api: Api, house: House) -> None:
    answer = await api.sign_in(house.owner, house.password)
    assert organisations(answer) == [house.key]
    status, me = await api.get("/v1/me", answer["accessToken"])
    assert status == 200
    assert me["email"] == house.owner
    assert me["organisation"]["key"] == house.key
    assert [role["role"] for role in me["roles"]] == ["owner"]


async def test_a_replaced_password_ends_the_sessions_and_the_old_one_opens_nothing(
    api: Api, house: House, shell: Shell
) -> None:
    answer = await api.sign_in(house.owner, house.password)
    new = shell.ok("user", "password", house.owner, "--json").json["password"]
    form = {"email": house.owner, "password": house.password}
    status, problem = await api.post("/v1/auth/token", form)
    assert (status, problem["code"]) == (401, "credentials")
    status, _ = await api.post("/v1/auth/refresh", {"refreshToken": answer["refreshToken"]})
    assert status == 401
    assert organisations(await api.sign_in(house.owner, new)) == [house.key]


async def test_a_user_signed_out_by_command_is_out_on_every_device_and_may_come_back(
    api: Api, house: House, shell: Shell
) -> None:
    phone = await api.sign_in(house.owner, house.password)
    browser = await api.sign_in(house.owner, house.password)
    other = shell.ok("user", "create", f"other-{house.owner}", "--json").json
    bystander = await api.sign_in(other["email"], other["password"])
    done = shell.ok("user", "sign-out", house.owner, "--json").json
    status, me = await api.get(
        "/v1/me", (await api.sign_in(house.owner, house.password))["accessToken"]
    )
    assert status == 200
    assert done == {"user_id": me["id"], "email": house.owner, "sessions_ended": 2}
    for answer in (phone, browser):
        status, problem = await api.post(
            "/v1/auth/refresh", {"refreshToken": answer["refreshToken"]}
        )
        assert (status, problem["code"]) == (401, "refresh_invalid")
    status, _ = await api.post("/v1/auth/refresh", {"refreshToken": bystander["refreshToken"]})
    assert status == 200
    told = shell.ok("user", "sign-out", house.owner)
    assert (told.out, told.err) == ("", f"{house.owner} is signed out; sessions ended: 1\n")
    assert shell.run("user", "sign-out", house.owner).err.endswith("sessions ended: 0\n")


async def test_identities_are_forgotten_by_command_and_the_sessions_end(
    api: Api, house: House, shell: Shell
) -> None:
    for issuer in ("https://b.example", "https://a.example"):
        told = shell.ok("user", "link", house.owner, issuer, house.key)
        assert told.err == f"{house.owner} signs in as {house.key} at {issuer}\n"
    again = shell.ok("user", "link", house.owner, "https://a.example", house.key, "--json").json
    assert (again["issuer"], again["subject"]) == ("https://a.example", house.key)
    other = shell.run("user", "link", house.owner, "https://a.example", "another")
    assert (other.status, "another user's" in other.err) == (1, True)
    # A new password does not shut out who came in by an identity, and says so.
    told = shell.ok("user", "password", house.owner)
    assert told.err.endswith(
        "at https://a.example, https://b.example."
        f" To forget these: serai user unlink {house.owner}\n"
    )
    changed = shell.ok("user", "password", house.owner, "--json").json
    assert changed["linked"] == ["https://a.example", "https://b.example"]
    phone = await api.sign_in(house.owner, changed["password"])
    done = shell.ok("user", "unlink", house.owner, "--json").json
    assert done["unlinked"] == ["https://a.example", "https://b.example"]
    assert (done["email"], done["sessions_ended"]) == (house.owner, 1)
    status, _ = await api.post("/v1/auth/refresh", {"refreshToken": phone["refreshToken"]})
    assert status == 401
    told = shell.ok("user", "unlink", house.owner)
    assert told.err == f"{house.owner}: identities forgotten: 0; sessions ended: 0\n"
    assert "unlink" not in shell.ok("user", "password", house.owner).err
    assert shell.run("user", "unlink", f"no-{house.owner}").status == 1


async def test_a_disabled_user_is_out_on_every_device_and_gets_in_again_when_enabled(
    api: Api, house: House, shell: Shell
) -> None:
    phone = await api.sign_in(house.owner, house.password)
    _, me = await api.get("/v1/me", phone["accessToken"])
    form = {"email": house.owner, "password": house.password}
    done = shell.ok("user", "disable", house.owner, "--json").json
    assert done == {
        "user_id": me["id"],
        "email": house.owner,
        "state": "disabled",
        "sessions_ended": 1,
    }
    again = shell.ok("user", "disable", house.owner, "--json").json
    assert (again["state"], again["sessions_ended"]) == ("disabled", 0)
    status, problem = await api.post("/v1/auth/token", form)
    assert (status, problem["code"]) == (401, "credentials")
    status, problem = await api.post("/v1/auth/refresh", {"refreshToken": phone["refreshToken"]})
    assert (status, problem["code"]) == (401, "refresh_invalid")
    # The process reads the sessions that have ended every five seconds.
    while (await api.get("/v1/me", phone["accessToken"]))[0] == 200:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)
    shell.ok("user", "password", house.owner)
    status, _ = await api.post("/v1/auth/token", form)
    assert status == 401
    back = shell.ok("user", "enable", house.owner, "--json").json
    assert back == {"user_id": me["id"], "email": house.owner, "state": "active"}
    new = shell.ok("user", "password", house.owner, "--json").json["password"]
    assert organisations(await api.sign_in(house.owner, new)) == [house.key]
    assert (await api.get("/v1/me", phone["accessToken"]))[0] == 401


async def test_what_is_told_of_a_disabled_user_names_what_goes_on(
    house: House, shell: Shell
) -> None:
    told = shell.ok("user", "disable", house.owner).err
    assert f"{house.owner} is disabled; sessions ended: 0" in told
    assert "API keys that they made go on" in told
    assert f"{house.owner} may sign in" in shell.ok("user", "enable", house.owner).err


@pytest.mark.parametrize("word", ["disable", "enable"])
async def test_to_shut_out_or_let_in_nobody_is_a_mistake(shell: Shell, key: str, word: str) -> None:
    done = shell.run("user", word, f"no-{key}@example.com", "--json")
    assert (done.status, done.out) == (1, "")
    assert f"There is no user no-{key}@example.com." in done.err


async def test_to_sign_out_nobody_is_a_mistake(shell: Shell, key: str) -> None:
    done = shell.run("user", "sign-out", f"no-{key}@example.com", "--json")
    assert (done.status, done.out) == (1, "")
    assert f"There is no user no-{key}@example.com." in done.err


async def test_a_refresh_goes_on_where_the_sign_in_began(api: Api, house: House) -> None:
    first = await api.sign_in(house.owner, house.password)
    status, second = await api.post("/v1/auth/refresh", {"refreshToken": first["refreshToken"]})
    assert status == 200
    assert second["refreshToken"] != first["refreshToken"]
    status, me = await api.get("/v1/me", second["accessToken"])
    assert (status, me["organisation"]["key"]) == (200, house.key)


async def test_a_role_given_by_command_is_what_the_user_may_do_and_no_more(
    api: Api, house: House, shell: Shell
) -> None:
    who = f"desk-{house.owner}"
    words = ("user", "add", who, "--org", house.key, "--role", "front_desk", "--json")
    added = shell.ok(*words).json
    assert shell.ok(*words).json == {**added, "password": None}
    token = (await api.sign_in(who, added["password"]))["accessToken"]
    assert (await api.get("/v1/stays", token))[0] == 200
    role = {"user_id": added["user_id"], "role": "owner"}
    assert (await api.post("/v1/memberships", role, token))[0] == 403


async def test_a_machine_uses_its_key_until_it_is_revoked(api: Api, house: House) -> None:
    token = (await api.sign_in(house.owner, house.password))["accessToken"]
    form = {"name": "till", "roles": [{"role": "front_desk"}]}
    status, created = await api.post("/v1/api-keys", form, token)
    assert status == 201
    status, me = await api.get("/v1/me", created["secret"])
    assert (status, me["kind"], me["name"]) == (200, "apiKey", "till")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid4().hex}
    url = f"{api.url}/v1/api-keys/{created['key']['id']}"
    async with api.session.delete(url, headers=headers) as answer:
        assert answer.status == 204
    assert (await api.get("/v1/me", created["secret"]))[0] == 401


async def test_a_role_given_through_the_api_lists_the_organisation_at_sign_in(
    api: Api, house: House, shell: Shell
) -> None:
    who = f"new-{house.owner}"
    made = shell.ok("user", "create", who, "--json").json
    before = await api.sign_in(who, made["password"])
    assert (organisations(before), before["accessToken"]) == ([], None)
    token = (await api.sign_in(house.owner, house.password))["accessToken"]
    role = {"user_id": made["user_id"], "role": "manager"}
    status, row = await api.post("/v1/memberships", role, token)
    assert status == 201, row
    after = await api.sign_in(who, made["password"])
    assert organisations(after) == [house.key]
    status, me = await api.get("/v1/me", after["accessToken"])
    assert [r["role"] for r in me["roles"]] == ["manager"]


async def test_a_role_given_by_an_offline_phone_lists_the_organisation_too(
    api: Api, house: House, shell: Shell
) -> None:
    who = f"new-{house.owner}"
    made = shell.ok("user", "create", who, "--json").json
    token = (await api.sign_in(house.owner, house.password))["accessToken"]
    mutation = {
        "number": 1,
        "collection": "memberships",
        "op": "insert",
        "id": str(uuid4()),
        "fields": {"user_id": made["user_id"], "role": "staff", "property_id": None},
    }
    status, answer = await api.post(
        "/v1/sync/mutations", {"deviceId": str(uuid4()), "mutations": [mutation]}, token
    )
    assert status == 200, answer
    assert answer["results"][0]["status"] == "applied", answer
    assert organisations(await api.sign_in(who, made["password"])) == [house.key]


async def test_a_role_that_was_refused_lists_nothing(api: Api, house: House, shell: Shell) -> None:
    who = f"new-{house.owner}"
    made = shell.ok("user", "create", who, "--json").json
    clerk = f"desk-{house.owner}"
    added = shell.ok("user", "add", clerk, "--org", house.key, "--role", "staff", "--json").json
    token = (await api.sign_in(clerk, added["password"]))["accessToken"]
    role = {"user_id": made["user_id"], "role": "owner"}
    status, _ = await api.post("/v1/memberships", role, token)
    assert status == 403
    assert organisations(await api.sign_in(who, made["password"])) == []


async def test_a_role_whose_listing_failed_is_listed_when_the_request_is_sent_again(
    api: Api, house: House, shell: Shell, fleet: tuple[str, str]
) -> None:
    who, key = f"new-{house.owner}", uuid4().hex
    made = shell.ok("user", "create", who, "--json").json
    token = (await api.sign_in(house.owner, house.password))["accessToken"]
    role = {"user_id": made["user_id"], "role": "manager"}
    with nobody_gets_in(fleet[0]):
        status, problem = await api.post("/v1/memberships", role, token, key)
        assert status == 503, problem
    async with asyncio.timeout(SECONDS):
        # The pool opens its next connection within a second of the refusal, and says so until then.
        while status == 503:
            status, _ = await api.post("/v1/memberships", role, token, key)
    assert status == 201
    assert organisations(await api.sign_in(who, made["password"])) == [house.key]


async def test_a_membership_of_nobody_is_written_like_any_row(api: Api, house: House) -> None:
    token = (await api.sign_in(house.owner, house.password))["accessToken"]
    status, _ = await api.post(
        "/v1/memberships", {"user_id": str(uuid4()), "role": "manager"}, token
    )
    assert status == 201


async def test_keys_are_rotated_by_command_and_nobody_is_signed_out(
    api: Api, house: House, shell: Shell
) -> None:
    before = shell.ok("keys", "list", "--json").json
    token = (await api.sign_in(house.owner, house.password))["accessToken"]
    new = str(int(before[-1]["kid"]) + 1)
    rotated = shell.ok("keys", "rotate", "--json").json
    assert [(k["kid"], k["state"]) for k in rotated] == [
        *((k["kid"], k["state"]) for k in before),
        (new, "waits"),
    ]
    assert (await api.get("/v1/me", token))[0] == 200
    leaked = shell.ok("keys", "rotate", "--leaked", "--json").json
    assert [k["state"] for k in leaked] == [*("over" for _ in rotated), "signs"]
    assert set(leaked[0]) == {"kid", "state", "created_at", "retired_at"}
    listed = shell.ok("keys", "list").out.splitlines()
    assert [line.split()[:2] for line in listed] == [[k["kid"], k["state"]] for k in leaked]


async def test_two_houses_of_one_owner_are_both_listed_and_each_can_be_chosen(
    api: Api, house: House, shell: Shell
) -> None:
    second = f"{house.key}-b"
    again = shell.ok("org", "create", second, "--owner", house.owner, "--json").json
    assert again["password"] is None
    answer = await api.sign_in(house.owner, house.password)
    assert sorted(organisations(answer)) == [house.key, second]
    assert answer["accessToken"] is None
    chosen = await api.sign_in(house.owner, house.password, organisation=second)
    body = chosen["accessToken"].split(".")[1]
    claims = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    assert f'"org":{again["org_id"]},'.encode() in claims
