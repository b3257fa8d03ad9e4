"""`POST /v1/auth/oidc` on the server that ships, with a provider on another port."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from integration.gate.provider import Provider, provider
from integration.http.house import Answer, Api, Inn, make_inn
from integration.http.serving import Server, running
from serai.embedded.ports import free_port
from unit.gate.made_tokens import APP, VERIFIER, WEB, mac_with_public_key, private_key, unsigned
from unit.gate.support import SetClock


@dataclass
class Door:
    """A server that believes a provider."""

    server: Server
    provider: Provider
    api: Api

    async def sign_in(self, token: str, **more: Any) -> Answer:
        form = {"idToken": token, "nonceVerifier": VERIFIER, **more}
        return await self.api("POST", "/v1/auth/oidc", form, Idempotency_Key=None)


@pytest.fixture(scope="session")
def provider_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def believing(
    fleet: tuple[str, str], provider_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with a provider in its settings, which need not run for the server to start."""
    log: Path = tmp_path_factory.mktemp("believing") / "log"
    issuer = f"http://127.0.0.1:{provider_port}"
    with running(
        log, fleet[0], SERAI_OIDC_ISSUERS=f"{issuer} {issuer}/keys {APP} {WEB} @example.com"
    ) as made:
        yield made


@pytest_asyncio.fixture
async def door(believing: Server, provider_port: int) -> AsyncIterator[Door]:
    async with (
        provider(SetClock(datetime.now(UTC)), provider_port) as made,
        aiohttp.ClientSession() as session,
    ):
        yield Door(believing, made, Api(session, believing.url, None))


async def test_who_is_known_by_e_mail_signs_in_and_the_token_is_used_up(
    door: Door, fleet: tuple[str, str]
):
    key = f"inn-{secrets.token_hex(4)}"
    email = f"{key}@example.com"
    inn = await make_inn(fleet[0], key, (email, "front_desk"))
    # The owner's e-mail is of a domain that the provider may not vouch for.
    usurper = await door.sign_in(door.provider.token(sub="usurper", email=inn.email))
    assert (usurper.status, usurper.code) == (403, "identity_unknown")
    token = door.provider.token(sub=key, email=email)
    answer = await door.sign_in(token, organisation=inn.org_id)
    assert answer.status == 200, answer
    assert answer.headers["Cache-Control"] == "no-store"
    mine = Api(door.api.session, door.server.url, answer.json["accessToken"])
    assert (await mine("GET", "/v1/me")).json["email"] == email
    again = await door.sign_in(token, organisation=inn.org_id)
    assert (again.status, again.code) == (401, "id_token_invalid")
    assert again.headers["WWW-Authenticate"] == "Bearer"
    refreshed = await mine(
        "POST", "/v1/auth/refresh", {"refreshToken": answer.json["refreshToken"]}
    )
    assert refreshed.status == 200


async def test_forgeries_and_strangers_get_problems_of_the_catalogue(door: Door, inn: Inn):
    body = {"iss": door.provider.url, "aud": APP, "email": inn.email, "email_verified": True}
    for forged in (
        "nonsense",
        unsigned(body),
        mac_with_public_key(body, private_key("RSA")),
        door.provider.token(sub=inn.key, email=inn.email, aud="another-app"),
    ):
        answer = await door.sign_in(forged)
        assert (answer.status, answer.code) == (401, "id_token_invalid"), forged
    stranger = await door.sign_in(door.provider.token(sub="nobody", email="nobody@example.com"))
    assert (stranger.status, stranger.code) == (403, "identity_unknown")
    unverified = door.provider.token(sub=inn.key, email=inn.email, email_verified=False)
    assert (await door.sign_in(unverified)).json["detail"] == stranger.json["detail"]


async def test_the_log_of_the_server_holds_no_token_and_no_secret(door: Door, inn: Inn):
    token = door.provider.token(sub=inn.key, email=inn.email, aud="another-app")
    await door.sign_in(token)
    assert "aud is not one of the clients" in door.server.log
    assert VERIFIER not in door.server.log
    assert all(part not in door.server.log for part in token.split("."))


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"idToken": "a.b.c"},
        {"idToken": "a.b.c", "nonceVerifier": "short"},
        {"idToken": "t" * 20_000, "nonceVerifier": VERIFIER},
        {"idToken": "a.b.c", "nonceVerifier": VERIFIER, "email": "owner@example.com"},
    ],
)
async def test_another_form_is_refused(door: Door, form: dict[str, str]):
    answer = await door.api("POST", "/v1/auth/oidc", form)
    assert (answer.status, answer.code) == (400, "body_invalid")


async def test_without_a_provider_in_the_settings_the_answer_says_so(api: Api):
    form = {"idToken": "a.b.c", "nonceVerifier": VERIFIER}
    answer = await Api(api.session, api.url, None)("POST", "/v1/auth/oidc", form)
    assert (answer.status, answer.code) == (403, "oidc_off")
    assert "SERAI_OIDC_ISSUERS" in answer.json["remedy"]


async def test_a_provider_that_is_away_is_a_503_to_be_tried_again(
    fleet: tuple[str, str], inn: Inn, tmp_path: Path
):
    issuer = f"http://127.0.0.1:{free_port()}"
    variables = {"SERAI_OIDC_ISSUERS": f"{issuer} {issuer}/keys {APP}"}
    with running(tmp_path / "log", fleet[0], **variables) as server:
        clock = SetClock(datetime.now(UTC))
        token = Provider(clock).token(iss=issuer, email=inn.email)
        async with aiohttp.ClientSession() as session:
            form = {"idToken": token, "nonceVerifier": VERIFIER}
            answer = await Api(session, server.url, None)("POST", "/v1/auth/oidc", form)
            assert (answer.status, answer.code) == (503, "issuer_away")
            assert answer.headers["Retry-After"] == "30"
            assert answer.json["retry"] == "later"
            ready = await Api(session, server.url, None)("GET", "/readyz")
            assert ready.status == 200
