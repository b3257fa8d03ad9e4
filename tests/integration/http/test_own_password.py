"""`POST /v1/auth/password` on the server that ships: what a user sends, and what attackers try."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import aiohttp
import pytest

from integration.http.house import Answer, Api, Inn, make_inn, token_for
from integration.http.serving import Server
from serai.app.people import new_password_for, user_id_of
from serai.app.runtime import open_runtime
from serai.app.settings import Settings

NEW = "another long password"


async def sign_in(server: Server, session: aiohttp.ClientSession, inn: Inn, password: str) -> Any:
    form = {"email": inn.email, "password": password, "organisation": inn.org_id}
    answer = await Api(session, server.url, None)("POST", "/v1/auth/token", form)
    assert answer.status == 200, answer
    return answer.json


async def change(api: Api, old: str, new: str = NEW) -> Answer:
    form = {"oldPassword": old, "newPassword": new}
    return await api("POST", "/v1/auth/password", form, Idempotency_Key=None)


async def refresh(api: Api, token: str) -> Answer:
    return await api("POST", "/v1/auth/refresh", {"refreshToken": token})


async def test_a_user_changes_the_password_and_goes_on_with_the_tokens_of_the_answer(
    server: Server, api: Api, inn: Inn
):
    phone = await sign_in(server, api.session, inn, inn.password)
    answer = await change(api, inn.password)
    assert answer.status == 200, answer
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["organisation"]["key"] == inn.key
    mine = Api(api.session, server.url, answer.json["accessToken"])
    assert (await mine("GET", "/v1/me")).json["email"] == inn.email
    # The session that asked and the phone are both over, and their tokens with them.
    assert (await api("GET", "/v1/me")).code == "unauthenticated"
    assert (await refresh(api, phone["refreshToken"])).code == "refresh_invalid"
    assert (await refresh(api, answer.json["refreshToken"])).status == 200
    assert (await sign_in(server, api.session, inn, NEW))["accessToken"]
    old = {"email": inn.email, "password": inn.password}
    assert (await api("POST", "/v1/auth/token", old)).code == "credentials"


async def test_a_wrong_old_password_is_refused_until_the_attempts_are_used_up(api: Api, inn: Inn):
    seen = [(await change(api, "a wrong password")).code for _ in range(10)]
    assert seen == ["credentials"] * 9 + ["rate_limited"]
    answer = await change(api, inn.password)
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert (await api("GET", "/v1/me")).status == 200


async def test_who_has_lost_the_last_role_still_changes_the_password(
    server: Server, fleet: tuple[str, str], api: Api
):
    key = f"inn-{secrets.token_hex(4)}"
    email = f"clerk@{key}.example"
    inn = await make_inn(fleet[0], key, (email, "front_desk"))
    settings = Settings(directory_url=fleet[0], pool_min=1, pool_max=4)
    async with open_runtime(settings, as_owner=True) as runtime:
        user_id = await user_id_of(runtime, email)
        assert user_id is not None
        password = await new_password_for(runtime, user_id)
    owner = Api(api.session, server.url, await token_for(api.session, server.url, inn))
    clerk = Inn(key, inn.org_id, email, password)
    mine = Api(api.session, server.url, await token_for(api.session, server.url, clerk))
    rows = (await owner("GET", "/v1/memberships")).json["rows"]
    [row] = [row["id"] for row in rows if row["data"]["user_id"] == str(user_id)]
    assert (await owner("DELETE", f"/v1/memberships/{row}")).status == 200
    # The server has not seen the clerk yet, so no older grant of theirs is remembered.
    assert (await mine("GET", "/v1/me")).code == "forbidden"
    assert (await change(mine, "a wrong password")).code == "credentials"
    assert (await change(mine, password)).status == 200
    assert (await sign_in(server, api.session, clerk, NEW))["refreshToken"]


async def test_an_api_key_changes_no_password(api: Api, inn: Inn, server: Server):
    made = await api("POST", "/v1/api-keys", {"name": "Till", "roles": [{"role": "owner"}]})
    assert made.status == 201, made
    machine = Api(api.session, server.url, made.json["secret"])
    answer = await change(machine, inn.password)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert (await sign_in(server, api.session, inn, inn.password))["accessToken"]


async def test_nobody_changes_anything_without_a_live_access_token(
    api: Api, inn: Inn, sea: Api, server: Server
):
    session = await sign_in(server, api.session, inn, inn.password)
    header, body, signature = session["accessToken"].split(".")
    for sent in (
        None,
        "",
        session["refreshToken"],
        f"{header}.{body}.{signature[::-1]}",
        f"{header}.{body}.",
    ):
        answer = await change(Api(api.session, server.url, sent), inn.password)
        assert (answer.status, answer.code) == (401, "unauthenticated"), sent
    # Signed in as another: the old password is compared with their own.
    answer = await change(sea, inn.password)
    assert (answer.status, answer.code) == (401, "credentials")
    assert (await sign_in(server, api.session, inn, inn.password))["accessToken"]


async def test_after_the_change_a_used_refresh_token_is_dead_and_ends_nothing_else(
    api: Api, inn: Inn, server: Server
):
    first = await sign_in(server, api.session, inn, inn.password)
    second = (await refresh(api, first["refreshToken"])).json
    mine = Api(api.session, server.url, second["accessToken"])
    answer = await change(mine, inn.password)
    assert answer.status == 200, answer
    for old in (first, second):
        assert (await refresh(api, old["refreshToken"])).code == "refresh_invalid"
    fresh = Api(api.session, server.url, answer.json["accessToken"])
    assert (await fresh("GET", "/v1/me")).status == 200
    assert (await refresh(api, answer.json["refreshToken"])).status == 200


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"oldPassword": "x", "newPassword": "short"}, 422, "password_weak"),
        ({"oldPassword": "x", "newPassword": "y" * 257}, 400, "body_invalid"),
        ({"oldPassword": "x", "newPassword": "\u0958" * 129}, 422, "fields_invalid"),
        ({"oldPassword": "x", "newPassword": "nul\x00 inside it"}, 400, "body_invalid"),
        ({"oldPassword": "x"}, 400, "body_invalid"),
        ({"oldPassword": "x", "newPassword": NEW, "email": "a@b.c"}, 400, "body_invalid"),
    ],
)
async def test_what_is_no_change_says_what_is_wrong_with_it(
    sea: Api, form: dict[str, str], status: int, code: str
):
    answer = await sea("POST", "/v1/auth/password", form)
    assert (answer.status, answer.code) == (status, code)


async def test_of_two_changes_at_once_one_wins_and_the_loser_is_signed_out(
    server: Server, inn: Inn, api: Api
):
    pair = [
        Api(api.session, server.url, (await sign_in(server, api.session, inn, inn.password))[key])
        for key in ("accessToken", "accessToken")
    ]
    answers = await asyncio.gather(
        *(change(one, inn.password, f"{NEW} {n}") for n, one in enumerate(pair))
    )
    assert sorted(answer.status for answer in answers) == [200, 401]
    winner = next(n for n, answer in enumerate(answers) if answer.status == 200)
    assert (await sign_in(server, api.session, inn, f"{NEW} {winner}"))["accessToken"]
