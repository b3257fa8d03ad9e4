"""The organisation next door, on the same server and store, and those who try another's tokens.

Owns the writes of a second organisation, whose rows have the ids of the first one's and a mark in
each text, so that a read which forgets whose row it wants shows it at once (I5); and requests under
tokens that are altered, a colleague's, or of the other organisation (I7). Promises to change
nothing of the first organisation. Never judges.
"""

from __future__ import annotations

import asyncio
import hashlib
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from serai.core.errors import SeraiError
from serai.log.intent import RowIntent, WriteIntent
from serai.model.fields import Value
from serai.ports.store import IdempotencyKey
from serai.testing.simulation.callers import NEIGHBOUR, NEIGHBOUR_ORG
from serai.testing.simulation.history import History
from serai.testing.simulation.hotel import COLLECTIONS, HOTEL
from serai.testing.simulation.office import PLACES, Root
from serai.testing.simulation.server import FORGER, Reply, Server
from serai.testing.simulation.trace import Trace
from serai.wire.sync import ChangesRequest, WantedCollection

CANARY: Final = "canary"
_COPIED: Final = ("guests", "stays", "keys")


class Neighbour:
    """The neighbour of one run.

    Attributes:
        tokens: the last one that the server gave to each user.
    """

    def __init__(self, server: Server, history: History, trace: Trace, random: Random) -> None:
        """Move in."""
        self.tokens: dict[UUID, str] = {}
        self._server = server
        self._history = history
        self._trace = trace
        self._random = random
        self._keys = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def furnish(self) -> None:
        """Make the same places, and give the one user every right."""
        await self._server.create_org(NEIGHBOUR_ORG)
        for place in PLACES:
            await self._write("properties", place, {"name": CANARY})
        membership = {"user_id": str(NEIGHBOUR), "role": "owner", "property_id": None}
        await self._write("memberships", UUID(int=0xCA), {**membership})
        await self._write("guests", UUID(int=0xCB), {"name": CANARY})

    def act(self) -> None:
        """Write a row with the id of one of the first organisation's, and look at everything."""
        named = [row for row in self._history.live if HOTEL.by_number[row[0]].name in _COPIED]
        if named:
            number, row_id = self._random.choice(named)
            fields = _marked(HOTEL.by_number[number].name, self._random)
            task = asyncio.get_running_loop().create_task(
                self._write(HOTEL.by_number[number].name, row_id, fields)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._pull("N", NEIGHBOUR, self.tokens.get(NEIGHBOUR))

    def forge(self, users: list[UUID]) -> None:
        """Try a token that is not the caller's."""
        known = [user for user in users if user in self.tokens]
        if not known:
            return
        user = self._random.choice(known)
        token = self.tokens[user]
        others = [each for each in users if each != user]
        match self._random.randrange(3):
            case 0:
                self._trace.fault(FORGER, "forged_colleague")
                self._pull(FORGER, self._random.choice(others), token)
            case 1:
                self._trace.fault(FORGER, "forged_neighbour")
                self._pull(FORGER, NEIGHBOUR, token)
            case _:
                self._trace.fault(FORGER, "forged_altered")
                place = self._random.randrange(len(token))
                letter = "A" if token[place] != "A" else "B"
                self._pull(FORGER, user, token[:place] + letter + token[place + 1 :])

    def notice(self, user: UUID, body: bytes) -> None:
        """Keep the token of an answer."""
        answer = msgspec.json.decode(body)
        parts = (answer.get("pull") or answer).get("collections", [])
        if parts and parts[0]["nextToken"]:
            self.tokens[user] = parts[0]["nextToken"]

    def _pull(self, device: str, user: UUID, token: str | None) -> None:
        names = [WantedCollection(name, token) for name in COLLECTIONS]
        body = msgspec.json.encode(ChangesRequest(names, 100))
        self._server.receive(device, user, "pull", body, None, _ignored)

    async def _write(self, name: str, row_id: UUID, fields: dict[str, Value]) -> None:
        self._keys += 1
        key = f"neighbour-{self._keys}"
        row = {each: fields.get(each) for each in HOTEL.by_name[name].fields}
        intent = WriteIntent(
            org_id=NEIGHBOUR_ORG,
            actor=Root(),
            rows=(RowIntent(HOTEL.by_name[name], "insert", row_id, row),),
            once=IdempotencyKey(NEIGHBOUR, key),
            body_hash=hashlib.sha256(key.encode()).digest(),
        )
        try:
            await self._server.write(intent)
        except SeraiError as error:
            # Whether it is written matters to nobody but the neighbour.
            self._trace.note("next", f"{key} is refused: {error.code.text}")


def _marked(name: str, random: Random) -> dict[str, Value]:
    place: dict[str, Value] = {"property_id": str(PLACES[0])}
    match name:
        case "guests":
            return {"name": CANARY}
        case "stays":
            return {**place, "room": CANARY, "paid": 0}
        case _:
            return {**place, "number": random.randrange(10**6), "holder": CANARY}


def _ignored(reply: Reply | None) -> None:
    """Nobody waits for it; the oracle sees every answer."""
    del reply
