"""Access tokens as a device has them: signed in once, refreshed when the server says so.

Owns one session of one owner. Promises that nobody signs in again: a server that wants that fails
the test.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import aiohttp

from integration.http.house import Inn


class Keys:
    """One session. `refreshed`: how often."""

    def __init__(self, session: aiohttp.ClientSession, url: str, answer: dict[str, Any]) -> None:
        self._session, self._url = session, url
        self._answer = answer
        self._turn = asyncio.Lock()
        self.refreshed = 0

    @classmethod
    async def of(cls, session: aiohttp.ClientSession, url: str, inn: Inn) -> Keys:
        """Sign in."""
        form = {"email": inn.email, "password": inn.password, "organisation": inn.org_id}
        async with session.post(f"{url}/v1/auth/token", json=form) as answer:
            assert answer.status == 200, await answer.text()
            return cls(session, url, await answer.json())

    async def token(self, expired: bool) -> str:
        """Return the access token, a new one if the last is refused."""
        async with self._turn:
            if expired:
                await self._refresh()
            return self._answer["accessToken"]

    async def _refresh(self) -> None:
        form = {"refreshToken": self._answer["refreshToken"]}
        async with self._session.post(f"{self._url}/v1/auth/refresh", json=form) as answer:
            assert answer.status == 200, await answer.text()
            self._answer = await answer.json()
            self.refreshed += 1

    async def issued_at(self) -> int:
        """Return what the server took for the time when it was asked for a new one just now."""
        token = await self.token(True)
        body = token.split(".")[1]
        return int(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["iat"])
