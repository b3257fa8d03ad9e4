"""Staying signed in, on a real directory: rotation, races, lost answers, theft."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from integration.gate.conftest import INN, MILL, House, open_service
from serai.core.errors import Code, SeraiError
from serai.gate import people, sessions
from serai.wire.identity import RefreshRequest, SignOutRequest, TokenAnswer
from unit.gate.support import START


async def code_of(attempt: Awaitable[object]) -> Code:
    with pytest.raises(SeraiError) as refused:
        await attempt
    return refused.value.code


def refresh(house: House, token: str, organisation: int | str | None = None):
    return house.service.refresh(RefreshRequest(refresh_token=token, organisation=organisation))


async def live_tokens(house: House) -> int:
    [row] = await house.sql(
        "SELECT count(*) AS n FROM serai_directory.refresh_token t"
        " JOIN serai_directory.session s USING (session_id)"
        " WHERE t.used_at IS NULL AND s.revoked_at IS NULL"
    )
    assert isinstance(row["n"], int)
    return row["n"]


async def test_a_device_that_refreshes_stays_signed_in_with_new_tokens_each_time(house: House):
    answer = await house.sign_in()
    seen = {answer.refresh_token, answer.access_token}
    for _ in range(5):
        house.clock.advance(900)
        answer = await refresh(house, answer.refresh_token)
        seen |= {answer.refresh_token, answer.access_token}
        caller = await house.caller(answer.access_token)
        assert (caller.org_id, caller.user_id) == (INN, house.ana)
    assert len(seen) == 12
    assert await live_tokens(house) == 1


async def test_a_stolen_old_token_ends_the_session_for_thief_and_owner(house: House):
    stolen = (await house.sign_in()).refresh_token
    owner = await refresh(house, stolen)
    house.clock.advance(61)
    assert await code_of(refresh(house, stolen)) is Code.REFRESH_REUSED
    assert await code_of(refresh(house, owner.refresh_token)) is Code.REFRESH_REUSED
    house.clock.advance(5)
    assert await code_of(house.caller(owner.access_token)) is Code.UNAUTHENTICATED
    [session] = await house.sql("SELECT revoke_reason FROM serai_directory.session")
    assert session["revoke_reason"] == "reuse"


async def test_the_owner_who_comes_after_the_thief_finds_it_out(house: House):
    token = (await house.sign_in()).refresh_token
    thief = await refresh(house, token)
    house.clock.advance(900)
    assert await code_of(refresh(house, token)) is Code.REFRESH_REUSED
    assert await code_of(refresh(house, thief.refresh_token)) is Code.REFRESH_REUSED


async def test_a_used_token_is_theft_at_once_when_its_successor_was_used(house: House):
    first = (await house.sign_in()).refresh_token
    second = await refresh(house, first)
    await refresh(house, second.refresh_token)
    house.clock.advance(1)
    assert await code_of(refresh(house, first)) is Code.REFRESH_REUSED


async def test_a_phone_whose_answer_was_lost_gets_the_same_token_again(house: House):
    token = (await house.sign_in()).refresh_token
    lost = await refresh(house, token)
    house.clock.advance(60)
    again = await refresh(house, token)
    assert again.refresh_token == lost.refresh_token
    assert again.refresh_expires_at == lost.refresh_expires_at
    assert (await house.caller(again.access_token)).user_id == house.ana
    assert await live_tokens(house) == 1
    house.clock.advance(900)
    assert (await refresh(house, again.refresh_token)).access_token is not None


async def test_ten_tabs_that_refresh_at_once_all_hold_the_one_next_token(house: House):
    token = (await house.sign_in()).refresh_token
    answers: list[TokenAnswer] = await asyncio.gather(*(refresh(house, token) for _ in range(10)))
    assert len({a.refresh_token for a in answers}) == 1
    for answer in answers:
        assert (await house.caller(answer.access_token)).user_id == house.ana
    house.clock.advance(900)
    assert (await refresh(house, answers[0].refresh_token)).access_token is not None


async def test_a_refresh_that_meets_another_waits_for_it_and_gets_its_token(house: House):
    token = (await house.sign_in()).refresh_token
    waiting = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with house.pool.connection() as directory, directory.transaction():
        first = await sessions.refresh(
            directory, refresh_token=token, org_id=None, now=house.clock.now()
        )
        second = asyncio.ensure_future(refresh(house, token))
        while not second.done() and not await house.sql(waiting):
            pass
        assert not second.done(), "it answered before the first was committed"
    assert (await second).refresh_token == first.refresh_token


async def test_ten_thieves_at_once_do_not_undo_the_end_of_the_session(house: House):
    token = (await house.sign_in()).refresh_token
    owner = await refresh(house, token)
    house.clock.advance(61)
    results = await asyncio.gather(
        *(refresh(house, token) for _ in range(9)),
        refresh(house, owner.refresh_token),
        return_exceptions=True,
    )
    codes = [r.code for r in results[:9] if isinstance(r, SeraiError)]
    assert codes == [Code.REFRESH_REUSED] * 9
    assert await live_tokens(house) == 0


@pytest.mark.parametrize(
    "token",
    [
        "",
        "srr_",
        "srr_" + "a" * 43,
        "a" * 47,
        "srr_" + "é" * 43,
        "x" * 200,
        "srr_" + "a" * 42 + "\x00",
    ],
)
async def test_what_is_no_refresh_token_is_refused(house: House, token: str):
    assert await code_of(refresh(house, token)) is Code.REFRESH_INVALID
    assert await code_of(refresh(house, token, organisation=INN)) is Code.REFRESH_INVALID


async def test_an_access_token_is_no_refresh_token_nor_the_reverse(house: House):
    answer = await house.sign_in()
    assert answer.access_token is not None
    assert await code_of(refresh(house, answer.access_token)) is Code.REFRESH_INVALID
    assert await code_of(house.caller(answer.refresh_token)) is Code.UNAUTHENTICATED


async def test_a_device_that_slept_for_thirty_days_signs_in_again(house: House):
    token = (await house.sign_in()).refresh_token
    house.clock.at = START + timedelta(days=30) - timedelta(seconds=1)
    token = (await refresh(house, token)).refresh_token
    house.clock.advance(30 * 86_400)
    assert await code_of(refresh(house, token)) is Code.REFRESH_INVALID


async def test_no_device_stays_signed_in_beyond_half_a_year(house: House):
    answer = await house.sign_in()
    for _ in range(8):
        house.clock.advance(20 * 86_400)
        answer = await refresh(house, answer.refresh_token)
    assert answer.refresh_expires_at == "2026-08-28T12:00:00.000000Z"
    house.clock.at = START + timedelta(days=180)
    assert await code_of(refresh(house, answer.refresh_token)) is Code.REFRESH_INVALID


async def test_who_signs_out_is_out_here_at_once_and_everywhere_in_five_seconds(house: House):
    answer = await house.sign_in()
    elsewhere = await open_service(house.pool, house.clock, house.memberships)
    header = f"Bearer {answer.access_token}"
    assert (await elsewhere.identity.resolve(header)).user_id == house.ana
    await house.service.sign_out(SignOutRequest(refresh_token=answer.refresh_token))
    assert await code_of(house.caller(answer.access_token)) is Code.UNAUTHENTICATED
    house.clock.advance(5)
    assert await code_of(elsewhere.identity.resolve(header)) is Code.UNAUTHENTICATED
    assert await code_of(refresh(house, answer.refresh_token)) is Code.REFRESH_INVALID
    elsewhere.close()


async def test_signing_out_twice_or_with_an_old_or_unknown_token_is_no_error(house: House):
    first = await house.sign_in()
    second = await refresh(house, first.refresh_token)
    for token in (first.refresh_token, second.refresh_token, "srr_" + "a" * 43, "junk"):
        await house.service.sign_out(SignOutRequest(refresh_token=token))
    assert await code_of(house.caller(second.access_token)) is Code.UNAUTHENTICATED
    assert await code_of(refresh(house, second.refresh_token)) is Code.REFRESH_INVALID


async def test_one_device_that_signs_out_leaves_the_other_signed_in(house: House):
    phone, desk = await house.sign_in(), await house.sign_in()
    await house.service.sign_out(SignOutRequest(refresh_token=phone.refresh_token))
    house.clock.advance(5)
    assert (await house.caller(desk.access_token)).user_id == house.ana
    assert (await refresh(house, desk.refresh_token)).access_token is not None


async def test_a_user_of_two_organisations_changes_without_a_password_and_stays(house: House):
    answer = await house.sign_in("ben@example.org")
    answer = await refresh(house, answer.refresh_token, "mill")
    assert (await house.caller(answer.access_token)).org_id == MILL
    answer = await refresh(house, answer.refresh_token)
    assert (await house.caller(answer.access_token)).org_id == MILL
    answer = await refresh(house, answer.refresh_token, INN)
    assert (await house.caller(answer.access_token)).org_id == INN


async def test_a_wish_for_an_organisation_of_others_does_not_use_the_token_up(house: House):
    answer = await house.sign_in()
    assert await code_of(refresh(house, answer.refresh_token, MILL)) is Code.FORBIDDEN
    assert (await refresh(house, answer.refresh_token)).access_token is not None


async def test_a_user_who_left_the_organisation_gets_no_token_for_it(house: House):
    answer = await house.sign_in("ben@example.org", organisation=MILL)
    async with house.pool.connection() as directory:
        await people.remove_from_organisation(directory, user_id=house.ben, org_id=MILL)
    answer = await refresh(house, answer.refresh_token)
    assert answer.access_token is None
    assert [o.key for o in answer.organisations] == ["inn"]
    answer = await refresh(house, answer.refresh_token, "inn")
    assert (await house.caller(answer.access_token)).org_id == INN


async def test_a_refresh_of_a_disabled_user_is_refused(house: House):
    answer = await house.sign_in()
    async with house.pool.connection() as directory:
        await people.disable_user(directory, user_id=house.ana, now=house.clock.now())
    assert await code_of(refresh(house, answer.refresh_token)) is Code.REFRESH_INVALID


async def test_a_year_of_refreshes_does_not_fill_the_directory(house: House):
    answer = await house.sign_in()
    for _ in range(60):
        house.clock.advance(900)
        answer = await refresh(house, answer.refresh_token)
    [row] = await house.sql(
        "SELECT count(*) AS n, min(generation) AS first, max(generation) AS last,"
        " count(successor_salt) AS salts FROM serai_directory.refresh_token"
    )
    assert row == {"n": 51, "first": 11, "last": 61, "salts": 1}


async def test_sessions_that_are_over_are_deleted_and_live_ones_are_not(house: House):
    gone, left = await house.sign_in(), await house.sign_in()
    await house.service.sign_out(SignOutRequest(refresh_token=gone.refresh_token))
    async with house.pool.connection() as directory:
        assert await sessions.prune_sessions(directory, now=house.clock.now(), limit=1) == 0
        house.clock.advance(86_401)
        assert await sessions.prune_sessions(directory, now=house.clock.now(), limit=1) == 1
        assert await sessions.prune_sessions(directory, now=house.clock.now(), limit=1) == 0
    assert (await refresh(house, left.refresh_token)).access_token is not None
