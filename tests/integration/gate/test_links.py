"""Identities and users, on a real directory: who links them, who may not, and how they part."""

from __future__ import annotations

import asyncio
import json

import pytest

from integration.gate.conftest import INN, Door, code_of, links, open_service
from serai.core.errors import Code
from serai.gate import external
from serai.gate.id_tokens import ReadToken
from serai.gate.issuer_keys import parsed_keys
from serai.gate.sessions import open_session_of_identity
from unit.gate.made_tokens import VERIFIER


@pytest.mark.parametrize("create_users", [False, True])
async def test_an_issuer_takes_over_no_account_outside_its_domains(
    door: Door, *, create_users: bool
):
    house, door.provider.domains = door.house, frozenset({"elsewhere.example"})
    door.service = await open_service(
        house.pool,
        house.clock,
        house.memberships,
        issuers=(door.provider.trusted,),
        create_users=create_users,
    )
    for email in ("ana@example.org", "new@example.org"):
        token = door.provider.token(email=email)
        assert await door.refused(token) is Code.IDENTITY_UNKNOWN
    assert await links(house) == []
    assert len(await house.sql("SELECT 1 FROM serai_directory.users")) == 2
    door.service.close()


async def test_an_operator_links_who_has_no_verified_e_mail(door: Door):
    house, issuer = door.house, door.provider.url
    token = door.provider.token(email_verified=None)
    assert await door.refused(token) is Code.IDENTITY_UNKNOWN
    now = house.clock.now()
    subject = "ana-at-the-issuer"
    async with house.pool.connection() as operator:
        for changed in (True, False):
            assert changed is await external.link(
                operator, user_id=house.ana, issuer=issuer, subject=subject, now=now
            )
        assert await external.issuers_of(operator, house.ana) == [issuer]
        for user_id, other, code in (
            (house.ben, subject, Code.NOT_UNIQUE),
            (house.ana, "another-of-hers", Code.NOT_UNIQUE),
            (house.ben, "", Code.FIELDS_INVALID),
        ):
            linking = external.link(
                operator, user_id=user_id, issuer=issuer, subject=other, now=now
            )
            assert await code_of(linking) is code
    answer = await door.sign_in(token)
    assert (await house.caller(answer.access_token)).user_id == house.ana
    assert await links(house) == [(subject, house.ana)]


async def test_an_address_that_the_issuer_gave_to_somebody_else_does_not_lead_to_the_account(
    door: Door,
):
    await door.sign_in()
    heir = door.provider.token(sub="another-person")
    assert await door.refused(heir) is Code.IDENTITY_UNKNOWN
    assert await links(door.house) == [("ana-at-the-issuer", door.house.ana)]


async def test_an_unlinked_identity_is_out_and_links_anew(door: Door):
    before = await door.sign_in()
    async with door.house.pool.connection() as directory:
        now = door.house.clock.now()
        told = await external.unlink(directory, user_id=door.house.ana, now=now)
    assert told == ([door.provider.url], 1)
    door.house.clock.advance(5)
    assert await code_of(door.house.caller(before.access_token)) is Code.UNAUTHENTICATED
    heir = door.provider.token(sub="another-person")
    assert (await door.house.caller((await door.sign_in(heir)).access_token)).user_id == (
        door.house.ana
    )


@pytest.mark.parametrize("first", [True, False])
async def test_to_unlink_waits_for_a_sign_in_that_has_begun_and_takes_it_back(
    door: Door, *, first: bool
):
    house, now = door.house, door.house.clock.now()
    if not first:
        await door.sign_in()
    read = ReadToken(door.provider.token())
    key = parsed_keys(json.dumps(door.provider.jwks()).encode())["k1"]
    token = read.believed(door.provider.trusted, key, VERIFIER, now)
    async with house.pool.connection() as begun, house.pool.connection() as operator:
        async with begun.transaction():
            user_id = await external.user_of_identity(begun, token, create=False, now=now)
            unlinking = asyncio.create_task(external.unlink(operator, user_id=house.ana, now=now))
            while not unlinking.done() and not await house.sql(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                pass
            await open_session_of_identity(
                begun, user_id=user_id, org_id=INN, device_id=None, now=now
            )
        assert await unlinking == ([door.provider.url], 1 if first else 2)
    assert await links(house) == []
