"""Signing in, on a real directory: who gets in, where, and what it costs those who do not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from uuid import UUID

import pytest

from integration.gate.conftest import CHEAP, INN, MILL, PASSWORD, House, open_service
from serai.core.errors import Code, SeraiError
from serai.gate import people, sessions
from serai.gate.passwords import PasswordCost
from serai.wire.identity import OrganisationForm

PHONE = UUID("0198c0de-0000-7000-8000-00000000000d")
NEW = "another long password"


async def code_of(attempt: Awaitable[object]) -> Code:
    with pytest.raises(SeraiError) as refused:
        await attempt
    return refused.value.code


async def test_a_user_of_one_organisation_is_in_it_at_once(house: House):
    answer = await house.sign_in()
    assert answer.organisation == OrganisationForm(INN, "inn", "The Inn")
    assert answer.organisations == [answer.organisation]
    assert answer.expires_in == 900
    assert answer.refresh_expires_at == "2026-03-31T12:00:00.000000Z"
    caller = await house.caller(answer.access_token)
    assert (caller.org_id, caller.user_id, caller.machine) == (INN, house.ana, False)
    assert caller.may("stays", "delete", UUID(int=5))


async def test_a_user_of_two_organisations_chooses_and_may_change(house: House):
    answer = await house.sign_in("ben@example.org")
    assert (answer.access_token, answer.organisation) == (None, None)
    assert [o.key for o in answer.organisations] == ["inn", "mill"]
    chosen = await house.sign_in("ben@example.org", organisation="mill")
    assert (await house.caller(chosen.access_token)).org_id == MILL
    chosen = await house.sign_in("ben@example.org", organisation=INN)
    assert (await house.caller(chosen.access_token)).org_id == INN


async def test_nobody_signs_in_to_an_organisation_of_others(house: House):
    for other in (MILL, "mill", 999, "no-such"):
        assert await code_of(house.sign_in(organisation=other)) is Code.FORBIDDEN
    assert await house.sql("SELECT 1 FROM serai_directory.session") == []


async def test_an_e_mail_is_one_however_it_is_typed(house: House):
    assert (await house.sign_in("  ANA@Example.ORG ")).access_token is not None
    async with house.pool.connection() as directory:
        assert (
            await code_of(
                people.create_user(
                    directory,
                    email="Ana@EXAMPLE.org",
                    name="Another",
                    password_hash=None,
                    now=house.clock.now(),
                )
            )
            is Code.NOT_UNIQUE
        )


@pytest.mark.parametrize("email", ["ana", "@", "a@", "@b", "a b@c.org", "a@b@c", "a\x00@b.c", ""])
async def test_what_is_no_e_mail_makes_no_user(house: House, email: str):
    async with house.pool.connection() as directory:
        made = people.create_user(
            directory, email=email, name="", password_hash=None, now=house.clock.now()
        )
        assert await code_of(made) is Code.FIELDS_INVALID


async def test_a_stranger_a_wrong_password_and_a_disabled_user_look_and_cost_the_same(house: House):
    async with house.pool.connection() as directory:
        await people.create_user(
            directory, email="new@example.org", name="", password_hash=None, now=house.clock.now()
        )
        await people.disable_user(directory, user_id=house.ben, now=house.clock.now())
    passwords = house.service.passwords
    seen: list[tuple[Code, str, int, int]] = []
    for email, password in (
        ("nobody@example.org", PASSWORD),
        ("ana@example.org", "wrong"),
        ("new@example.org", PASSWORD),
        ("ben@example.org", PASSWORD),
        ("not an e-mail", PASSWORD),
        ("ana@example.org", ""),
    ):
        hashed, checked = passwords.hashed, passwords.checked
        with pytest.raises(SeraiError) as refused:
            await house.sign_in(email, password)
        error = refused.value
        seen.append(
            (error.code, str(error), passwords.hashed - hashed, passwords.checked - checked)
        )
    expected = "E-mail or password is wrong. Check both; nothing tells which is wrong."
    assert seen == [(Code.CREDENTIALS, expected, 0, 1)] * 6


async def test_a_guesser_is_stopped_before_the_password_is_hashed(house: House):
    for _ in range(10):
        assert await code_of(house.sign_in(password="guess")) is Code.CREDENTIALS
    checked = house.service.passwords.checked
    with pytest.raises(SeraiError) as refused:
        await house.sign_in(password=PASSWORD)
    assert (refused.value.code, refused.value.retry_after_seconds) == (Code.RATE_LIMITED, 30)
    assert house.service.passwords.checked == checked
    house.clock.advance(30)
    assert (await house.sign_in()).access_token is not None


async def test_the_directory_holds_no_password_and_no_token(house: House):
    answer = await house.sign_in(device_id=PHONE)
    dump = ""
    for statement in (
        "SELECT t::text AS row FROM serai_directory.users t",
        "SELECT t::text AS row FROM serai_directory.session t",
        "SELECT t::text AS row FROM serai_directory.refresh_token t",
        "SELECT t::text AS row FROM serai_directory.device t",
    ):
        dump += "\n".join(str(row["row"]) for row in await house.sql(statement))
    assert "ana@example.org" in dump
    for secret in (PASSWORD, answer.refresh_token, answer.refresh_token[4:], answer.access_token):
        assert secret is not None
        assert secret not in dump
        assert secret.encode().hex() not in dump


async def test_a_cheaper_hash_is_made_again_at_the_next_sign_in_and_only_then(house: House):
    [before] = await house.sql(
        "SELECT password_hash, password_changed_at FROM serai_directory.users WHERE user_id = $1",
        house.ana,
    )
    costly = await open_service(
        house.pool, house.clock, house.memberships, cost=PasswordCost(memory_kib=128, passes=1)
    )
    house.service.close()
    house.service = costly
    await house.sign_in()
    [after] = await house.sql(
        "SELECT password_hash, password_changed_at FROM serai_directory.users WHERE user_id = $1",
        house.ana,
    )
    assert str(before["password_hash"]).startswith("$argon2id$v=19$m=64,")
    assert str(after["password_hash"]).startswith("$argon2id$v=19$m=128,")
    assert before["password_changed_at"] == after["password_changed_at"]
    assert costly.passwords.hashed == 1
    await house.sign_in()
    assert costly.passwords.hashed == 1


async def test_a_password_that_changes_while_it_is_checked_opens_no_session(house: House):
    async with house.pool.connection() as directory:
        found = await people.user_of_email(directory, "ana@example.org")
        assert found is not None
        _, stale = found
        assert stale is not None
        await people.set_password(
            directory,
            user_id=house.ana,
            password_hash=await house.service.passwords.hash(NEW),
            now=house.clock.now(),
        )
        session = await sessions.open_session(
            directory,
            user_id=house.ana,
            password_hash=stale,
            org_id=INN,
            device_id=None,
            now=house.clock.now(),
        )
    assert session is None


async def test_a_new_password_ends_every_session_and_the_old_one_opens_nothing(house: House):
    before = await house.sign_in()
    async with house.pool.connection() as directory:
        ended = await people.set_password(
            directory,
            user_id=house.ana,
            password_hash=await house.service.passwords.hash(NEW),
            now=house.clock.now(),
        )
    assert len(ended) == 1
    house.clock.advance(5)
    assert await code_of(house.caller(before.access_token)) is Code.UNAUTHENTICATED
    assert await code_of(house.sign_in()) is Code.CREDENTIALS
    assert (await house.sign_in(password=NEW)).access_token is not None


async def test_a_disabled_user_is_out_within_five_seconds_and_back_when_enabled(house: House):
    before = await house.sign_in()
    async with house.pool.connection() as directory:
        await people.disable_user(directory, user_id=house.ana, now=house.clock.now())
        house.clock.advance(5)
        assert await code_of(house.caller(before.access_token)) is Code.UNAUTHENTICATED
        await people.enable_user(directory, user_id=house.ana)
    assert await code_of(house.caller(before.access_token)) is Code.UNAUTHENTICATED
    assert (await house.sign_in()).access_token is not None


async def test_a_user_who_left_every_organisation_signs_in_to_none(house: House):
    async with house.pool.connection() as directory:
        assert await people.remove_from_organisation(directory, user_id=house.ana, org_id=INN)
        assert not await people.remove_from_organisation(directory, user_id=house.ana, org_id=INN)
    answer = await house.sign_in()
    assert (answer.access_token, answer.organisation, answer.organisations) == (None, None, [])


async def test_a_device_belongs_to_the_user_who_signed_in_first_and_can_be_shut_out(house: House):
    first = await house.sign_in(device_id=PHONE)
    assert (await house.sign_in(device_id=PHONE)).access_token is not None
    stranger = house.sign_in("ben@example.org", organisation=INN, device_id=PHONE)
    assert await code_of(stranger) is Code.DEVICE_UNKNOWN
    async with house.pool.connection() as directory:
        ended = await people.revoke_device(directory, device_id=PHONE, now=house.clock.now())
    assert len(ended) == 2
    house.clock.advance(5)
    assert await code_of(house.caller(first.access_token)) is Code.UNAUTHENTICATED
    assert await code_of(house.sign_in(device_id=PHONE)) is Code.DEVICE_UNKNOWN


async def test_what_does_not_exist_cannot_be_administered(house: House):
    nobody, now = UUID(int=99), house.clock.now()
    async with house.pool.connection() as directory:
        for attempt in (
            people.set_password(directory, user_id=nobody, password_hash="x", now=now),
            people.disable_user(directory, user_id=nobody, now=now),
            people.enable_user(directory, user_id=nobody),
            people.add_to_organisation(directory, user_id=nobody, org_id=INN, now=now),
            people.add_to_organisation(directory, user_id=house.ana, org_id=99, now=now),
        ):
            assert await code_of(attempt) is Code.NOT_FOUND
        await people.add_to_organisation(directory, user_id=house.ana, org_id=INN, now=now)
        assert [o.org_id for o in await people.organisations_of(directory, house.ana)] == [INN]


async def test_a_flood_of_sign_ins_leaves_no_connection_taken(house: House):
    assert CHEAP.passes == 1
    for _ in range(3):
        house.clock.advance(1000)
        results = await asyncio.gather(
            *(house.sign_in(f"u{n}@example.org") for n in range(40)), return_exceptions=True
        )
        codes = {r.code for r in results if isinstance(r, SeraiError)}
        assert codes <= {Code.CREDENTIALS, Code.OVERLOADED}
        assert len([r for r in results if isinstance(r, SeraiError)]) == 40
    assert house.pool.free == house.pool.size
