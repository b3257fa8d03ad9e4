"""Sessions as answers: where a session starts, and the tokens that tell of it.

Owns the step between "this is the user" and the tokens: which organisation the session is in, on
which device, and the access token for it. Promises that the organisation is one of the user's at
that moment, and that no session is started which could not be answered with a token. Never checks a
credential; who calls has done so.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.gate import people
from serai.gate.access import AccessTokens
from serai.gate.forms import token_answer
from serai.gate.mirror import DirectoryMirror
from serai.gate.people import Organisation
from serai.gate.sessions import Session
from serai.shard.connection import Connection
from serai.wire.identity import TokenAnswer


class Place(Protocol):
    """The part of a sign-in's form that says where the session is to be."""

    @property
    def organisation(self) -> int | str | None: ...
    @property
    def device_id(self) -> UUID | None: ...
    @property
    def device_name(self) -> str: ...


class Issuing:
    """Gives tokens for sessions."""

    def __init__(self, tokens: AccessTokens, mirror: DirectoryMirror) -> None:
        self._tokens = tokens
        self._mirror = mirror

    async def ready(self) -> None:
        """Have the keys, before a session is started that could not be answered with a token.

        Raises:
            SeraiError: `unavailable` and its kin.
        """
        self._tokens.use(await self._mirror.fresh())

    async def place(
        self, directory: Connection, user_id: UUID, wanted: Place, now: datetime
    ) -> int | None:
        """Return the organisation of a new session, None if the user has to choose one, and note
        the device.

        Raises:
            SeraiError: `forbidden` (the organisation named is not the user's), `device_unknown`.
        """
        if wanted.organisation is not None:
            chosen = (await named(directory, user_id, wanted.organisation)).org_id
        else:
            listed = await people.organisations_of(directory, user_id)
            chosen = listed[0].org_id if len(listed) == 1 else None
        if wanted.device_id is not None:
            await people.register_device(
                directory,
                device_id=wanted.device_id,
                user_id=user_id,
                name=wanted.device_name,
                now=now,
            )
        return chosen

    async def answer(self, directory: Connection, session: Session) -> TokenAnswer:
        """Return the tokens of a session."""
        listed = await people.organisations_of(directory, session.user_id)
        current, access = None, None
        if session.org_id is not None:
            # Asked again: since the session began, the user may have left the organisation.
            current = await people.organisation_named(directory, session.user_id, session.org_id)
        if current is not None:
            access, _ = self._tokens.sign(
                user_id=session.user_id, org_id=current.org_id, session_id=session.session_id
            )
        return token_answer(session, access, current, listed)


async def named(directory: Connection, user_id: UUID, wanted: int | str) -> Organisation:
    """Return the user's organisation with this number or key.

    Raises:
        SeraiError: `forbidden`: the user has no such one.
    """
    found = await people.organisation_named(directory, user_id, wanted)
    if found is None:
        raise SeraiError(Code.FORBIDDEN, "You are not in this organisation.")
    return found
