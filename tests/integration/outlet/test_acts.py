"""What an operator does about the outlet is kept with who, when and why; what dies is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import get_args

import pytest

import serai
from integration.app.programs import Shell
from integration.moves.street import Fleet, House
from integration.outlet.desk import caught_up, heard, send_all, stored
from serai.adapters.memory import MemoryBus
from serai.app.organisations import create_organisation
from serai.app.outlet import open_outlet
from serai.app.outlet_shard import ShardOutlet
from serai.app.shard_facts import Change, history
from serai.core.ids import uuid7
from serai.readers.outlet.messages import Reason
from serai.readers.outlet.reader import Reader, Sending
from serai.telemetry.recorder import Recorder

PROTOCOL = Path(serai.__file__).parents[2] / "protocol" / "OUTLET.md"


class Heard(Recorder):
    """Keeps what failed."""

    def __init__(self) -> None:
        self.failed: list[tuple[str, str]] = []

    def outlet_failed(self, shard: str, what: str) -> None:
        self.failed.append((shard, what))


async def last(fleet: Fleet) -> Change:
    (change,) = await history(fleet.owner.settings, 1)
    return change


async def test_a_rewind_and_switching_off_are_in_the_history_with_who_when_and_why(
    fleet: Fleet, house: House, tmp_path: Path
):
    await send_all(fleet, MemoryBus())
    ann = Shell(tmp_path, {"SERAI_DIRECTORY_URL": fleet.directory, "SUDO_USER": "ann"})
    org = str(house.org_id)
    for words, action, what in (
        (("rewind", "--org", org, "--to", "2"), "rewind", {"org_id": house.org_id, "to": 2}),
        (("rewind", "--all", "--to", "1"), "rewind", {"shard": "all", "to": 1}),
        (("off", house.home), "off", {"shard": house.home}),
    ):
        refused = await asyncio.to_thread(ann.run, "outlet", *words)
        assert refused.status == 2, "a reason is asked for"
        done = await asyncio.to_thread(ann.ok, "outlet", *words, "--reason", f"why {action}")
        assert done.err + done.out
        change = await last(fleet)
        assert (change.subject, change.action, change.what) == ("outlet", action, what)
        assert change.actor.startswith("ann@")
        assert change.reason == f"why {action}"
    shown = await asyncio.to_thread(ann.ok, "shard", "history", "--limit", "1")
    assert f"outlet off: shard={house.home}  (why off)" in shown.out
    # It was off: nothing was done, and nothing is kept.
    before = change.version
    await asyncio.to_thread(ann.ok, "outlet", "off", house.home, "--reason", "again")
    assert (await last(fleet)).version == before
    await fleet.owner.directory.refresh()
    assert fleet.owner.directory.version == before


async def test_a_shard_whose_task_died_is_told_of_and_served_again(
    fleet: Fleet, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    works, dead = ShardOutlet.run, set[int]()

    async def dies_once(self: ShardOutlet) -> None:
        if len(dead) < 2 and id(self) not in dead:
            dead.add(id(self))
            raise ZeroDivisionError("a mistake")
        await works(self)

    monkeypatch.setattr(ShardOutlet, "run", dies_once)
    bus, recorder = MemoryBus(), Heard()
    async with open_outlet(fleet.owner.settings, bus=bus, recorder=recorder) as process:
        task = asyncio.create_task(process.run())
        await caught_up(bus, house)
        process.stop()
        await task
    assert heard(bus, house).rows == stored(house)
    assert sorted(recorder.failed) == [("a", "task"), ("b", "task")]
    told = [r.exc_info for r in caplog.records if r.name == "serai.app.outlet" and r.exc_info]
    assert [each[0] for each in told] == [ZeroDivisionError] * 2


async def test_a_task_of_one_organisation_that_died_is_told_of_and_the_others_go_on(
    fleet: Fleet, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    works, poor = Reader.send, House(fleet, house.org_id)

    async def dies(self: Reader, org_id: int, sending: Sending) -> None:
        if org_id == poor.org_id:
            raise ZeroDivisionError("a mistake")
        await works(self, org_id, sending)

    other = House(fleet, await create_organisation(fleet.owner, f"o{uuid7().hex}"))
    await other.rest()
    monkeypatch.setattr(Reader, "send", dies)
    bus, recorder = MemoryBus(), Heard()
    async with open_outlet(fleet.owner.settings, bus=bus, recorder=recorder) as process:
        task = asyncio.create_task(process.run())
        await caught_up(bus, other)
        process.stop()
        await task
    assert (poor.home, "task") in recorder.failed
    assert any(str(poor.org_id) in r.getMessage() for r in caplog.records if r.exc_info)


def test_every_reason_of_a_beginning_is_in_the_protocol():
    text = PROTOCOL.read_text()
    paragraph = text[text.index("`reason` of a `begin`") :].partition("\n\n")[0]
    assert [reason for reason in get_args(Reason) if f"`{reason}`" not in paragraph] == []
