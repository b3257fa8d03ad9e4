"""An OpenID Connect provider on the loopback address, as far as Serai sees one: a set of keys.

Owns a real server on a real socket, and what it does wrong when a test asks for it. Promises that
it counts each request, and that one which it does not answer ends with the server. Never asserts
anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from serai.gate.issuers import TrustedIssuer
from unit.gate.made_tokens import APP, WEB, PrivateKey, claims, private_key, public_jwk, signed
from unit.gate.support import SetClock

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Provider:
    """A provider.

    Attributes:
        clock: of the moment at which tokens are issued.
        keys: kid -> key, as they are published.
        asked: paths that were asked for, in order.
        answer: what to do instead of publishing the keys.
        domains: that it may vouch for.
    """

    clock: SetClock
    keys: dict[str, PrivateKey] = field(default_factory=lambda: {"k1": private_key("RSA")})
    asked: list[str] = field(default_factory=list)
    answer: Answer | None = None
    domains: frozenset[str] = frozenset({"example.org"})
    url: str = ""
    came: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def trusted(self) -> TrustedIssuer:
        return TrustedIssuer(self.url, f"{self.url}/keys", frozenset({APP, WEB}), self.domains)

    def token(self, *, kid: str = "k1", alg: str = "RS256", **changes: Any) -> str:
        """Return a token of this moment."""
        body = claims(self.clock.now(), **{"iss": self.url, **changes})
        return signed(body, self.keys.get(kid), alg=alg, kid=kid)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [public_jwk(key, kid) for kid, key in self.keys.items()]}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.came.set()
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response(self.jwks())

    async def silent(self, request: web.Request) -> web.StreamResponse:
        """Take the request and say nothing."""
        assert request.path == "/keys"
        await self.gone.wait()
        raise web.HTTPServiceUnavailable

    async def stuck(self, request: web.Request) -> web.StreamResponse:
        """Send half of the keys and nothing more."""
        whole = json.dumps(self.jwks()).encode()
        answer = web.StreamResponse(headers={"Content-Length": str(len(whole))})
        await answer.prepare(request)
        await answer.write(whole[: len(whole) // 2])
        await self.gone.wait()
        return answer

    async def endless(self, request: web.Request) -> web.StreamResponse:
        """Send good keys, and then spaces for as long as somebody listens."""
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(json.dumps(self.jwks()).encode())
        while not self.gone.is_set():
            try:
                await answer.write(b" " * 16_384)
            except ConnectionError:
                # Who asked has hung up, which is what is wanted.
                break
        return answer


@asynccontextmanager
async def provider(clock: SetClock, port: int = 0) -> AsyncGenerator[Provider]:
    """Yield a provider that runs; 0 for any free port."""
    made = Provider(clock)
    application = web.Application()
    application.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        made.gone.set()
        await runner.cleanup()
