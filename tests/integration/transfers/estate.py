"""Two organisations, one of which sells a hotel to the other, for the tests of transfers.

Owns the set-up, what each of the two holds of the hotel (read by SQL of its own), and the checks
that hold after any transfer: one owner, records that are good, nobody else touched. Never transfers
anything by itself.
"""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from integration.moves.street import Fleet, House
from serai.app.organisations import create_organisation
from serai.app.transfer.running import Asked, Ended, Runner, runner
from serai.app.transfer.saga import TransferStats
from serai.app.transfer.states import STATES, Step, Writes
from serai.core.ids import uuid7
from serai.log.verify import verify
from serai.readers.move.contents import faults

Rows = dict[tuple[int, UUID], str]


async def settle(fleet: Fleet, shard: str) -> House:
    """Make an organisation that lives on a shard."""
    while True:
        org_id = await create_organisation(fleet.owner, f"t{uuid7().hex}")
        house = House(fleet, org_id)
        if house.home == shard:
            return house


@dataclass
class Estate:
    """A hotel of `giver` that is to be `taker`'s."""

    fleet: Fleet
    giver: House
    taker: House

    @property
    def hotel(self) -> UUID:
        return UUID(self.giver.ids["properties"])

    @property
    def asked(self) -> Asked:
        return Asked(self.hotel, self.giver.org_id, self.taker.org_id, "sold")

    async def transfer(self) -> TransferStats:
        """Transfer the hotel, as an operator's command does."""
        async with self.runner() as running:
            return await running.transfer(self.asked)

    async def resume(self) -> Ended:
        """End what others left, as an operator's command does."""
        self.fleet.sql("directory", "UPDATE serai_directory.transfer SET lease_until = now()")
        async with self.runner() as running:
            return await running.end_stale()

    def runner(self) -> AbstractAsyncContextManager[Runner]:
        """Return who runs transfers, as an operator's commands have it."""
        return runner(self.fleet.owner.settings)

    def rows(self, house: House) -> Rows:
        """Return what an organisation has of the hotel."""
        found = self.fleet.sql(
            house.home,
            "SELECT collection, id, doc FROM serai.row WHERE org_id = %s AND scope = %s",
            house.org_id,
            self.hotel,
        )
        return {(number, row_id): doc for number, row_id, doc in found}

    def shared(self, house: House) -> Rows:
        """Return what an organisation has that belongs to no property."""
        found = self.fleet.sql(
            house.home,
            "SELECT collection, id, doc FROM serai.row WHERE org_id = %s"
            " AND scope = '00000000-0000-0000-0000-000000000000'",
            house.org_id,
        )
        return {(number, row_id): doc for number, row_id, doc in found}

    def state(self) -> Writes:
        """Return who may write, by the table of states and by what is in the databases."""
        ((step,),) = self.fleet.sql(
            "directory",
            "SELECT step FROM serai_directory.transfer WHERE from_org = %s"
            " ORDER BY transfer_id DESC LIMIT 1",
            self.giver.org_id,
        )
        text = "SELECT held, state FROM serai.org WHERE org_id = %s"
        ((held, _),) = self.fleet.sql(self.giver.home, text, self.giver.org_id)
        ((_, state),) = self.fleet.sql(self.taker.home, text, self.taker.org_id)
        return STATES[Step(step), held == self.hotel, state]

    def said(self, house: House) -> list[dict[str, Any]]:
        """Return what the audit record says of transfers."""
        found = self.fleet.sql(
            house.home,
            "SELECT content FROM serai.audit WHERE org_id = %s AND op = 'transfer' ORDER BY number",
            house.org_id,
        )
        return [json.loads(content) for (content,) in found]

    async def check(self, owner: House, before: Rows) -> None:
        """The hotel is whole at its owner and the other one has nothing of it; both are sound."""
        other = self.giver if owner is self.taker else self.taker
        assert self.rows(owner) == before
        assert self.rows(other) == {}
        for house in (owner, other):
            text = "SELECT held, state FROM serai.org WHERE org_id = %s"
            assert self.fleet.sql(house.home, text, house.org_id) == [(None, "active")]
            await sound(house)


async def make_estate(fleet: Fleet, taker: str) -> Estate:
    """Make a furnished giver on shard a, and a taker."""
    giver = await settle(fleet, "a")
    await giver.furnish()
    bought = giver.row("expenses") | {"vendor_id": giver.ids["vendors"]}
    giver.ids["bought"] = str(await giver.insert("expenses", bought))
    found = Estate(fleet, giver, await settle(fleet, taker))
    await found.taker.rest()
    return found


async def sound(house: House) -> None:
    """Tables agree with rows, versions have no gap, the audit record is good."""
    assert house.content(house.home).state == "active"
    assert faults(house.content(house.home)) == []
    log = house.fleet.sql(
        house.home, "SELECT DISTINCT version FROM serai.log WHERE org_id = %s", house.org_id
    )
    assert sorted(v for (v,) in log) == list(range(1, len(log) + 1)), "a version is missing"
    store = (await house.fleet.runtime.shard_for(house.org_id)).store
    head = await store.head(house.org_id)
    assert head is not None
    assert (head.version, head.epoch) == (len(log), 1)
    report = await verify(store, house.org_id)
    assert report.broken is None, report
