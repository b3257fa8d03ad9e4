"""Sign-in by OpenID Connect, on a real directory and with a provider on a real socket: whose
identity it is, what is made of it, and what attackers try.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest

from integration.gate.conftest import INN, MILL, Door, House, code_of, links, open_service
from integration.gate.provider import provider
from serai.core.errors import Code, SeraiError
from serai.gate import external, people
from serai.shard.connection import PostgresError
from serai.shard.pools import PinnedPool
from serai.shard.role import RequestRole
from serai.wire.identity import OidcRequest, RefreshRequest, TokenAnswer
from unit.gate.made_tokens import (
    APP,
    VERIFIER,
    claims,
    mac_with_public_key,
    private_key,
    signed,
    unsigned,
)

PHONE = UUID("0198c0de-0000-7000-8000-00000000000d")


async def test_the_first_sign_in_links_by_verified_e_mail_and_later_ones_by_subject(door: Door):
    answer = await door.sign_in()
    caller = await door.house.caller(answer.access_token)
    assert (caller.user_id, caller.org_id) == (door.house.ana, INN)
    assert await links(door.house) == [("ana-at-the-issuer", door.house.ana)]
    # From now on the e-mail does not matter: not that it is gone, and not that it is Ben's.
    for email in (None, "ben@example.org"):
        answer = await door.sign_in(door.provider.token(email=email, email_verified=None))
        assert (await door.house.caller(answer.access_token)).user_id == door.house.ana
    assert len(await links(door.house)) == 1


async def test_the_session_is_one_like_any_other(door: Door):
    answer = await door.sign_in(device_id=PHONE)
    again = await door.service.refresh(RefreshRequest(refresh_token=answer.refresh_token))
    assert (await door.house.caller(again.access_token)).user_id == door.house.ana
    [session] = await door.house.sql("SELECT device_id FROM serai_directory.session")
    assert session["device_id"] == PHONE


@pytest.mark.parametrize(("alg", "kind"), [("ES256", "P-256"), ("Ed25519", "Ed25519")])
async def test_an_issuer_may_sign_with_a_curve(door: Door, alg: str, kind: str):
    door.provider.keys = {"k1": private_key(kind)}
    assert (await door.sign_in(door.provider.token(alg=alg))).access_token is not None


async def test_the_organisation_is_chosen_as_at_any_sign_in(door: Door):
    ben = {"sub": "ben-at-the-issuer", "email": "Ben@Example.org"}
    assert (await door.sign_in(door.provider.token(**ben))).access_token is None
    chosen = await door.sign_in(
        door.provider.token(**ben, exp=int(door.house.clock.now().timestamp()) + 60),
        organisation="mill",
    )
    assert (await door.house.caller(chosen.access_token)).org_id == MILL
    assert await code_of(door.sign_in(organisation=MILL)) is Code.FORBIDDEN


async def test_a_sign_in_that_named_a_wrong_organisation_may_be_sent_again(door: Door):
    token = door.provider.token()
    assert await code_of(door.sign_in(token, organisation=MILL)) is Code.FORBIDDEN
    assert (await door.sign_in(token, organisation=INN)).access_token is not None


async def test_without_an_issuer_in_the_settings_the_answer_says_so(house: House):
    request = OidcRequest(id_token="a.b.c", nonce_verifier=VERIFIER)
    attempt = house.service.sign_in_oidc(request, address="192.0.2.1")
    assert await code_of(attempt) is Code.OIDC_OFF


async def test_a_token_opens_one_session(door: Door):
    token = door.provider.token()
    await door.sign_in(token)
    assert await door.refused(token) is Code.ID_TOKEN_INVALID
    # In another process as well: the directory remembers.
    elsewhere = await open_service(
        door.house.pool, door.house.clock, door.house.memberships, issuers=(door.provider.trusted,)
    )
    request = OidcRequest(id_token=token, nonce_verifier=VERIFIER)
    attempt = elsewhere.sign_in_oidc(request, address="192.0.2.1")
    assert await code_of(attempt) is Code.ID_TOKEN_INVALID
    elsewhere.close()


async def test_of_ten_requests_with_one_token_one_wins(door: Door):
    token = door.provider.token()
    results = await asyncio.gather(
        *(door.sign_in(token) for _ in range(10)), return_exceptions=True
    )
    assert len([r for r in results if isinstance(r, TokenAnswer)]) == 1
    codes = [r.code for r in results if isinstance(r, SeraiError)]
    assert codes == [Code.ID_TOKEN_INVALID] * 9


async def test_a_used_token_is_forgotten_when_it_has_long_expired(door: Door):
    await door.sign_in()
    clock = door.house.clock
    async with door.house.pool.connection() as directory:
        clock.advance(24 * 3600 + 630)
        assert await external.forget_tokens(directory, now=clock.now(), limit=9) == 0
        clock.advance(1)
        assert await external.forget_tokens(directory, now=clock.now(), limit=9) == 1


async def test_a_stolen_token_without_the_secret_of_the_app_opens_nothing(door: Door):
    token = door.provider.token()
    assert await door.refused(token, verifier="x" * 43) is Code.ID_TOKEN_INVALID
    assert await door.refused(door.provider.token(nonce=VERIFIER)) is Code.ID_TOKEN_INVALID
    # What was tried with it does not use it up for its owner.
    assert (await door.sign_in(token)).access_token is not None


async def test_forgeries_open_nothing_and_all_get_the_same_words(door: Door):
    now = int(door.house.clock.now().timestamp())
    body = claims(door.house.clock.now(), iss=door.provider.url)
    thief = private_key("RSA", 2)
    token = door.provider.token
    forgeries = [
        unsigned(body),
        unsigned(body) + "AAAA",
        mac_with_public_key(body, private_key("RSA")),
        signed(body, thief),
        signed(body, thief, jku=f"{door.provider.url}/elsewhere"),
        token(aud="another-app"),
        token(iss="https://id.example.org"),
        token(iss=door.provider.url + "/"),
        token(exp=now - 31),
        token(iat=now + 31),
        token(iat=now - 700),
        token(azp="another-app"),
        token(aud=[APP, "another-app"]),
        token(nonce="another"),
        "nonsense",
    ]
    said: set[tuple[Code, str]] = set()
    for forged in forgeries:
        with pytest.raises(SeraiError) as refused:
            await door.sign_in(forged)
        said.add((refused.value.code, str(refused.value)))
    assert len(said) == 1
    assert {code for code, _ in said} == {Code.ID_TOKEN_INVALID}
    assert door.provider.asked == ["/keys"]
    assert await links(door.house) == []
    assert await door.house.sql("SELECT 1 FROM serai_directory.session") == []
    assert await door.house.sql("SELECT 1 FROM serai_directory.used_id_token") == []


async def test_the_log_tells_the_reason_and_no_token(door: Door, caplog: pytest.LogCaptureFixture):
    token = door.provider.token(aud="another-app")
    with caplog.at_level(logging.INFO, logger="serai.gate.oidc"):
        await door.refused(token)
    assert [r.getMessage() for r in caplog.records if r.name == "serai.gate.oidc"] == [
        "an ID token was not accepted: aud is not one of the clients"
    ]
    assert all(part not in caplog.text for part in token.split("."))
    assert VERIFIER not in caplog.text


async def test_an_unknown_key_is_asked_for_once_and_a_rotation_signs_people_in(door: Door):
    await door.sign_in()
    door.house.clock.advance(30)
    unknown = door.provider.token()
    door.provider.keys = {"k1": private_key("RSA"), "k2": private_key("P-256", 2)}
    fresh = door.provider.token(kid="k2", alg="ES256")
    assert (await door.sign_in(fresh)).access_token is not None
    assert (await door.sign_in(unknown)).access_token is not None
    assert door.provider.asked == ["/keys"] * 2
    # The old key is withdrawn: within ten minutes it signs nobody in.
    del door.provider.keys["k1"]
    door.house.clock.advance(600)
    old = signed(claims(door.house.clock.now(), iss=door.provider.url), private_key("RSA"))
    assert await door.refused(old) is Code.ID_TOKEN_INVALID


async def test_made_up_key_ids_cost_the_issuer_one_request(door: Door):
    await door.sign_in()
    door.house.clock.advance(30)
    body = claims(door.house.clock.now(), iss=door.provider.url)
    for n in range(20):
        forged = signed(body, private_key("RSA", 2), kid=f"made-up-{n}")
        assert await door.refused(forged) is Code.ID_TOKEN_INVALID
    assert door.provider.asked == ["/keys"] * 2


async def test_an_issuer_that_is_away_is_a_problem_to_be_tried_again(door: Door):
    door.provider.answer = door.provider.endless
    with pytest.raises(SeraiError) as refused:
        await door.sign_in()
    assert (refused.value.code, refused.value.retry_after_seconds) == (Code.ISSUER_AWAY, 30)
    assert door.house.pool.free == door.house.pool.size


async def test_a_token_of_another_issuer_asks_nobody(door: Door):
    async with provider(door.house.clock) as other:
        assert await door.refused(other.token()) is Code.ID_TOKEN_INVALID
        assert other.asked == []
    assert door.provider.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": None},
        {"email": None},
        {"email": "nobody@example.org"},
        {"email": "not an e-mail"},
    ],
)
async def test_without_a_verified_e_mail_of_a_user_nobody_is_let_in_or_made(
    door: Door, changes: dict[str, Any]
):
    users = await door.house.sql("SELECT user_id FROM serai_directory.users")
    with pytest.raises(SeraiError) as refused:
        await door.sign_in(door.provider.token(**changes))
    # An address that is a user's and one that is nobody's get the same words.
    assert str(refused.value) == (
        "Nobody here has this identity."
        " Ask an operator to add you under the e-mail that the provider has verified, or to link"
        " your identity."
    )
    assert await links(door.house) == []
    assert await door.house.sql("SELECT user_id FROM serai_directory.users") == users


async def test_an_address_that_only_folds_to_a_users_address_neither_leads_there_nor_makes_one(
    door: Door,
):
    house = door.house
    async with house.pool.connection() as directory:
        await people.create_user(
            directory, email="book@example.org", name="", password_hash=None, now=house.clock.now()
        )
    users = await house.sql("SELECT user_id FROM serai_directory.users")
    door.service = await open_service(
        house.pool,
        house.clock,
        house.memberships,
        issuers=(door.provider.trusted,),
        create_users=True,
    )
    token = door.provider.token(sub="kelvin", email="boo\N{KELVIN SIGN}@example.org")
    assert await door.refused(token) is Code.IDENTITY_UNKNOWN
    assert await links(house) == []
    assert await house.sql("SELECT user_id FROM serai_directory.users") == users


async def test_subjects_of_two_issuers_are_two_identities(door: Door):
    async with provider(door.house.clock) as other:
        service = await open_service(
            door.house.pool,
            door.house.clock,
            door.house.memberships,
            issuers=(door.provider.trusted, other.trusted),
        )
        await door.sign_in()
        token = other.token(email="ben@example.org")
        request = OidcRequest(id_token=token, nonce_verifier=VERIFIER, organisation=INN)
        answer = await service.sign_in_oidc(request, address="192.0.2.1")
        service.close()
    assert (await door.house.caller(answer.access_token)).user_id == door.house.ben


async def test_a_disabled_user_is_not_let_in(door: Door):
    await door.sign_in()
    async with door.house.pool.connection() as directory:
        await people.disable_user(directory, user_id=door.house.ana, now=door.house.clock.now())
    door.house.clock.advance(1)
    assert await door.refused(door.provider.token()) is Code.IDENTITY_UNKNOWN


async def test_a_user_without_a_password_signs_in_by_identity_and_by_nothing_else(door: Door):
    async with door.house.pool.connection() as directory:
        user_id = await people.create_user(
            directory,
            email="cleo@example.org",
            name="Cleo",
            password_hash=None,
            now=door.house.clock.now(),
        )
        await people.add_to_organisation(
            directory, user_id=user_id, org_id=INN, now=door.house.clock.now()
        )
    door.house.memberships.give(INN, user_id, ("desk", None))
    answer = await door.sign_in(door.provider.token(sub="cleo", email="cleo@example.org"))
    assert (await door.house.caller(answer.access_token)).user_id == user_id
    for guess in ("", "a long enough one"):
        attempt = door.house.sign_in("cleo@example.org", guess)
        assert await code_of(attempt) is Code.CREDENTIALS


async def test_tries_from_one_address_are_limited_with_those_of_passwords(door: Door):
    for _ in range(100):
        assert await door.refused("a.b.c", address="198.51.100.9") is Code.ID_TOKEN_INVALID
    with pytest.raises(SeraiError) as refused:
        await door.sign_in(address="198.51.100.9")
    assert (refused.value.code, refused.value.retry_after_seconds) == (Code.RATE_LIMITED, 2)
    assert (await door.sign_in(address="198.51.100.10")).access_token is not None


async def test_a_user_is_made_only_where_the_settings_say_so_and_has_no_password(door: Door):
    house = door.house
    service = await open_service(
        house.pool,
        house.clock,
        house.memberships,
        issuers=(door.provider.trusted,),
        create_users=True,
    )
    door.service = service
    new = {"sub": "dora", "email": "Dora@Example.org", "name": "Dora" + "!" * 300}
    answer = await door.sign_in(door.provider.token(**new))
    assert (answer.access_token, answer.organisations) == (None, [])
    [user] = await house.sql(
        "SELECT email, length(name) AS name, password_hash FROM serai_directory.users"
        " WHERE email LIKE 'dora%'"
    )
    assert user == {"email": "dora@example.org", "name": 200, "password_hash": None}
    unverified: dict[str, Any] = {"sub": "eve", "email": "eve@example.org", "email_verified": False}
    assert await door.refused(door.provider.token(**unverified)) is Code.IDENTITY_UNKNOWN
    assert len(await house.sql("SELECT 1 FROM serai_directory.users")) == 3
    service.close()


async def test_two_first_sign_ins_at_once_make_one_user(door: Door):
    house = door.house
    door.service = await open_service(
        house.pool,
        house.clock,
        house.memberships,
        issuers=(door.provider.trusted,),
        create_users=True,
    )
    now = int(house.clock.now().timestamp())
    tokens = [
        door.provider.token(sub="dora", email="dora@example.org", exp=now + 60 + n)
        for n in range(5)
    ]
    results = await asyncio.gather(*(door.sign_in(token) for token in tokens))
    assert len(results) == 5
    assert len(await house.sql("SELECT 1 FROM serai_directory.users")) == 3
    assert len(await links(house)) == 1
    door.service.close()


async def test_the_role_of_requests_may_do_all_of_it_and_gives_nobody_a_password(
    door: Door, migrated_database: str, request_role: RequestRole
):
    house = door.house
    async with PinnedPool(request_role.url(migrated_database), size_min=1, size_max=2) as pool:
        served = await open_service(
            pool,
            house.clock,
            house.memberships,
            issuers=(door.provider.trusted,),
            create_users=True,
        )
        door.service = served
        assert (await door.sign_in()).access_token is not None
        dora = door.provider.token(sub="dora", email="dora@example.org")
        assert (await door.sign_in(dora)).organisations == []
        async with pool.connection() as directory:
            house.clock.advance(2 * 24 * 3600)
            now = house.clock.now()
            assert await external.forget_tokens(directory, now=now, limit=9) == 2
            for forbidden in (
                "DELETE FROM serai_directory.external_identity",
                "UPDATE serai_directory.external_identity SET user_id = user_id",
                "INSERT INTO serai_directory.users (email) VALUES ('a@b.c')",
                "UPDATE serai_directory.used_id_token SET expires_at = now()",
            ):
                with pytest.raises(PostgresError, match="permission denied"):
                    await directory.execute(forbidden)
        served.close()
