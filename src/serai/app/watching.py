"""Watching an organisation from a terminal: a listener like any other, over a socket.

Owns the credential of an operator's listener and the way back after a connection was lost. Promises
that what is yielded came over the socket, in order, and that a gap between two connections can be
seen by the versions. Never reads the log itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp
import msgspec

from serai.app.people import user_id_of
from serai.app.runtime import Runtime
from serai.core.errors import Code, SeraiError
from serai.core.live_limits import LIVE_FRAME_BYTES_MAX
from serai.gate.access import AccessTokens
from serai.gate.keys import KeyRing, read_signing_keys
from serai.ports.store import ListQuery

_CREDIT: Final = 500
_AGAIN_SECONDS: Final = 1.0
_OWNERS_MAX: Final = 100
Frame = dict[str, Any]


async def watched(runtime: Runtime, url: str, org_id: int, user_id: UUID) -> AsyncGenerator[Frame]:
    """Yield what a member of an organisation is told, for ever: frames as they come. A frame
    `{"type": "lost"}` stands for a connection that ended; the next `ready` says from where it goes
    on.

    Raises:
        SeraiError: the gateway refuses the listener for good.
        OSError: nobody listens at the address, at first.
    """
    before = False
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(
                    url, max_msg_size=2 * LIVE_FRAME_BYTES_MAX, heartbeat=30.0
                ) as socket:
                    before = True
                    token = await _token(runtime, org_id, user_id)
                    hello = {"type": "hello", "accessToken": token, "credit": _CREDIT}
                    await socket.send_json(hello)
                    async for frame in _heard(socket):
                        yield frame
            except aiohttp.ClientError as error:
                if not before:
                    raise OSError(f"{url} does not answer: {error}") from error
            yield {"type": "lost"}
            await asyncio.sleep(_AGAIN_SECONDS)


async def owner_of(runtime: Runtime, org_id: int) -> UUID | None:
    """Return somebody who may see everything of an organisation, None if there is nobody."""
    source = runtime.vertical.grants
    collection = runtime.vertical.by_name[source.collection]
    query = ListQuery(
        org_id,
        collection.number,
        None,
        ((source.role_field, "eq", runtime.vertical.owner_role),),
        limit=_OWNERS_MAX,
    )
    rows = await runtime.homes.at_home(
        org_id, lambda store, _: store.list_rows(query), verified=True
    )
    for _, row in rows:
        fields = msgspec.json.decode(row.doc)
        if fields[source.property_field] is None:
            return UUID(fields[source.user_field])
    return None


async def member_named(runtime: Runtime, org_id: int, email: str | None) -> UUID:
    """Return who is meant: the user with this e-mail, or an owner.

    Raises:
        SeraiError: `not_found`.
    """
    if email is None:
        found = await owner_of(runtime, org_id)
        told = "The organisation has no owner: name a member with --as."
    else:
        found = await user_id_of(runtime, email)
        told = f"Nobody here has the e-mail {email!r}."
    if found is None:
        raise SeraiError(Code.NOT_FOUND, told)
    return found


async def _token(runtime: Runtime, org_id: int, user_id: UUID) -> str:
    """Sign an access token, as whoever holds the directory can."""
    issuer = runtime.settings.issuer
    async with runtime.directory.pool.connection() as directory:
        ring = KeyRing.of(await read_signing_keys(directory), runtime.clock.now())
    tokens = AccessTokens(issuer, issuer, runtime.clock, ring)
    token, _ = tokens.sign(user_id=user_id, org_id=org_id, session_id=uuid4())
    return token


async def _heard(socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[Frame]:
    """Yield frames, and give credit for each."""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        frame = msgspec.json.decode(message.data)
        if frame["type"] == "error" and frame["retry"] == "never":
            raise SeraiError(Code[frame["code"].upper()], frame["detail"])
        yield frame
        if frame["type"] == "changes":
            await socket.send_json({"type": "seen", "version": frame["to"], "credit": 1})
