"""What a user may do, remembered no longer than it is true."""

from __future__ import annotations

from uuid import UUID

import pytest

from serai.core.ids import ALL_SCOPES
from serai.gate.caller import Grant
from serai.gate.grants import GrantCache
from unit.gate.support import ANA, BEN, LISBON, PORTO, VERTICAL, Memberships, SetClock

ORG = 7


class Desk:
    """A cache, its clock, and an organisation's memberships."""

    def __init__(self, size_max: int = 100) -> None:
        self.clock = SetClock()
        self.memberships = Memberships()
        self.cache = GrantCache(self.clock, size_max)

    async def get(self, user_id: UUID = ANA, org_id: int = ORG) -> Grant:
        return await self.cache.get(self.memberships.as_store(), org_id, user_id, VERTICAL)


async def test_a_busy_user_costs_the_shard_one_read_in_five_seconds():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("desk", LISBON))
    for _ in range(10):
        assert (await desk.get()).by_scope == {LISBON: frozenset({"desk"})}
    assert desk.memberships.asked == 1
    desk.clock.advance(4.9)
    await desk.get()
    assert desk.memberships.asked == 1


async def test_a_role_that_is_taken_away_is_gone_within_five_seconds_though_nobody_notices():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("owner", None))
    await desk.get()
    desk.memberships.give(ORG, ANA)
    desk.clock.advance(5)
    assert (await desk.get()).by_scope == {}


async def test_a_role_that_is_taken_away_is_gone_at_once_where_the_newer_number_was_seen():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("owner", None))
    await desk.get()
    desk.cache.notice(ORG, desk.memberships.give(ORG, ANA, ("desk", PORTO)))
    assert (await desk.get()).by_scope == {PORTO: frozenset({"desk"})}


async def test_a_role_that_is_given_works_at_once_where_the_newer_number_was_seen():
    desk = Desk()
    assert (await desk.get()).by_scope == {}
    desk.cache.notice(ORG, desk.memberships.give(ORG, ANA, ("manager", None)))
    assert (await desk.get()).by_scope == {ALL_SCOPES: frozenset({"manager"})}


async def test_a_grant_lives_on_while_others_read_the_same_number():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("desk", LISBON))
    await desk.get()
    for _ in range(10):
        desk.clock.advance(4)
        desk.cache.notice(ORG, desk.memberships.version)
        await desk.get()
    assert desk.memberships.asked == 1


async def test_an_older_number_read_late_does_not_bring_an_older_grant_back():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("desk", LISBON))
    await desk.get()
    old = desk.memberships.version
    desk.cache.notice(ORG, desk.memberships.give(ORG, ANA))
    desk.cache.notice(ORG, old)
    assert (await desk.get()).by_scope == {}


async def test_a_newer_number_seen_with_one_user_ends_what_is_held_of_another():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("owner", None))
    await desk.get(ANA)
    desk.memberships.give(ORG, ANA)
    await desk.get(BEN)
    assert (await desk.get(ANA)).by_scope == {}


async def test_a_number_of_one_organisation_says_nothing_about_another():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("desk", LISBON))
    await desk.get(org_id=ORG)
    desk.cache.notice(8, 99)
    await desk.get(org_id=ORG)
    assert desk.memberships.asked == 1


async def test_users_and_organisations_do_not_share_a_grant():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("owner", None))
    desk.memberships.give(8, BEN, ("desk", LISBON))
    assert (await desk.get(ANA, ORG)).by_scope == {ALL_SCOPES: frozenset({"owner"})}
    assert (await desk.get(BEN, ORG)).by_scope == {}
    assert (await desk.get(ANA, 8)).by_scope == {}


async def test_a_read_that_was_overtaken_by_a_revocation_is_read_again():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("owner", None))

    class Overtaken(Memberships):
        async def grants(self, org_id, user_id):
            answer = await desk.memberships.grants(org_id, user_id)
            if desk.memberships.asked == 1:
                desk.cache.notice(ORG, desk.memberships.give(ORG, ANA))
            return answer

    grant = await desk.cache.get(Overtaken().as_store(), ORG, ANA, VERTICAL)
    assert grant.by_scope == {}
    assert desk.memberships.asked == 2


async def test_a_shard_that_lags_behind_a_number_ends_the_reading_and_is_not_believed_again():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("desk", LISBON))
    desk.cache.notice(ORG, 99)
    await desk.get()
    assert desk.memberships.asked == 3
    await desk.get()
    assert desk.memberships.asked == 6


async def test_after_a_restore_the_lower_number_is_believed_within_five_seconds():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("desk", LISBON))
    desk.cache.notice(ORG, 99)
    desk.clock.advance(5)
    await desk.get()
    await desk.get()
    assert desk.memberships.asked == 1


async def test_a_clock_that_is_set_back_makes_no_grant_younger():
    desk = Desk()
    desk.memberships.give(ORG, ANA, ("owner", None))
    await desk.get()
    desk.memberships.give(ORG, ANA)
    desk.clock.advance(-3600)
    assert (await desk.get()).by_scope == {}


async def test_ten_thousand_users_do_not_fill_the_memory():
    desk = Desk(size_max=50)
    for n in range(1, 500):
        await desk.get(UUID(int=n))
    assert len(desk.cache._grants) == 50


async def test_a_shard_that_fails_gives_no_grant():
    desk = Desk()

    class Broken(Memberships):
        async def grants(self, org_id, user_id):
            raise ConnectionError(f"{org_id} is gone, and {user_id} with it")

    with pytest.raises(ConnectionError):
        await desk.cache.get(Broken().as_store(), ORG, ANA, VERTICAL)


async def test_a_user_who_was_just_dropped_is_read_again():
    desk = Desk()
    await desk.get()
    desk.cache.forget(ORG, ANA)
    await desk.get()
    assert desk.memberships.asked == 2
