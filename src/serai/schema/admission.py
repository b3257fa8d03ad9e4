"""The role of requests on one server: made, given its rights, and looked at.

Owns CREATE ROLE and the check that nobody serves as a role to whom policies mean nothing. Promises
that the role may log in, owns nothing, is in no other role and has no right beyond those that
`admit` gives; that a server on which the migrator may not make roles is named with the statement to
run there; and that no statement holds the password itself, only its SCRAM verifier. Never drops a
role.
"""

from __future__ import annotations

import secrets
from typing import Final

import psycopg
from psycopg import sql

from serai.schema.database import (
    LOCK_KEY,
    SQL,
    BusyError,
    Conn,
    Options,
    connected,
    limit_lock_waits,
    retried,
    value,
)
from serai.schema.errors import RoleMissingError, RoleTooStrongError
from serai.schema.files import Kind
from serai.shard.role import RequestRole

_PREFIX: Final = "serai_request_"
_CREATE: Final = sql.SQL(
    "CREATE ROLE {} LOGIN NOSUPERUSER NOINHERIT NOCREATEDB NOCREATEROLE NOREPLICATION"
    " NOBYPASSRLS PASSWORD {}"
)
_RENEW: Final = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
_MADE_MEANWHILE: Final = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation)


async def fleet_role(conn: Conn) -> RequestRole:
    """Return the fleet's role of requests, as the directory's owner; its name and password are
    drawn once.
    """
    drawn = {"name": _PREFIX + secrets.token_hex(4), "password": secrets.token_urlsafe(32)}
    await conn.execute(SQL["first_fleet_role"], drawn)
    return await _noted(conn)


async def role_of_requests(url: str, options: Options | None = None) -> RequestRole:
    """Return the role that a process serves requests as, from the URL that it was given: the
    owner's, or that of the role itself.

    Raises:
        RoleMissingError: the directory was never migrated to have one.
        psycopg.OperationalError: it does not answer.
    """
    async with connected(url, options or Options()) as conn:
        try:
            return await _noted(conn)
        except psycopg.errors.InsufficientPrivilege:
            return RequestRole.of_url(url)


async def _noted(conn: Conn) -> RequestRole:
    try:
        row = await (await conn.execute(SQL["fleet_role"])).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        row = None
    if row is None:
        raise RoleMissingError("The directory names no role of requests", "Run `serai migrate`.")
    return RequestRole(row[0], row[1])


async def admit(conn: Conn, url: str, kind: Kind, role: RequestRole, options: Options) -> None:
    """Make the role on this server if it is not there, give it its rights on this database, and
    see that it can log in.

    Raises:
        RoleMissingError: this owner may not make roles, or the role cannot log in.
        RoleTooStrongError: somebody gave the role more than it may have.
    """
    if not await value(conn, SQL["role_exists"], {"name": role.name}):
        await _make(conn, _CREATE, role)
    statement = SQL["admit_to_shard" if kind == "shard" else "admit_to_directory"]

    async def give() -> None:
        async with conn.transaction():
            if not await value(conn, SQL["try_lock_in_transaction"], {"key": LOCK_KEY}):
                raise BusyError  # a migrator is at work
            await limit_lock_waits(conn, options)
            await conn.execute(statement, {"name": role.name})

    await retried("the rights of the role of requests", give, options, lambda _: None)
    if not await _logs_in(url, role, options):
        # A directory that was restored beside another server, or a password that was changed there.
        await _make(conn, _RENEW, role)
        if not await _logs_in(url, role, options):
            raise RoleMissingError(
                f"The role {role.name} is there and cannot log in",
                "Allow it in pg_hba.conf with scram-sha-256, from where Serai runs.",
            )


async def check_powers(conn: Conn) -> None:
    """Refuse to serve as a role that could go around the policies.

    Raises:
        RoleTooStrongError: an owner, a superuser, or a member of another role.
    """
    row = await (await conn.execute(SQL["powers"])).fetchone()
    assert row is not None, "everybody has a role"
    if row[1]:
        raise RoleTooStrongError(row[0])


async def _logs_in(url: str, role: RequestRole, options: Options) -> bool:
    try:
        async with connected(role.url(url), options) as conn:
            await check_powers(conn)
    except psycopg.OperationalError:
        return False
    return True


async def _make(conn: Conn, form: sql.SQL, role: RequestRole) -> None:
    verifier = conn.pgconn.encrypt_password(
        role.password.encode(), role.name.encode(), b"scram-sha-256"
    ).decode()
    statement = form.format(sql.Identifier(role.name), sql.Literal(verifier))
    try:
        await conn.execute(statement)
    except _MADE_MEANWHILE:
        return  # by the migration of another database of this server
    except psycopg.errors.InsufficientPrivilege as error:
        raise RoleMissingError(
            f"The owner of this database may not make the role {role.name}",
            f"Let an administrator of the server run: {statement.as_string(conn)}",
        ) from error
