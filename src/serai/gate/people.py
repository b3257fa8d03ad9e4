"""Users, and which organisations list them.

Owns the administration of `users`, `user_org` and `device` in the directory: functions over a
connection, in the caller's transaction if there is one. Promises that an e-mail has one spelling,
and that a new password or a disabled user ends every session of that user. Never decides what a
user may do: that is in the memberships of each organisation.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.shard.connection import Connection, Record
from serai.shard.queries import load_queries

_SQL = load_queries("serai.gate", "people.sql")
_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,255}")
ORGANISATIONS_LISTED_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class User:
    """A user as sign-in sees one. The hash is not in its repr."""

    user_id: UUID
    email: str
    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation as a list shows it."""

    org_id: int
    key: str
    name: str


def normal_email(text: str) -> str | None:
    """Return the one spelling of an e-mail address, None if it is not one.

    Lower case in both parts: no provider of note tells `Ana@` from `ana@`, and people type either.
    A character that folds into ASCII makes it no address: spelled with a KELVIN SIGN (U+212A),
    `book@` is another person's mailbox, and must not sign in as the one spelled with a k.
    """
    if any(_folds_into_ascii(char) for char in text):
        return None
    email = unicodedata.normalize("NFC", text.strip()).lower()
    return email if _EMAIL.fullmatch(email) else None


def _folds_into_ascii(char: str) -> bool:
    if char.isascii():
        return False
    return any(c.isascii() for c in unicodedata.normalize("NFKC", char).lower())


async def create_user(
    directory: Connection, *, email: str, name: str, password_hash: str | None, now: datetime
) -> UUID:
    """Make a user and return its id. Without a password (an invited user) nobody can sign in as
    them.

    Raises:
        SeraiError: `fields_invalid` for what is no e-mail address, `not_unique` if a user has it.
    """
    spelled = normal_email(email)
    if spelled is None:
        raise SeraiError(Code.FIELDS_INVALID, errors=(("email", "is not an e-mail address"),))
    user_id = await directory.fetchval(_SQL["create_user"], spelled, name, password_hash, now)
    if user_id is None:
        raise SeraiError(Code.NOT_UNIQUE, errors=(("email", "belongs to a user already"),))
    return user_id


async def user_of_email(directory: Connection, email: str) -> tuple[User, str | None] | None:
    """Return the user with this e-mail and the hash of the password, None if there is none."""
    spelled = normal_email(email)
    row = spelled and await directory.fetchrow(_SQL["user_of_email"], spelled)
    return (_user(row), row["password_hash"]) if row else None


async def user_of_id(directory: Connection, user_id: UUID) -> User | None:
    """Return the user, None if there is none."""
    row = await directory.fetchrow(_SQL["user_of_id"], user_id)
    return None if row is None else _user(row)


async def set_password(
    directory: Connection, *, user_id: UUID, password_hash: str, now: datetime
) -> list[UUID]:
    """Give the user a new password and end every session; return the ended ones.

    Raises:
        SeraiError: `not_found`.
    """
    async with directory.transaction():
        if await directory.fetchval(_SQL["set_password"], user_id, password_hash, now) is None:
            raise SeraiError(Code.NOT_FOUND)
        return await _end_sessions(directory, user_id, "password", now)


async def password_hash_of(directory: Connection, user_id: UUID) -> str | None:
    """Return the hash of the user's password; None without a password, or without a user."""
    return await directory.fetchval(_SQL["password_hash_of"], user_id)


async def replace_password(
    directory: Connection, *, user_id: UUID, old: str, new: str, now: datetime
) -> list[UUID] | None:
    """Give an active user another password in the place of `old` and end every session; return the
    ended ones. None if `old` is not what is stored any more: of two changes at once, one wins.
    """
    async with directory.transaction():
        kept = await directory.fetchval(_SQL["replace_password"], user_id, old, new, now)
        return None if kept is None else await _end_sessions(directory, user_id, "password", now)


async def replace_hash(directory: Connection, *, user_id: UUID, old: str, new: str) -> bool:
    """Store a costlier hash of the same password; tell whether `old` was still there."""
    return await directory.fetchval(_SQL["replace_hash"], user_id, old, new) is not None


