"""Concurrent writers over HTTP, and a ledger of what they were told, kept apart from the server.

Owns desks that write through REST under idempotency keys, and phones that push numbered mutations;
both send the same again until there is an answer, as the protocol asks. Promises that a write is in
the ledger as acknowledged only after its answer was read, that anything but an answer, a lost
connection or a documented refusal "later" fails the test, and that waits are for counts of
acknowledged writes. Never looks into the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from scenarios.house import SECONDS, House, a_name
from serai.client import AccessToken
from serai.core.ids import uuid7

BY_DEVICE = "device"
"""How the names begin that devices with a ledger of their own write (`scenarios.town`)."""
PUSHED = 4
_LATER = {503, 504}
_EXPIRED = "access_expired"
STORED = """
select id, doc::json ->> 'name' from serai.row where org_id = %s and collection = 5
"""
LOGGED = "select id from serai.log where org_id = %s and collection = 5"


class Load:
    """The writers and their ledger.

    Attributes:
        before: names of guests that were there when it began.
        attempted: names of guests that were sent.
        acknowledged: names whose write was answered as done.
        refused: how often the answer was "later".
        codes: the same by the code of the problem.
        replayed: answers that were given before, and had not arrived.
        lost: why there was no answer, each time.
    """

    def __init__(
        self, house: House, session: aiohttp.ClientSession, token: AccessToken | None
    ) -> None:
        self.house = house
        self._token = token
        self.before: set[str] = set()
        self.attempted: set[str] = set()
        self.acknowledged: set[str] = set()
        self.refused: Counter[int] = Counter()
        self.codes: Counter[str] = Counter()
        self.replayed = 0
        self.lost: list[str] = []
        self.over = False
        self._session = session
        self._more = asyncio.Condition()

    async def reached(self, more: int) -> None:
        """Wait until so many more writes are acknowledged."""
        goal = len(self.acknowledged) + more
        async with asyncio.timeout(SECONDS), self._more:
            await self._more.wait_for(lambda: len(self.acknowledged) >= goal)

    async def told(self, code: str, times: int) -> None:
        """Wait until so many further answers were this code."""
        goal = self.codes[code] + times
        async with asyncio.timeout(SECONDS), self._more:
            await self._more.wait_for(lambda: self.codes[code] >= goal)

    async def _a_moment(self) -> None:
        """Wait until somebody's write is acknowledged, at most a moment: as a device backs off."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05), self._more:
                await self._more.wait()

    async def _done(self, *names: str) -> None:
        async with self._more:
            self.acknowledged.update(names)
            self._more.notify_all()

    async def desk(self) -> None:
        """Enter one guest after the other."""
        while not self.over:
            name = a_name()
            self.attempted.add(name)
            guest = {"property_id": str(self.house.place), "name": name}
            answer = await self._answered("/v1/guests", guest, {"Idempotency-Key": str(uuid4())})
            assert answer["data"]["name"] == name, answer
            await self._done(name)

    async def phone(self) -> None:
        """Push one batch of new guests after the other."""
        device, number = uuid7(), 0
        while not self.over:
            names = [a_name() for _ in range(PUSHED)]
            self.attempted.update(names)
            mutations = [self._insert(number + n, name) for n, name in enumerate(names, 1)]
            body = {"deviceId": str(device), "mutations": mutations}
            answer = await self._answered("/v1/sync/mutations", body, {})
            results = answer["results"]
            assert [each["status"] for each in results] == ["applied"] * PUSHED, answer
            assert [each["row"]["name"] for each in results] == names, answer
            number += PUSHED
            await self._done(*names)

    def _insert(self, number: int, name: str) -> dict[str, Any]:
        fields = {"property_id": str(self.house.place), "name": name}
        new: UUID = uuid7()
        return {
            "number": number,
            "collection": "guests",
            "id": str(new),
            "op": "insert",
            "fields": fields,
        }

    async def _answered(
        self, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> dict[str, Any]:
        """Send the same until it is answered."""
        text, expired = json.dumps(body), False
        async with asyncio.timeout(SECONDS):
            while True:
                await self.house.server.up.wait()
                try:
                    token = self.house.token if self._token is None else await self._token(expired)
                    async with self._session.post(
                        self.house.server.url + path,
                        data=text,
                        headers={"Authorization": f"Bearer {token}", **headers},
                    ) as answer:
                        found = await answer.json(content_type=None)
                        expired = self._token is not None and found.get("code") == _EXPIRED
                        if expired:
                            continue
                        if answer.status in (200, 201):
                            self.replayed += answer.headers.get("Idempotency-Replayed") == "true"
                            results = found.get("results", ())
                            self.replayed += sum(each.get("replayed", False) for each in results)
                            return found
                        assert answer.status in _LATER, (answer.status, found)
                        assert "Retry-After" in answer.headers or answer.status == 504, found
                        self.refused[answer.status] += 1
                        self.codes[found["code"]] += 1
                        async with self._more:
                            self._more.notify_all()
                except (aiohttp.ClientError, json.JSONDecodeError) as error:
                    self.lost.append(repr(error))
                await self._a_moment()

    async def check(self) -> None:
        """Compare what is stored with the ledger: everything acknowledged, once; nothing else."""
        stored = await self.house.sql_when_up(STORED, self.house.org_id)
        # Counted here: of tables that have just been filled PostgreSQL has no idea, and its plan of
        # one statement for both took minutes.
        logged = Counter(await self.house.sql_when_up(LOGGED, self.house.org_id))
        found = [
            (name, logged[(row_id,)])
            for row_id, name in stored
            if not name.startswith(BY_DEVICE) and name not in self.before
        ]
        names = [name for name, _ in found]
        assert sorted(self.acknowledged - set(names)) == [], "acknowledged and lost"
        assert sorted(set(names) - self.attempted) == [], "nobody wrote it"
        assert [name for name, times in Counter(names).items() if times > 1] == [], "doubled"
        assert [name for name, entries in found if entries != 1] == [], "doubled in the log"


@asynccontextmanager
async def under_load(
    house: House, *, desks: int = 6, phones: int = 3, token: AccessToken | None = None
) -> AsyncGenerator[Load]:
    """Let them write during the block; after it every write is answered, and all is compared.

    Args:
        token: of all of them; None: the house's, which runs for a quarter of an hour.
    """
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as group:
        load = Load(house, session, token)
        load.before = {name for _, name in await house.sql_when_up(STORED, house.org_id)}
        for _ in range(desks):
            group.create_task(load.desk())
        for _ in range(phones):
            group.create_task(load.phone())
        yield load
        load.over = True
    assert load.attempted == load.acknowledged
    await load.check()
