"""Ten thousand random requests across organisations, with canary rows (I5).

Each organisation's rows hold a word of its own that nobody else knows. Callers of several
organisations ask for everything in every way, with ids, tokens, cursors and device numbers of their
own and of one another. Whatever is answered, no byte of another organisation's canary is in a body,
a header or a line of the log. The requests follow from one seed.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass, field

import pytest_asyncio

from integration.http.house import (
    CHANGE,
    ORDER,
    Answer,
    Api,
    Inn,
    fill,
    make_inn,
    new_row,
    owner_of,
)
from serai.core.ids import uuid7

REQUESTS = 10_000
SEED = 20_261_125
AT_ONCE = 16
ORGANISATIONS = 3


@dataclass
class Guesser:
    """One organisation's owner, who tries everything with what others hold."""

    inn: Inn
    api: Api
    canary: str
    tokens: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=lambda: [str(uuid7())])


@pytest_asyncio.fixture
async def guessers(fleet, server):
    async with asyncio.TaskGroup() as group:
        making = [
            group.create_task(make_inn(fleet[0], f"g{n}-{secrets.token_hex(4)}"))
            for n in range(ORGANISATIONS)
        ]
    found = []
    contexts = [owner_of(task.result(), server.url) for task in making]
    for task, context in zip(making, contexts, strict=True):
        api = await context.__aenter__()
        canary = f"canary{secrets.token_hex(12)}"
        await fill(api, task.result(), canary)
        found.append(Guesser(task.result(), api, canary))
    yield found
    for context in contexts:
        await context.__aexit__(None, None, None)


