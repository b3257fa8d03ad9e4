"""People, made by an operator's command.

Owns the making of a user with a first password. Promises that an existing password is kept, and
that a command which fails half-way leaves a user without one, whom the next run gives one: no
password is made that nobody reads. Never stores or logs one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

from serai.app.runtime import Runtime
from serai.core.errors import Code, SeraiError
from serai.gate import external, people
from serai.gate.passwords import Passwords

_PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class FirstUser:
    """A user. `has_password` is False until `first_password` gave one."""

    user_id: UUID
    has_password: bool


async def ensure_user(runtime: Runtime, email: str) -> FirstUser:
    """Return the user with this e-mail, made now, without a password, if there was none.

    Raises:
        SeraiError: `fields_invalid` for what is no e-mail address.
    """
    async with runtime.directory.pool.connection() as directory:
        found = await people.user_of_email(directory, email)
        if found is None:
            try:
                user_id = await people.create_user(
                    directory, email=email, name="", password_hash=None, now=runtime.clock.now()
                )
            except SeraiError as error:
                if error.code is not Code.NOT_UNIQUE:
                    raise
                # Somebody else made the user meanwhile.
                found = await people.user_of_email(directory, email)
                assert found is not None, "a user is disabled, never removed"
            else:
                return FirstUser(user_id, has_password=False)
    user, password_hash = found
    return FirstUser(user.user_id, has_password=password_hash is not None)


async def user_id_of(runtime: Runtime, email: str) -> UUID | None:
    """Return the user with this e-mail, None if there is none."""
    async with runtime.directory.pool.connection() as directory:
        found = await people.user_of_email(directory, email)
    return None if found is None else found[0].user_id


async def first_password(runtime: Runtime, user: FirstUser) -> str | None:
    """Give the user a password and return it; None if there is one. The last step of a command."""
    return None if user.has_password else await new_password_for(runtime, user.user_id)


async def new_password_for(runtime: Runtime, user_id: UUID) -> str:
    """Give the user a new password and return it; their sessions end."""
    password, digest = await _new_password()
    async with runtime.directory.pool.connection() as directory:
        await people.set_password(
            directory, user_id=user_id, password_hash=digest, now=runtime.clock.now()
        )
    return password


async def sign_out_everywhere(runtime: Runtime, user_id: UUID) -> int:
    """End every session of the user; return how many there were."""
    async with runtime.directory.pool.connection() as directory:
        ended = await people.end_sessions(directory, user_id=user_id, now=runtime.clock.now())
    return len(ended)


async def shut_out(runtime: Runtime, user_id: UUID) -> int:
    """Let the user sign in no more and end every session; return how many there were."""
    async with runtime.directory.pool.connection() as directory:
        ended = await people.disable_user(directory, user_id=user_id, now=runtime.clock.now())
    return len(ended)


async def let_in(runtime: Runtime, user_id: UUID) -> None:
    """Let the user sign in again."""
    async with runtime.directory.pool.connection() as directory:
        await people.enable_user(directory, user_id=user_id)


async def link_identity(runtime: Runtime, user_id: UUID, issuer: str, subject: str) -> bool:
    """Say that an identity of another issuer is the user's; False if it was so already.

    Raises:
        SeraiError: `fields_invalid`, `not_unique`.
    """
    async with runtime.directory.pool.connection() as directory:
        return await external.link(
            directory, user_id=user_id, issuer=issuer, subject=subject, now=runtime.clock.now()
        )


async def issuers_of(runtime: Runtime, user_id: UUID) -> list[str]:
    """Return the issuers at which the user has an identity."""
    async with runtime.directory.pool.connection() as directory:
        return await external.issuers_of(directory, user_id)


async def unlink_identities(runtime: Runtime, user_id: UUID) -> tuple[list[str], int]:
    """Forget the user's identities of other issuers and end every session; return the issuers, and
    how many sessions there were.
    """
    async with runtime.directory.pool.connection() as directory:
        return await external.unlink(directory, user_id=user_id, now=runtime.clock.now())


async def _new_password() -> tuple[str, str]:
    """Return (password, its hash)."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    hashing = Passwords()
    try:
        return password, await hashing.hash(password)
    finally:
        hashing.close()
