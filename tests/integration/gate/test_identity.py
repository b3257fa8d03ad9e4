"""From the header to the caller, on a real directory: nothing is open by default."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import pytest

from integration.gate.conftest import INN, MILL, House, add_user, open_service
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES
from serai.gate.attempts import SignInAttempts
from serai.gate.caller import Caller
from serai.gate.keys import (
    ensure_signing_key,
    read_signing_keys,
    replace_signing_keys,
    retire_signing_keys,
    rotate_signing_key,
)
from serai.gate.mirror import DirectoryMirror
from serai.shard.pools import PinnedPool
from serai.wire.identity import (
    ApiKeyCreated,
    ApiKeyRequest,
    OrganisationForm,
    RefreshRequest,
    RoleForm,
)
from unit.gate.support import LISBON, PORTO, VERTICAL, Memberships


async def code_of(attempt: Awaitable[object]) -> Code:
    with pytest.raises(SeraiError) as refused:
        await attempt
    return refused.value.code


async def owner(house: House) -> Caller:
    return await house.caller((await house.sign_in()).access_token)


async def make_key(house: House, caller: Caller, *roles: RoleForm, **more) -> ApiKeyCreated:
    request = ApiKeyRequest(name="Till", roles=list(roles) or [RoleForm("desk", LISBON)], **more)
    return await house.service.create_api_key(caller, request)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YW5hOmEgbG9uZyBlbm91Z2ggb25l",
        "bearer nonsense",
        "Bearer serai_",
        "Bearer serai_0198c0de000070008000000000000001_" + "0" * 64,
        "Bearer serai_0198C0DE000070008000000000000001_" + "0" * 64,
        "Bearer serai_x_y",
        "Bearer " + "a" * 3000,
        "Bearer serai_" + "é" * 32 + "_" + "0" * 64,
        "Token abc",
    ],
)
async def test_without_a_credential_nobody_gets_in(house: House, header: str | None):
    assert await code_of(house.service.identity.resolve(header)) is Code.UNAUTHENTICATED


async def test_the_name_of_the_scheme_may_be_written_either_way(house: House):
    token = (await house.sign_in()).access_token
    for scheme in ("Bearer", "bearer", "BEARER"):
        caller = await house.service.identity.resolve(f"{scheme}  {token} ")
        assert caller.user_id == house.ana


async def test_a_user_without_a_role_is_told_so_and_gets_in_when_given_one(house: House):
    async with house.pool.connection() as directory:
        cleo = await add_user(directory, house.service, house.clock, "cleo@example.org", INN)
    token = (await house.sign_in("cleo@example.org")).access_token
    assert await code_of(house.caller(token)) is Code.FORBIDDEN
    version = house.memberships.give(INN, cleo, ("desk", PORTO))
    house.service.grants.notice(INN, version)
    caller = await house.caller(token)
    assert caller.roles(PORTO) == {"desk"}
    assert caller.roles(LISBON) == frozenset()
    assert caller.may("stays", "create", PORTO)
    assert not caller.may("stays", "create", LISBON)
    assert not caller.may("stays", "update", PORTO)


async def test_a_role_that_is_taken_away_ends_the_access_within_five_seconds(house: House):
    token = (await house.sign_in()).access_token
    assert (await house.caller(token)).may("stays", "delete", LISBON)
    house.memberships.give(INN, house.ana)
    house.clock.advance(5)
    assert await code_of(house.caller(token)) is Code.FORBIDDEN


async def test_a_token_of_one_organisation_shows_nothing_of_another(house: House):
    inn = await house.sign_in("ben@example.org", organisation=INN)
    mill = await house.sign_in("ben@example.org", organisation=MILL)
    in_inn = await house.caller(inn.access_token)
    in_mill = await house.caller(mill.access_token)
    assert (in_inn.org_id, in_inn.roles(LISBON)) == (INN, {"desk"})
    assert (in_mill.org_id, in_mill.roles(LISBON)) == (MILL, {"manager"})


async def test_a_token_that_outlived_its_organisation_opens_nothing(house: House):
    tokens = house.service._tokens
    text, _ = tokens.sign(user_id=house.ana, org_id=999, session_id=UUID(int=5))
    assert await code_of(house.caller(text)) is Code.FORBIDDEN


async def test_a_shard_that_is_away_is_not_taken_for_a_missing_role(house: House):
    class Away(Memberships):
        async def grants(self, org_id, user_id):
            raise SeraiError(Code.UNAVAILABLE, f"{org_id} {user_id}")

    token = (await house.sign_in()).access_token
    elsewhere = await open_service(house.pool, house.clock, Away())
    attempt = elsewhere.identity.resolve(f"Bearer {token}")
    assert await code_of(attempt) is Code.UNAVAILABLE
    elsewhere.close()


async def test_an_expired_token_asks_for_a_refresh_and_the_refresh_works(house: House):
    answer = await house.sign_in()
    house.clock.advance(900)
    assert await code_of(house.caller(answer.access_token)) is Code.ACCESS_EXPIRED
    request = RefreshRequest(refresh_token=answer.refresh_token)
    answer = await house.service.refresh(request)
    assert (await house.caller(answer.access_token)).user_id == house.ana


async def test_a_busy_caller_asks_the_directory_once_in_five_seconds(house: House):
    token = (await house.sign_in()).access_token
    reads, asked = house.service._mirror.reads, house.memberships.asked
    for _ in range(20):
        await house.caller(token)
    assert house.service._mirror.reads - reads == 0
    assert house.memberships.asked - asked == 1
    house.clock.advance(5)
    await asyncio.gather(*(house.caller(token) for _ in range(20)))
    assert house.service._mirror.reads - reads == 1


async def test_me_says_who_is_asking_and_with_which_roles(house: House):
    house.memberships.give(INN, house.ana, ("manager", PORTO), ("owner", None), ("desk", PORTO))
    me = await house.service.me(await owner(house))
    assert (me.kind, me.id, me.email, me.name) == ("user", house.ana, "ana@example.org", "Ana")
    assert me.organisation == OrganisationForm(INN, "inn", "The Inn")
    assert me.roles == [RoleForm("owner"), RoleForm("desk", PORTO), RoleForm("manager", PORTO)]


async def test_a_machine_gets_in_with_its_key_and_the_roles_of_the_key_only(house: House):
    made = await make_key(house, await owner(house))
    caller = await house.caller(made.secret)
    assert (caller.org_id, caller.user_id, caller.machine) == (INN, made.key.id, True)
    assert caller.roles(LISBON) == {"desk"}
    assert caller.roles(PORTO) == frozenset()
    me = await house.service.me(caller)
    assert (me.kind, me.id, me.email, me.name) == ("apiKey", made.key.id, None, "Till")
    assert me.roles == [RoleForm("desk", LISBON)]


async def test_the_secret_of_a_key_is_shown_once(house: House):
    boss = await owner(house)
    made = await make_key(house, boss)
    listed = await house.service.list_api_keys(boss)
    assert [key.id for key in listed.keys] == [made.key.id]
    [row] = await house.sql("SELECT t::text AS row FROM serai_directory.api_key t")
    secret = made.secret.rpartition("_")[2]
    assert len(secret) == 64
    for shown in (repr(listed), str(row["row"]), repr(made)):
        assert secret not in shown


async def test_a_key_with_one_wrong_sign_is_nobodys(house: House):
    secret = (await make_key(house, await owner(house))).secret
    for changed in (
        secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        secret[:-1],
        secret + "0",
        secret.upper(),
        secret.replace("serai_", "serai_0", 1)[:-1],
    ):
        assert await code_of(house.caller(changed)) is Code.UNAUTHENTICATED
    assert (await house.caller(secret)).machine


async def test_a_revoked_key_is_out_here_at_once_and_everywhere_in_five_seconds(house: House):
    boss = await owner(house)
    made = await make_key(house, boss)
    elsewhere = await open_service(house.pool, house.clock, house.memberships)
    header = f"Bearer {made.secret}"
    assert (await elsewhere.identity.resolve(header)).machine
    assert (await house.caller(made.secret)).machine
    await house.service.revoke_api_key(boss, made.key.id)
    await house.service.revoke_api_key(boss, made.key.id)
    assert await code_of(house.caller(made.secret)) is Code.UNAUTHENTICATED
    house.clock.advance(5)
    assert await code_of(elsewhere.identity.resolve(header)) is Code.UNAUTHENTICATED
    [listed] = (await house.service.list_api_keys(boss)).keys
    assert listed.revoked_at == "2026-03-01T12:00:00.000000Z"
    elsewhere.close()


async def test_a_key_expires_to_the_second_though_it_was_just_checked(house: House):
    expiry = house.clock.now() + timedelta(seconds=2)
    made = await make_key(house, await owner(house), expires_at=expiry)
    house.clock.advance(1)
    assert (await house.caller(made.secret)).machine
    house.clock.advance(1)
    assert await code_of(house.caller(made.secret)) is Code.UNAUTHENTICATED


async def test_a_key_that_has_expired_before_it_is_made_is_a_mistake(house: House):
    boss = await owner(house)
    attempt = make_key(house, boss, expires_at=house.clock.now())
    assert await code_of(attempt) is Code.FIELDS_INVALID


async def test_nobody_gives_a_machine_more_than_they_may_do_themselves(house: House):
    manager = await house.caller(
        (await house.sign_in("ben@example.org", "a long enough one", MILL)).access_token
    )
    assert await code_of(make_key(house, manager, RoleForm("owner"))) is Code.FORBIDDEN
    assert (await make_key(house, manager, RoleForm("manager"))).key.roles == [RoleForm("manager")]
    assert (await make_key(house, manager, RoleForm("desk", PORTO))).key.name == "Till"
    unknown = make_key(house, manager, RoleForm("janitor"))
    assert await code_of(unknown) is Code.FIELDS_INVALID


async def test_a_role_at_one_house_makes_no_keys(house: House):
    house.memberships.give(INN, house.ben, ("manager", PORTO))
    ben = await house.caller(
        (await house.sign_in("ben@example.org", organisation=INN)).access_token
    )
    assert await code_of(make_key(house, ben, RoleForm("desk", PORTO))) is Code.FORBIDDEN
    assert await code_of(house.service.list_api_keys(ben)) is Code.FORBIDDEN
    assert await code_of(house.service.revoke_api_key(ben, UUID(int=1))) is Code.FORBIDDEN


async def test_a_machine_makes_no_machines(house: House):
    boss = await owner(house)
    machine = await house.caller((await make_key(house, boss, RoleForm("owner"))).secret)
    assert machine.may("memberships", "create", ALL_SCOPES)
    assert await code_of(make_key(house, machine)) is Code.FORBIDDEN
    assert await code_of(house.service.revoke_api_key(machine, machine.user_id)) is Code.FORBIDDEN


async def test_keys_of_another_organisation_are_neither_seen_nor_revoked(house: House):
    made = await make_key(house, await owner(house))
    boss = await house.caller(
        (await house.sign_in("ben@example.org", organisation=MILL)).access_token
    )
    assert (await house.service.list_api_keys(boss)).keys == []
    assert await code_of(house.service.revoke_api_key(boss, made.key.id)) is Code.NOT_FOUND
    assert (await house.caller(made.secret)).org_id == INN


async def test_a_program_that_makes_keys_in_a_loop_is_stopped_at_a_hundred(house: House):
    boss = await owner(house)
    made = await make_key(house, boss)
    for _ in range(99):
        await make_key(house, boss)
    assert await code_of(make_key(house, boss)) is Code.RULE
    await house.service.revoke_api_key(boss, made.key.id)
    assert (await make_key(house, boss)).secret


async def test_a_key_in_use_is_checked_and_written_to_the_directory_seldom(house: House):
    made = await make_key(house, await owner(house))
    keys = house.service._api_keys
    for _ in range(20):
        await house.caller(made.secret)
    assert keys.reads == 1
    house.clock.advance(50)
    await house.caller(made.secret)
    [row] = await house.sql("SELECT last_used_at FROM serai_directory.api_key")
    assert row["last_used_at"] == house.clock.now() - timedelta(seconds=50)
    house.clock.advance(11)
    await house.caller(made.secret)
    [row] = await house.sql("SELECT last_used_at FROM serai_directory.api_key")
    assert row["last_used_at"] == house.clock.now()


async def test_processes_that_start_together_on_a_new_directory_make_one_key(house: House):
    async with house.pool.connection() as directory:
        await directory.execute("DELETE FROM serai_directory.secret")

    async def ensure() -> None:
        async with house.pool.connection() as directory:
            await ensure_signing_key(directory, house.clock.now())

    await asyncio.gather(*(ensure() for _ in range(8)))
    async with house.pool.connection() as directory:
        assert [key.key_id for key in await read_signing_keys(directory)] == [1]


async def test_nobody_is_signed_out_by_a_rotation_of_keys(house: House):
    elsewhere = await open_service(house.pool, house.clock, house.memberships)
    old = await house.sign_in()
    async with house.pool.connection() as directory:
        assert await rotate_signing_key(directory, house.clock.now()) == 2
    kids: set[str] = set()
    for _ in range(14):
        house.clock.advance(60)
        kids.add(house.service._tokens.ring.signing_kid)
        new = (await house.sign_in()).access_token
        for service in (house.service, elsewhere):
            for token in (old.access_token, new):
                assert (await service.identity.resolve(f"Bearer {token}")).user_id == house.ana
    assert kids == {"1", "2"}
    async with house.pool.connection() as directory:
        assert await retire_signing_keys(directory, below=2, now=house.clock.now()) == 1
    assert [k["kid"] for k in (await house.service.jwks())["keys"]] == ["1", "2"]
    house.clock.advance(931)
    assert [k["kid"] for k in (await house.service.jwks())["keys"]] == ["2"]
    elsewhere.close()


async def test_a_key_is_replaced_by_one_step_and_ages_out_by_itself(house: House):
    elsewhere = await open_service(house.pool, house.clock, house.memberships)
    async with house.pool.connection() as directory:
        assert await replace_signing_keys(directory, house.clock.now()) == 2
    # Seconds after the step: who signs, and what the JWKS holds; the tokens of 15 minutes all work.
    seen: dict[int, tuple[str, list[str]]] = {}
    tokens: list[tuple[int, str | None]] = []
    for second in range(0, 1_020, 10):
        tokens.append((second, (await house.sign_in()).access_token))
        published = [k["kid"] for k in (await house.service.jwks())["keys"]]
        seen[second] = (house.service._tokens.ring.signing_kid, published)
        for at, token in tokens:
            if second - at < 900:
                for service in (house.service, elsewhere):
                    caller = await service.identity.resolve(f"Bearer {token}")
                    assert caller.user_id == house.ana
        house.clock.advance(10)
        # The attempts of one person are limited, and are not the matter here.
        house.service._attempts = SignInAttempts(house.clock)
    assert (seen[10], seen[50]) == (("1", ["1", "2"]), ("1", ["1", "2"]))
    assert (seen[60], seen[980]) == (("2", ["1", "2"]), ("2", ["1", "2"]))
    assert (seen[990], seen[1_010]) == (("2", ["2"]), ("2", ["2"]))
    elsewhere.close()


async def test_a_second_rotation_within_the_minute_leaves_one_that_signs(house: House):
    async with house.pool.connection() as directory:
        for _ in range(2):
            await replace_signing_keys(directory, house.clock.now())
            house.clock.advance(30)
    # Key 1 ended at 60 s, key 2 has settled and signs until 90 s, then key 3.
    found: list[str] = []
    for _ in range(3):
        await house.sign_in()
        found.append(house.service._tokens.ring.signing_kid)
        house.clock.advance(30)
    assert found == ["2", "3", "3"]


async def test_a_key_that_leaked_opens_nothing_after_five_seconds(house: House):
    answer = await house.sign_in()
    async with house.pool.connection() as directory:
        await replace_signing_keys(directory, house.clock.now(), leaked=True)
    house.clock.advance(5)
    assert await code_of(house.caller(answer.access_token)) is Code.UNAUTHENTICATED
    request = RefreshRequest(refresh_token=answer.refresh_token)
    refreshed = await house.service.refresh(request)
    assert (await house.caller(refreshed.access_token)).user_id == house.ana


async def test_signed_in_devices_work_on_while_the_directory_is_away(house: House):
    made = await make_key(house, await owner(house))
    token = (await house.sign_in()).access_token
    assert (await house.caller(made.secret)).machine
    await house.pool.close()
    house.clock.advance(60)
    assert (await house.caller(token)).user_id == house.ana
    assert house.service._mirror.failures == 1
    # Asked again at most once a second, not with each request.
    await house.caller(token)
    assert house.service._mirror.failures == 1
    house.clock.advance(1)
    await house.caller(token)
    assert house.service._mirror.failures == 2
    assert (await house.caller(made.secret)).machine
    house.clock.advance(838)
    assert (await house.caller(made.secret)).machine
    assert (await house.caller(token)).user_id == house.ana
    house.clock.advance(1)
    # A quarter of an hour after the key was checked and the token was issued.
    assert await code_of(house.caller(made.secret)) is Code.UNAVAILABLE
    assert await code_of(house.caller(token)) is Code.ACCESS_EXPIRED


async def test_a_process_does_not_start_without_the_directory(migrated_database: str, house: House):
    pool = PinnedPool(migrated_database, size_min=1)
    await pool.open()
    await pool.close()
    mirror = DirectoryMirror(pool, house.clock)
    assert await code_of(mirror.start()) is Code.UNAVAILABLE
    assert await code_of(mirror.fresh()) is Code.UNAVAILABLE


async def test_a_sign_out_that_commits_late_is_still_seen(house: House):
    """A transaction begun earlier may end its session after the mirror has read past its time."""
    token = (await house.sign_in()).access_token
    ended_at = house.clock.now()
    house.clock.advance(40)
    await house.caller(token)
    async with house.pool.connection() as directory:
        await directory.execute("UPDATE serai_directory.session SET revoked_at = $1", ended_at)
    house.clock.advance(5)
    assert await code_of(house.caller(token)) is Code.UNAUTHENTICATED


async def test_ended_sessions_are_remembered_only_as_long_as_their_tokens_run(house: House):
    token = (await house.sign_in()).access_token
    async with house.pool.connection() as directory:
        await directory.execute(
            "UPDATE serai_directory.session SET revoked_at = $1", house.clock.now()
        )
    mirror = house.service._mirror
    house.clock.advance(5)
    assert await code_of(house.caller(token)) is Code.UNAUTHENTICATED
    assert len(mirror._ended) == 1
    house.clock.advance(930)
    await mirror.fresh()
    assert len(mirror._ended) == 0


def test_the_vertical_of_these_tests_lets_a_manager_give_roles_but_not_delete():
    assert VERTICAL.allows(["manager"], "memberships", "create")
    assert not VERTICAL.allows(["manager"], "memberships", "delete")