class Requests:
    """The random requests of one run."""

    def __init__(self, guessers: list[Guesser], seed: int) -> None:
        self.random = random.Random(seed)
        self.guessers = guessers

    def someone(self) -> Guesser:
        return self.random.choice(self.guessers)

    def an_id(self, name: str) -> str:
        """Return an id of a row: of anybody, of another collection now and then, or of none."""
        other = self.random.choice(ORDER) if self.random.random() < 0.1 else name
        found = self.someone().inn.rows[other]
        return str(uuid7()) if self.random.random() < 0.05 else found

    def a_key(self) -> str:
        """Return an idempotency key: a new one, or one that anybody has used."""
        used = self.someone().keys
        if used and self.random.random() < 0.3:
            return self.random.choice(used)
        used.append(secrets.token_hex(8))
        return used[-1]

    async def one(self) -> tuple[Guesser, Answer]:
        """Send one request; return who asked and what came back."""
        who = self.someone()
        ways = (self.get, self.list, self.write, self.pull, self.push, self.other)
        way = self.random.choices(ways, weights=(4, 4, 4, 3, 2, 1))[0]
        return who, await way(who)

    async def get(self, who: Guesser) -> Answer:
        name = self.random.choice(ORDER)
        etags = self.someone().etags
        held = self.random.choice(etags) if etags and self.random.random() < 0.3 else None
        found = await who.api("GET", f"/v1/{name}/{self.an_id(name)}", If_None_Match=held)
        if "ETag" in found.headers:
            who.etags.append(found.headers["ETag"])
        return found

    async def list(self, who: Guesser) -> Answer:
        name = self.random.choice(ORDER)
        query = [f"limit={self.random.choice((1, 2, 50, 500))}"]
        if self.random.random() < 0.4:
            cursors = self.someone().cursors
            query += [f"cursor={self.random.choice(cursors)}"] if cursors else []
        elif self.random.random() < 0.5:
            query.append(f"order={self.random.choice(('id', '-id', 'property_id', 'name'))}")
        if self.random.random() < 0.3:
            query.append(f"property_id={self.an_id('properties')}")
        if self.random.random() < 0.2:
            query.append(f"note={self.someone().canary}")
        found = await who.api("GET", f"/v1/{name}?{'&'.join(query)}")
        if found.status == 200 and found.json["nextCursor"]:
            who.cursors.append(found.json["nextCursor"])
        return found

    async def write(self, who: Guesser) -> Answer:
        name = self.random.choice([n for n in ORDER if n != "day_closes"])
        key = self.a_key()
        if self.random.random() < 0.5:
            rows = {n: self.an_id(n) for n in ORDER}
            rows["expense_account"] = self.someone().inn.rows["expense_account"]
            row = new_row(name, rows, who.canary)
            if self.random.random() < 0.3:
                row["id"] = self.an_id(name)
            return await who.api("POST", f"/v1/{name}", row, Idempotency_Key=key)
        if self.random.random() < 0.7:
            change = CHANGE.get(name, {})
            path = f"/v1/{name}/{self.an_id(name)}"
            return await who.api("PATCH", path, change, Idempotency_Key=key)
        path = f"/v1/{name}/{uuid7() if self.random.random() < 0.9 else self.an_id(name)}"
        return await who.api("DELETE", path, Idempotency_Key=key)

    async def pull(self, who: Guesser) -> Answer:
        wanted = []
        tokens = self.someone().tokens
        token = self.random.choice(tokens) if tokens and self.random.random() < 0.6 else None
        for name in self.random.sample(ORDER, self.random.randint(1, 4)):
            entry: dict[str, object] = {"name": name}
            if token is not None:
                entry["sinceToken"] = token
            if self.random.random() < 0.2:
                entry["propertyIds"] = [self.an_id("properties")]
            wanted.append(entry)
        body = {"collections": wanted, "batchSize": self.random.choice((1, 10, 500))}
        found = await who.api("POST", "/v1/sync/changes", body)
        if found.status == 200:
            who.tokens += [part["nextToken"] for part in found.json["collections"]]
        return found

    async def push(self, who: Guesser) -> Answer:
        mutations = []
        first = self.random.choice((1, 1, 2, 3))
        for number in range(first, first + self.random.randint(1, 3)):
            name = self.random.choice([n for n in CHANGE if n != "day_closes"])
            mutation = {"number": number, "collection": name, "id": self.an_id(name)}
            op = self.random.choice(("insert", "update"))
            rows = {n: self.an_id(n) for n in (*ORDER, "properties")}
            fields = CHANGE[name] if op == "update" else new_row(name, rows, who.canary)
            mutations.append(mutation | {"op": op, "base": 1, "fields": fields})
        device = self.random.choice(self.someone().devices)
        if self.random.random() < 0.3:
            device = str(uuid7())
            who.devices.append(device)
        body: dict[str, object] = {"deviceId": device, "mutations": mutations}
        if self.random.random() < 0.5:
            body["pull"] = {"collections": [{"name": "guests"}, {"name": "staff_pay"}]}
        return await who.api("POST", "/v1/sync/mutations", body)

    async def other(self, who: Guesser) -> Answer:
        path = self.random.choice(
            (
                "/v1/me",
                "/v1/api-keys",
                "/v1/sync/refusals?all=true",
                f"/v1/sync/refusals?after={self.random.randint(1, 50)}",
                f"/v1/{self.an_id('guests')}",
                f"/v1/guests?name={self.someone().canary}",
            )
        )
        return await who.api("GET", path)


async def test_no_byte_of_another_organisation_is_in_ten_thousand_answers(guessers, server):
    requests = Requests(guessers, SEED)
    canaries = {g.canary: g for g in guessers}
    seen: dict[int, int] = {}
    own = 0

    async def some() -> None:
        nonlocal own
        for _ in range(REQUESTS // AT_ONCE):
            who, answer = await requests.one()
            seen[answer.status] = seen.get(answer.status, 0) + 1
            shown = answer.body.decode() + repr(dict(answer.headers))
            for canary, owner in canaries.items():
                if canary in shown:
                    assert owner is who, (answer, dict(answer.headers))
                    own += 1
            assert answer.status < 500, answer

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    assert sum(seen.values()) == REQUESTS
    # The run is worth something: rows were shown to their owners, much was refused, writes applied.
    assert own > REQUESTS // 10
    assert {200, 201, 304, 400, 404, 409, 422} <= seen.keys(), seen
    log = server.log
    for guesser in guessers:
        assert guesser.canary not in log
        assert guesser.api.token is not None
        assert guesser.api.token not in log
