"""Clocks jump: a server's by a day ahead and back, a device's by a year, a keeper's by months.

Owns what a wrong clock may cost: a refreshed token, a check anew. In the first scenario the
processes that serve and the primary of shard-1 share a clock which is set under load
(`scenarios.clock`: the processes that ship see it jump); the directory, shard-2 and both replicas
keep the time. In the second the app of a phone runs by such a clock. In the third the keeper of
logs is called here with a clock of its own, because it looks every half minute. Never decides what
is right but by the ledgers of the loads and the devices, and by what PostgreSQL holds.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from integration.client.hotel import a_phone, held
from integration.http.house import Api
from scenarios.clock import WallClock, a_clock
from scenarios.fleet import a_fleet
from scenarios.house import SECONDS, House
from scenarios.keys import Keys
from scenarios.load import BY_DEVICE, Load, under_load
from scenarios.test_phone_is_killed import names, switched_on
from scenarios.town import phones, stored
from serai.app.keeping import keep_round, keeper_of
from serai.app.runtime import Runtime, open_runtime
from serai.app.settings import Settings
from serai.core.clock import SystemClock
from serai.core.ids import uuid7
from serai.log.life_postgres import PostgresLifeStore

BETWEEN = 30
SOON_SECONDS = 3_600
"""By which a clock may differ that is neither a day ahead nor a day behind."""


@dataclass
class Once:
    """What is sent again and again, across jumps, and must be done once.

    Attributes:
        sent: days that the clock was ahead, key, body, answer. Just after a jump some of the
            connections still go by the days before it.
        number: of the last mutation.
    """

    keys: Keys
    api: Api
    house: House
    sent: list[tuple[tuple[int, ...], str, dict[str, str], Any]] = field(default_factory=list)
    device: str = field(default_factory=lambda: str(uuid7()))
    number: int = 0
    mutations: list[dict[str, Any]] = field(default_factory=list)

    async def asked(self, path: str, body: object, key: str | None = None) -> Any:
        """Send it with a token that runs."""
        for expired in (False, True):
            token = await self.keys.token(expired)
            answer = await Api(self.api.session, self.api.url, token)(
                "POST", path, body, Idempotency_Key=key
            )
            if answer.status != 401:
                break
        assert answer.status in (200, 201), answer
        return answer

    async def again(self, *days: int) -> None:
        """Send everything again that counts still, then something new."""
        for when, key, body, first in self.sent:
            if all(abs(then - now) <= 1 for then in when for now in days):
                answer = await self.asked("/v1/guests", body, key)
                assert answer.headers.get("Idempotency-Replayed") == "true", (when, days)
                assert answer.json == first
        key, name = uuid7().hex, f"{BY_DEVICE} once {len(self.sent)}"
        body = {"property_id": str(self.house.place), "name": name}
        self.sent.append((days, key, body, (await self.asked("/v1/guests", body, key)).json))
        for mutation in self.mutations:
            assert (await self._pushed(mutation))["replayed"] is True
        self.number += 1
        new = {"number": self.number, "collection": "guests", "id": str(uuid7()), "op": "insert"}
        fields = {"property_id": str(self.house.place), "name": f"{BY_DEVICE} push {self.number}"}
        self.mutations.append(new | {"fields": fields})
        assert (await self._pushed(self.mutations[-1]))["status"] == "applied"

    async def _pushed(self, mutation: dict[str, Any]) -> Any:
        body = {"deviceId": self.device, "mutations": [mutation]}
        (result,) = (await self.asked("/v1/sync/mutations", body)).json["results"]
        return result

    async def reads_its_writes(self) -> None:
        """Read what was just written, naming its version: a replica may answer."""
        for _ in range(4):
            body = {"property_id": str(self.house.place), "name": f"{BY_DEVICE} {uuid7()}"}
            made = await self.asked("/v1/guests", body, uuid7().hex)
            api = Api(self.api.session, self.api.url, await self.keys.token(False))
            version = made.headers["Serai-Version"]
            read = await api("GET", f"/v1/guests/{made.json['id']}", Serai_Min_Version=version)
            assert (read.status, read.json["data"]["name"]) == (200, body["name"]), read

    def check(self) -> None:
        """Each was done once."""
        ids = [*(first["id"] for *_, first in self.sent), *(m["id"] for m in self.mutations)]
        log = "select count(*) from serai.log where org_id = %s and id::text = any(%s)"
        assert self.house.sql(log, self.house.org_id, ids) == [(len(ids),)]
        wrote = [body["name"] for _, _, body, _ in self.sent]
        found = [name for name in names(self.house) if name in wrote]
        assert sorted(found) == sorted(wrote), "done twice"


async def test_a_server_whose_clock_jumps_a_day_ahead_and_back_loses_and_doubles_nothing(
    tmp_path: Path,
):
    os.chmod(tmp_path, 0o755)  # noqa: PTH101, S103 - as in conftest
    async with AsyncExitStack() as stack:
        clock = stack.enter_context(a_clock())
        fleet = await stack.enter_async_context(a_fleet(tmp_path, clock=clock))
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=True))
        sign_ins = [
            [await Keys.of(session, house.server.url, inn) for _ in range(2)]
            for house, inn in zip(fleet.houses, fleet.inns, strict=True)
        ]
        devices = [keys.token for keys, _ in sign_ins]
        await stack.enter_async_context(phones(tmp_path, *fleet.houses, tokens=devices))
        loads = [
            await stack.enter_async_context(under_load(house, desks=1, phones=1, token=desk.token))
            for house, (_, desk) in zip(fleet.houses, sign_ins, strict=True)
        ]
        onces = [
            Once(desk, Api(session, house.server.url, None), house)
            for house, (_, desk) in zip(fleet.houses, sign_ins, strict=True)
        ]
        for before, days in pairwise((0, 0, 1, 0, -1, 0)):
            clock.set(days=days)
            await noticed(clock, onces, loads)
            for once in onces:
                await once.again(before, days)
                await once.reads_its_writes()
            # What is done at a start: partitions are made, replies that are too old dropped.
            assert await fleet.servers[0].stop() == 0
            await fleet.servers[0].start()
            for load, once in zip(loads, onces, strict=True):
                await load.reached(BETWEEN)
                await once.again(days)
        assert all(keys.refreshed for pair in sign_ins for keys in pair), "no token was too old"
        for once in onces:
            once.check()


async def noticed(clock: WallClock, onces: Sequence[Once], loads: Sequence[Load]) -> None:
    """Wait until both processes that serve, and the primary of shard-1, go by the clock."""
    async with asyncio.timeout(SECONDS):
        for once, load in zip(onces, loads, strict=True):
            while (
                abs(await once.keys.issued_at() - time.time() - clock.ahead_seconds) > SOON_SECONDS
            ):
                await load.reached(1)
        while abs(of_primary(onces[0].house) - time.time() - clock.ahead_seconds) > SOON_SECONDS:
            await loads[0].reached(1)


def of_primary(house: House) -> float:
    ((now,),) = house.sql("select extract(epoch from clock_timestamp())::float8")
    return now


async def test_a_phone_whose_clock_is_a_year_off_and_jumps_between_its_starts_is_no_worse_for_it(
    house: House, tmp_path: Path
):
    paths = [tmp_path / "ahead.db", tmp_path / "behind.db"]
    wrote: list[str] = []
    with a_clock() as clock:
        async with under_load(house, desks=1, phones=0) as load:
            for life, days in enumerate((365, -365)):
                # Each file has a clock a year ahead once, and a year behind once.
                for path, sign in zip(paths, (1, -1), strict=True):
                    clock.set(days=days * sign)
                    prefix = f"{BY_DEVICE} {path.stem} {life}"
                    async with switched_on(path, house, prefix, 40, **clock.environment) as phone:
                        await phone.until(wrote=40, pages=1)
                        async with asyncio.timeout(SECONDS):
                            while not set(phone.wrote) <= set(names(house)):
                                await load.reached(1)
                        wrote += phone.wrote
    for path in paths:
        async with a_phone(path, house.server.url, house.token) as phone:
            await phone.sync_once()
            assert (phone.status.pending, phone.refusals()) == (0, [])
            assert held(phone) == stored(house)
    assert len(wrote) == len(set(wrote)) == 160
    found = [name for name in names(house) if name in set(wrote)]
    assert sorted(found) == sorted(wrote), "done twice"


@dataclass
class Shifted:
    """The clock of a keeper. `days`: that it is ahead."""

    days: int = 0

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(days=self.days)


async def test_a_keeper_whose_clock_was_months_ahead_makes_devices_check_anew_and_hides_no_delete(
    house: House, tmp_path: Path
):
    clock = Shifted()
    settings = Settings(directory_url=house.server.directory_url, pool_min=1)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=True))
        api = Api(session, house.server.url, house.token)
        here, away = [
            await stack.enter_async_context(
                a_phone(tmp_path / f"{name}.db", house.server.url, house.token)
            )
            for name in ("here", "away")
        ]
        runtime = await stack.enter_async_context(open_runtime(settings, clock=clock))
        guests = [await entered(api, house) for _ in range(12)]
        for phone in (here, away):
            await phone.sync_once()
        old = await token_of(api)
        await kept(runtime, house)
        for each in guests[:6]:
            await gone(api, each)
        await here.sync_once()
        recent = await token_of(api)
        for clock.days in (31, 62):
            await kept(runtime, house)
        assert await told_to_check(api, old), "the log does not reach back so far"
        assert not await told_to_check(api, recent)
        clock.days = 0
        for each in guests[6:9]:
            await gone(api, each)
        await kept(runtime, house)
        assert not await told_to_check(api, recent)
        for phone in (here, away):
            await phone.sync_once()
            assert held(phone) == stored(house)
            shown = {str(row.id) for row in phone.rows("guests")}
            assert shown == set(guests[9:]), "a delete was hidden"


async def entered(api: Api, house: House) -> str:
    guest = {"property_id": str(house.place), "name": uuid7().hex}
    made = await api("POST", "/v1/guests", guest)
    assert made.status == 201, made
    return made.json["id"]


async def gone(api: Api, guest: str) -> None:
    answer = await api("DELETE", f"/v1/guests/{guest}")
    assert answer.status in (200, 204), answer


async def pulled(api: Api, token: str | None) -> dict[str, Any]:
    wanted = {"name": "guests"} | ({"sinceToken": token} if token else {})
    body = {"collections": [wanted]}
    answer = await api("POST", "/v1/sync/changes", body, Idempotency_Key=None)
    assert answer.status == 200, answer
    return answer.json["collections"][0]


async def token_of(api: Api) -> str:
    page = await pulled(api, None)
    assert not page["hasMore"]
    return page["nextToken"]


async def told_to_check(api: Api, token: str) -> bool:
    return bool((await pulled(api, token)).get("mustRefetch"))


async def kept(runtime: Runtime, house: House) -> None:
    """Let a keeper do all that is due by its clock; the server's own may be at it."""
    shard = await runtime.shard_for(house.org_id)
    keeper, store = keeper_of(shard, runtime.settings), PostgresLifeStore(shard.pool)
    async with asyncio.timeout(SECONDS):
        while not await keep_round(keeper, store, runtime):
            pass
