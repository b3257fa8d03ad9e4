"""A gateway beside a hotel's server, and listeners that speak the protocol by a library of others.

Owns the gateway's life and the sockets of the listeners. Never asserts a promise of the gateway.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp

from integration.client.hotel import Hotel, guest
from serai.app.live import live_gateway
from serai.app.organisations import give_role
from serai.app.people import ensure_user, new_password_for
from serai.gateway.front import Front

SECONDS = 60.0
"""A bound for everything that is waited for: the machine may be busy."""
Frame = dict[str, Any]
_GO_ON = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PONG)


@dataclass
class Listener:
    """One open socket."""

    socket: aiohttp.ClientWebSocketResponse
    frames: list[Frame] = field(default_factory=list)

    @property
    def transport(self) -> asyncio.Transport:
        """What it reads by: paused, it reads nothing, and the kernel's buffers fill."""
        connection = self.socket._response.connection
        assert connection is not None
        assert isinstance(connection.transport, asyncio.Transport)
        return connection.transport

    async def say(self, **frame: object) -> None:
        """Send a frame."""
        await self.socket.send_json(frame)

    async def next(self, kind: str | None = None) -> Frame:
        """Return the next frame, which is of this kind."""
        async with asyncio.timeout(SECONDS):
            message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame = json.loads(message.data)
        self.frames.append(frame)
        assert kind is None or frame["type"] == kind, frame
        return frame

    async def nothing(self) -> None:
        """Assert that nothing was sent to it up to now: its ping is answered first."""
        await self.socket.ping(b"anything?")
        async with asyncio.timeout(SECONDS):
            message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.PONG, message

    async def until_version(self, version: int) -> list[Frame]:
        """Return the frames with changes up to one that leads to a version."""
        heard = [await self.next("changes")]
        while heard[-1]["to"] < version:
            heard.append(await self.next("changes"))
        return heard

    async def closed(self) -> int:
        """Return the close code, after what frames there are."""
        async with asyncio.timeout(SECONDS):
            while (message := await self.socket.receive()).type in _GO_ON:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.frames.append(json.loads(message.data))
        code = self.socket.close_code
        assert code is not None, message
        return code


@dataclass(frozen=True)
class Person:
    """Somebody of the hotel, signed in."""

    user_id: UUID
    token: str
    refresh_token: str


@dataclass
class Live:
    """A hotel and its gateway."""

    hotel: Hotel
    front: Front
    session: aiohttp.ClientSession
    token: str

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.front.port}/v1/live"

    async def connect(self, **hello: object) -> Listener:
        """Open a socket and say hello; `accessToken=...` overrides the owner's."""
        socket = await self.session.ws_connect(self.url, autoping=False)
        listener = Listener(socket)
        await listener.say(type="hello", **{"accessToken": self.token, **hello})
        return listener

    async def listen(self, **hello: object) -> Listener:
        """Open a socket that is live."""
        listener = await self.connect(**hello)
        await listener.next("ready")
        return listener

    async def answer(self, path: str, body: object, token: str | None = None) -> Any:
        """Post to the API as the owner, or as whoever has the token; return what it answers."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        headers |= {"Idempotency-Key": secrets.token_hex(8)}
        url = f"{self.hotel.url}{path}"
        async with self.session.post(url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            text = await answer.text()
            return json.loads(text) if text else None

    async def add_guest(self, name: str = "Ada") -> str:
        """Enter a guest by REST; return its id."""
        return (await self.answer("/v1/guests", guest(self.hotel, name)))["id"]

    async def add_staff(self, name: str = "Cy") -> str:
        """Enter an employee by REST; return its id."""
        more = {"department": "rooms", "active": True}
        return (await self.answer("/v1/staff", guest(self.hotel, name) | more))["id"]

    async def pull(self, token: str | None = None, since: str | None = None) -> Any:
        """Pull guests and stays; return the answer's first collection."""
        names = ("guests", "stays")
        wanted: list[Any] = [{"name": name, "sinceToken": since} for name in names]
        if since is None:
            wanted = [{"name": name} for name in names]
        form = {"collections": wanted, "batchSize": 1000}
        return (await self.answer("/v1/sync/changes", form, token))["collections"][0]

    async def in_step(self, token: str | None = None) -> str:
        """Return the since-token of a device that holds everything."""
        found = await self.pull(token)
        while found["hasMore"]:
            found = await self.pull(token, found["nextToken"])
        return found["nextToken"]

    async def person(self, role: str) -> Person:
        """Add somebody with a role at every property; return them, signed in."""
        runtime, org_id = self.hotel.runtime, self.hotel.org_id
        email = f"{role}-{secrets.token_hex(4)}@example.com"
        user = await ensure_user(runtime, email)
        password = await new_password_for(runtime, user.user_id)
        await give_role(runtime, org_id, user.user_id, role, None)
        form = {"email": email, "password": password, "organisation": org_id}
        url = f"{self.hotel.url}/v1/auth/token"
        async with self.session.post(url, json=form) as answer:
            tokens = await answer.json()
        return Person(user.user_id, tokens["accessToken"], tokens["refreshToken"])

    async def version(self) -> int:
        """Return where the organisation stands."""
        ((version,),) = self.hotel.sql(
            "select version from serai.org where org_id = %s", self.hotel.org_id
        )
        return version


@asynccontextmanager
async def a_gateway(hotel: Hotel) -> AsyncGenerator[Live]:
    """Start a gateway in this process, its table in another one."""
    async with (
        live_gateway(hotel.runtime) as front,
        aiohttp.ClientSession() as session,
    ):
        yield Live(hotel, front, session, await hotel.sign_in())
