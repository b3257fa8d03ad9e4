"""The role of requests: made by the migrator, refused when it is too strong, the least in the
directory.

Owns fleets and owners of its own, some of whom may make no roles. Never tests what the role sees on
a shard: `centre/test_second_wall.py` does.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors, sql

from integration.conftest import MakeDatabase, with_database
from serai.app.fleet import prepare_fleet
from serai.app.runtime import open_runtime
from serai.app.settings import Settings
from serai.schema.admission import role_of_requests
from serai.schema.compat import check_database
from serai.schema.errors import RoleTooStrongError
from serai.schema.migrate import migrate_fleet
from serai.shard.role import RequestRole


def run(url: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode(), arguments or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
async def fleet(make_database: MakeDatabase) -> tuple[str, str]:
    """URLs of a directory and of its shard, as their owner."""
    directory, shard = make_database(), make_database()
    await prepare_fleet(Settings(directory_url=directory), [("shard-1", shard)])
    return directory, shard


async def test_a_process_serves_as_the_role_and_a_command_as_the_owner(fleet: tuple[str, str]):
    settings = Settings(directory_url=fleet[0])
    role = await role_of_requests(fleet[0])
    names: list[str] = []
    for as_owner in (False, True):
        async with open_runtime(settings, as_owner=as_owner) as runtime:
            shard = await runtime.shard(runtime.directory.shards[0])
            for pool in (runtime.directory.pool, shard.pool):
                async with pool.connection() as connection:
                    names.append(await connection.fetchval("SELECT session_user::text"))
    owner = urlsplit(fleet[0]).username
    assert names == [role.name, role.name, owner, owner]


async def test_a_process_that_is_given_the_roles_own_url_needs_no_other(fleet: tuple[str, str]):
    role = await role_of_requests(fleet[0])
    async with open_runtime(Settings(directory_url=role.url(fleet[0]))) as runtime:
        shard = await runtime.shard(runtime.directory.shards[0])
        async with shard.pool.connection() as connection:
            assert await connection.fetchval("SELECT session_user::text") == role.name


async def test_migrating_again_keeps_the_role_and_its_password(fleet: tuple[str, str]):
    before = await role_of_requests(fleet[0])
    assert (await migrate_fleet(fleet[0])).ok
    assert await role_of_requests(fleet[0]) == before


async def test_a_password_that_was_changed_on_the_server_is_put_back(fleet: tuple[str, str]):
    role = await role_of_requests(fleet[0])
    run(fleet[0], f"ALTER ROLE {role.name} PASSWORD 'another'")
    assert (await migrate_fleet(fleet[0])).ok
    assert run(role.url(fleet[1]), "SELECT session_user::text") == [(role.name,)]


@pytest.mark.parametrize("power", ["BYPASSRLS", "SUPERUSER", "CREATEROLE", "member"])
async def test_nobody_serves_as_a_role_that_walks_through_the_wall(
    fleet: tuple[str, str], power: str
):
    role = await role_of_requests(fleet[0])
    gift = f"GRANT pg_read_all_data TO {role.name}"
    run(fleet[0], gift if power == "member" else f"ALTER ROLE {role.name} {power}")
    with pytest.raises(RoleTooStrongError):
        await check_database(fleet[1], "shard", role=role)


async def test_the_owner_itself_does_not_serve(fleet: tuple[str, str]):
    parts = urlsplit(fleet[0])
    owner = RequestRole(parts.username or "", parts.password or "")
    with pytest.raises(RoleTooStrongError):
        await check_database(fleet[1], "shard", role=owner)


@pytest.fixture
def weak_owner(postgres_url: str) -> Iterator[tuple[str, str]]:
    """URLs of a directory and of a shard, both empty, whose owner may make no roles."""
    name, password = f"weak_{secrets.token_hex(4)}", secrets.token_hex(8)
    made = [f"{name}_directory", f"{name}_shard"]
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(name), sql.Literal(password)
            )
        )
        for database in made:
            conn.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(database), sql.Identifier(name)
                )
            )
        role = RequestRole(name, password)
        directory, shard = (role.url(with_database(postgres_url, each)) for each in made)
        yield directory, shard
        for database in made:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


async def test_an_owner_who_may_make_no_roles_is_told_what_to_run(
    weak_owner: tuple[str, str], postgres_url: str
):
    told = await migrate_fleet(weak_owner[0])
    remedy = told.databases[0].remedy or ""
    _, _, statement = remedy.partition("run: ")
    assert not told.ok
    assert statement.startswith('CREATE ROLE "serai_request_')
    (password,) = run(weak_owner[0], "SELECT password FROM serai_directory.request_role")[0]
    assert password not in remedy
    run(postgres_url, statement)
    assert (await migrate_fleet(weak_owner[0])).ok
    role = await role_of_requests(weak_owner[0])
    assert run(role.url(weak_owner[0]), "SELECT session_user::text") == [(role.name,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT url FROM serai_directory.shard",
        "SELECT * FROM serai_directory.shard",
        "SELECT * FROM serai_directory.request_role",
        "UPDATE serai_directory.shard SET state = 'closed'",
        "INSERT INTO serai_directory.org_override (org_id, shard_id) VALUES (1, 1)",
        "UPDATE serai_directory.org_range SET shard_id = 1",
        "UPDATE serai_directory.version SET version = 1",
        "DELETE FROM serai_directory.placement_audit",
        "INSERT INTO serai_directory.secret (kind, key_id, material) VALUES ('jwt', 9, '')",
        "UPDATE serai_directory.secret SET material = ''",
        "DELETE FROM serai_directory.secret",
        "INSERT INTO serai_directory.organisation (org_id, key) VALUES (1, 'mine')",
        "SELECT serai_directory.create_organisation('mine', '', NULL)",
        "INSERT INTO serai_directory.users (email) VALUES ('a@b')",
        "UPDATE serai_directory.users SET email = 'a@b'",
        "UPDATE serai_directory.users SET state = 'active'",
        "DELETE FROM serai_directory.users",
        "UPDATE serai_directory.external_identity SET subject = 'mine'",
        "DELETE FROM serai_directory.external_identity",
        "UPDATE serai_directory.used_id_token SET expires_at = now()",
        "UPDATE serai_directory.api_key SET roles = '[]'",
        "UPDATE serai_directory.session SET user_id = gen_random_uuid()",
        "UPDATE serai_directory.refresh_token SET session_id = gen_random_uuid()",
        "TRUNCATE serai_directory.session CASCADE",
        "SELECT serai_directory.admit('mine')",
        "CREATE TABLE serai_directory.mine ()",
        "UPDATE serai_schema.state SET version = 0",
    ],
)
def test_the_role_changes_nothing_of_the_directory_but_sign_ins(
    migrated_database: str, request_role: RequestRole, statement: str
):
    with pytest.raises(errors.InsufficientPrivilege):
        run(request_role.url(migrated_database), statement)


def test_the_address_that_the_role_sees_holds_no_password(
    migrated_database: str, request_role: RequestRole
):
    run(
        migrated_database,
        "INSERT INTO serai_directory.shard (name, url) VALUES"
        " ('s1', 'postgresql://o:p%40ss@h@db.example:5432/s?sslmode=require'),"
        " ('s2', 'postgres:///s?host=/run')",
    )
    seen = run(
        request_role.url(migrated_database),
        "SELECT address FROM serai_directory.shard ORDER BY name",
    )
    assert seen == [
        ("postgresql://db.example:5432/s?sslmode=require",),
        ("postgres:///s?host=/run",),
    ]
    with pytest.raises(errors.CheckViolation):
        run(
            migrated_database,
            "INSERT INTO serai_directory.shard (name, url) VALUES ('s3', 'postgresql://h/s?password=p')",
        )