async def disable_user(directory: Connection, *, user_id: UUID, now: datetime) -> list[UUID]:
    """Let the user sign in no more and end every session; return the ended ones.

    Raises:
        SeraiError: `not_found`.
    """
    async with directory.transaction():
        if await directory.fetchval(_SQL["set_state"], user_id, "disabled") is None:
            raise SeraiError(Code.NOT_FOUND)
        return await _end_sessions(directory, user_id, "disabled", now)


async def end_sessions(directory: Connection, *, user_id: UUID, now: datetime) -> list[UUID]:
    """Sign the user out everywhere, by an operator; return the ended sessions. The user may sign
    in again.
    """
    return await _end_sessions(directory, user_id, "operator", now)


async def enable_user(directory: Connection, *, user_id: UUID) -> None:
    """Let the user sign in again.

    Raises:
        SeraiError: `not_found`.
    """
    if await directory.fetchval(_SQL["set_state"], user_id, "active") is None:
        raise SeraiError(Code.NOT_FOUND)


async def add_to_organisation(
    directory: Connection, *, user_id: UUID, org_id: int, now: datetime
) -> None:
    """List the organisation at the user's sign-in; nothing happens if it is listed. Gives no role.

    Raises:
        SeraiError: `not_found` if either does not exist.
    """
    if await directory.fetchval(_SQL["add_to_organisation"], user_id, org_id, now) is None:
        raise SeraiError(Code.NOT_FOUND)


async def remove_from_organisation(directory: Connection, *, user_id: UUID, org_id: int) -> bool:
    """List the organisation no more; tell whether it was. Roles end with the organisation's
    membership row.
    """
    return await directory.fetchval(_SQL["remove_from_organisation"], user_id, org_id) is not None


async def organisations_of(directory: Connection, user_id: UUID) -> list[Organisation]:
    """Return the user's organisations by name, at most `ORGANISATIONS_LISTED_MAX`."""
    rows = await directory.fetch(_SQL["organisations_of"], user_id, ORGANISATIONS_LISTED_MAX)
    return [Organisation(row["org_id"], row["key"], row["name"]) for row in rows]


async def organisation_named(
    directory: Connection, user_id: UUID, wanted: int | str
) -> Organisation | None:
    """Return the user's organisation with this id (int) or key (str), None if the user has no such
    one.
    """
    org_id, key = (wanted, None) if isinstance(wanted, int) else (None, wanted)
    row = await directory.fetchrow(_SQL["organisation_named"], user_id, org_id, key)
    return None if row is None else Organisation(row["org_id"], row["key"], row["name"])


async def organisation_of_id(directory: Connection, org_id: int) -> Organisation | None:
    """Return the organisation, None if there is none."""
    row = await directory.fetchrow(_SQL["organisation_of_id"], org_id)
    return None if row is None else Organisation(row["org_id"], row["key"], row["name"])


async def register_device(
    directory: Connection, *, device_id: UUID, user_id: UUID, name: str, now: datetime
) -> None:
    """Note that the user signs in on the device.

    Raises:
        SeraiError: `device_unknown` if it is another user's or was revoked.
    """
    if await directory.fetchval(_SQL["register_device"], device_id, user_id, name, now) is None:
        raise SeraiError(Code.DEVICE_UNKNOWN)


async def revoke_device(directory: Connection, *, device_id: UUID, now: datetime) -> list[UUID]:
    """End the device's sessions and let it sign in no more; return the ended ones."""
    async with directory.transaction():
        await directory.execute(_SQL["revoke_device"], device_id, now)
        rows = await directory.fetch(_SQL["end_sessions_of_device"], device_id, now)
    return [row["session_id"] for row in rows]


async def _end_sessions(
    directory: Connection, user_id: UUID, reason: str, now: datetime
) -> list[UUID]:
    rows = await directory.fetch(_SQL["end_sessions_of_user"], user_id, reason, now)
    return [row["session_id"] for row in rows]


def _user(row: Record) -> User:
    return User(row["user_id"], row["email"], row["name"], row["state"] == "active")
