"""Identities of other issuers: whose they are, and which ID tokens were used.

Owns `external_identity` and `used_id_token` in the directory: functions over a connection, in the
caller's transaction. Promises that one identity is one user, that an address leads to a user only
when the issuer has verified it and may vouch for its domain, and that nobody is made unless the
caller says so. Never checks a token; who calls has done so.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.gate import people
from serai.gate.id_tokens import SUBJECT, IdToken
from serai.gate.issuers import check_issuer
from serai.shard.connection import Connection
from serai.shard.queries import load_queries

_SQL = load_queries("serai.gate", "external.sql")
_NAME_CHARS_MAX = 200


async def use_token(directory: Connection, token: IdToken) -> bool:
    """Note that the token was used; False if it was used before. Two at once: one gets True."""
    found = await directory.fetchval(_SQL["use_token"], token.signed_sha256, token.forget_at)
    return found is not None


async def forget_tokens(directory: Connection, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` used tokens that nobody can use any more; return how many."""
    # A day more than needed: the clocks of servers differ.
    return await directory.fetchval(_SQL["forget_tokens"], now - timedelta(days=1), limit)


async def user_of_identity(
    directory: Connection, token: IdToken, *, create: bool, now: datetime
) -> UUID:
    """Return whose identity it is. The first time, that is the user with the e-mail which the
    issuer has verified; `create`: made now, without a password, if there is none.

    Raises:
        SeraiError: `identity_unknown`.
    """
    # Twice: another sign-in of the same person may make the link between the look and the insert.
    for _ in range(2):
        known = await directory.fetchval(_SQL["use_identity"], token.issuer, token.subject, now)
        if known is not None:
            return known
        user_id = await _user_of_email(directory, token, create=create, now=now)
        if user_id is None:
            break
        if await directory.fetchval(
            _SQL["link_identity"], token.issuer, token.subject, user_id, now, now
        ):
            return user_id
    raise SeraiError(Code.IDENTITY_UNKNOWN)


async def link(
    directory: Connection, *, user_id: UUID, issuer: str, subject: str, now: datetime
) -> bool:
    """Say that the identity is the user's, by an operator; False if it was so already.

    Raises:
        SeraiError: `fields_invalid` for what no token could name; `not_unique` if the identity is
            another user's, or the user has another one of this issuer.
    """
    try:
        check_issuer(issuer)
    except ValueError as error:
        raise SeraiError(Code.FIELDS_INVALID, errors=(("issuer", f"is wrong: {error}"),)) from None
    if SUBJECT.fullmatch(subject) is None:
        raise SeraiError(Code.FIELDS_INVALID, errors=(("subject", "is no `sub` of a token"),))
    if await directory.fetchval(_SQL["link_identity"], issuer, subject, user_id, now, None):
        return True
    if await directory.fetchval(_SQL["user_of_identity"], issuer, subject) == user_id:
        return False
    reason = "is another user's, or the user has another one there: `serai user unlink` forgets it"
    raise SeraiError(Code.NOT_UNIQUE, errors=(("subject", reason),))


async def issuers_of(directory: Connection, user_id: UUID) -> list[str]:
    """Return the issuers at which the user has an identity."""
    rows = await directory.fetch(_SQL["identities_of_user"], user_id)
    return [row["issuer"] for row in rows]


async def unlink(directory: Connection, *, user_id: UUID, now: datetime) -> tuple[list[str], int]:
    """Forget every identity of the user and end every session; return the issuers, and how many
    sessions have ended. A sign-in that has begun, a first one as well, is waited for.
    """
    async with directory.transaction():
        await directory.fetchval(_SQL["lock_user"], user_id)
        rows = await directory.fetch(_SQL["unlink_identities"], user_id)
        ended = await people.end_sessions(directory, user_id=user_id, now=now)
    return sorted(row["issuer"] for row in rows), len(ended)


async def _user_of_email(
    directory: Connection, token: IdToken, *, create: bool, now: datetime
) -> UUID | None:
    email = people.normal_email(token.verified_email or "")
    if email is None:
        return None
    found = await people.user_of_email(directory, email)
    if found is None and create:
        name = token.name[:_NAME_CHARS_MAX].replace("\x00", "")
        made: UUID | None = await directory.fetchval(_SQL["create_user"], email, name, now)
        if made is not None:
            return made
        # Somebody made the user meanwhile.
        found = await people.user_of_email(directory, email)
    return None if found is None else found[0].user_id
