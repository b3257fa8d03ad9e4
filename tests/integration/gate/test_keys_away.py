"""Machines work on while the directory is away, as people do, and no longer than they.

Owns what becomes of API keys then. Time is the house's own. Never waits for anything but the
directory that comes back.
"""

from __future__ import annotations

from datetime import timedelta

from integration.conftest import Outage
from integration.gate.conftest import House, code_of
from integration.gate.test_identity import make_key, owner
from serai.core.errors import Code, SeraiError


async def test_a_directory_that_is_away_is_asked_for_keys_once_a_second(house: House):
    boss = await owner(house)
    made = [await make_key(house, boss) for _ in range(2)]
    for each in made:
        await house.caller(each.secret)
    keys = house.service._api_keys
    await house.pool.close()
    house.clock.advance(60)
    before = keys.reads
    for each in made * 5:
        assert (await house.caller(each.secret)).machine
    assert keys.reads == before + 1
    house.clock.advance(1)
    for each in made * 5:
        assert (await house.caller(each.secret)).machine
    assert keys.reads == before + 2


async def test_while_the_directory_is_away_keys_nobody_checked_here_open_nothing(house: House):
    boss = await owner(house)
    made = await make_key(house, boss)
    expiry = house.clock.now() + timedelta(seconds=90)
    short = await make_key(house, boss, expires_at=expiry)
    await house.caller(short.secret)
    await house.pool.close()
    house.clock.advance(60)
    assert await code_of(house.caller(made.secret)) is Code.UNAVAILABLE
    wrong = short.secret[:-1] + ("0" if short.secret[-1] != "0" else "1")
    assert await code_of(house.caller(wrong)) is Code.UNAVAILABLE
    assert (await house.caller(short.secret)).machine
    house.clock.advance(30)
    assert await code_of(house.caller(short.secret)) is Code.UNAUTHENTICATED


async def test_a_key_that_was_seen_revoked_stays_out_when_the_directory_goes_away(house: House):
    made = await make_key(house, await owner(house))
    assert (await house.caller(made.secret)).machine
    await house.sql("UPDATE serai_directory.api_key SET revoked_at = now()")
    house.clock.advance(5)
    assert await code_of(house.caller(made.secret)) is Code.UNAUTHENTICATED
    await house.pool.close()
    assert await code_of(house.caller(made.secret)) is Code.UNAVAILABLE


async def test_a_key_that_was_revoked_during_an_outage_is_out_when_the_directory_is_back(
    house: House, migrated_database: str, outage: Outage
):
    """The process loses the directory, for which it is revoked meanwhile, and finds it again."""
    made = await make_key(house, await owner(house))
    assert (await house.caller(made.secret)).machine
    await house.sql("UPDATE serai_directory.api_key SET revoked_at = now()")
    with outage(migrated_database):
        house.clock.advance(5)
        assert (await house.caller(made.secret)).machine
    answers: list[Code] = []
    while Code.UNAUTHENTICATED not in answers:
        house.clock.advance(1)
        try:
            await house.caller(made.secret)
        except SeraiError as error:
            answers.append(error.code)
    assert answers == [Code.UNAUTHENTICATED]
