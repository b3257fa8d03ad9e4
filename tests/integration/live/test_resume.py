"""Whoever comes back, is slow, or gives little credit: the last state of each row, or a pull."""

from __future__ import annotations

import asyncio

from integration.live.gateway import SECONDS, Live
from integration.live.test_delivery import ids
from serai.core.live_limits import LIVE_RING_CHANGES


async def test_one_who_comes_back_is_told_what_it_missed_out_of_the_ring(live: Live) -> None:
    since = await live.in_step()
    stays = await live.listen(collections=["guests", "stays"])
    made = [await live.add_guest(f"G {n}") for n in range(3)]
    await stays.until_version(await live.version())
    back = await live.connect(sinceToken=since, collections=["guests", "stays"])
    ready = await back.next("ready")
    assert ready["version"] == (await live.version()) - 3
    heard = await back.next("changes")
    assert (heard["from"], heard["to"]) == (ready["version"], await live.version())
    assert ids(heard) == made


async def test_one_who_holds_everything_is_told_nothing_at_first(live: Live) -> None:
    since = await live.in_step()
    listener = await live.listen(sinceToken=since, collections=["guests", "stays"])
    await listener.nothing()
    made = await live.add_guest()
    assert ids(await listener.next("changes")) == [made]


async def test_a_since_token_from_before_the_ring_is_told_to_pull_and_goes_on(live: Live) -> None:
    since = await live.in_step()
    await live.add_guest("while nobody listened")
    back = await live.listen(sinceToken=since, collections=["guests", "stays"])
    pull = await back.next("pull")
    assert (pull["reason"], pull["version"]) == ("behind", await live.version())
    made = await live.add_guest()
    heard = await back.next("changes")
    assert heard["from"] == pull["version"]
    assert ids(heard) == [made]


async def test_a_device_that_does_not_hold_everything_yet_is_told_to_pull(live: Live) -> None:
    await live.hotel.add_guests(5)
    form = {"collections": [{"name": "guests"}], "batchSize": 1}
    begun = (await live.answer("/v1/sync/changes", form))["collections"][0]
    assert begun["filling"]
    listener = await live.listen(sinceToken=begun["nextToken"], collections=["guests"])
    assert (await listener.next("pull"))["reason"] == "filling"


async def test_a_device_that_may_see_more_than_it_holds_is_told_to_pull(live: Live) -> None:
    since = await live.in_step()
    listener = await live.listen(sinceToken=since)
    assert (await listener.next("pull"))["reason"] == "grants"


async def test_without_credit_changes_wait_and_arrive_as_the_last_of_each_row(live: Live) -> None:
    full, sparing = await live.listen(), await live.listen(credit=1)
    guests = [await live.add_guest("G 0")]
    first = await sparing.next("changes")
    assert ids(first) == guests
    guests.append(await live.add_guest("G 1"))
    for name in ("Eva", "Ida"):
        await live.hotel.rename(guests[0], name)
    last = await live.version()
    await full.until_version(last)
    await sparing.nothing()
    await sparing.say(type="seen", version=first["to"], credit=1)
    heard = await sparing.next("changes")
    assert (heard["from"], heard["to"]) == (first["to"], last)
    (collection,) = heard["collections"]
    assert [(c["id"], c["data"]["name"]) for c in collection["changes"]] == [
        (guests[1], "G 1"),
        (guests[0], "Ida"),
    ]


async def test_a_version_that_was_seen_becomes_a_since_token_that_a_pull_takes(live: Live) -> None:
    since = await live.in_step()
    listener = await live.listen(sinceToken=since, collections=["guests", "stays"])
    made = await live.add_guest()
    heard = await listener.next("changes")
    await listener.say(type="seen", version=heard["to"])
    token = await listener.next("token")
    assert token["version"] == heard["to"]
    at_once = await live.pull(since=token["sinceToken"])
    assert (at_once["changes"], at_once["hasMore"]) == ([], False)
    again = await live.pull(since=since)
    assert [change["id"] for change in again["changes"]] == [made]


async def test_a_version_that_was_not_sent_becomes_no_token(live: Live) -> None:
    since = await live.in_step()
    listener = await live.listen(sinceToken=since, collections=["guests", "stays"], credit=0)
    await live.add_guest()
    await listener.say(type="seen", version=1)
    await listener.nothing()


async def test_a_listener_that_does_not_read_holds_up_nobody_and_gets_the_last_state(
    live: Live,
) -> None:
    reader, asleep = await live.listen(credit=500), await live.listen(credit=500)
    # It reads nothing more: what the kernel does not take waits in the gateway.
    asleep.transport.pause_reading()
    guests = [await live.add_guest(f"G {n}") for n in range(2)]
    note = "long " * 200
    for n in range(150):
        await live.hotel.rename(guests[n % 2], f"{n}", note=note)
        heard = await reader.next("changes")
        await reader.say(type="seen", version=heard["to"], credit=1)
        while heard["to"] < await live.version():
            heard = await reader.next("changes")
    last = await live.version()
    asleep.transport.resume_reading()
    frames = await asleep.until_version(last)
    assert len(frames) < 150
    assert [f["from"] for f in frames[1:]] == [f["to"] for f in frames[:-1]]
    names = {
        c["id"]: c["data"]["name"] for f in frames for g in f["collections"] for c in g["changes"]
    }
    assert names == {guests[0]: "148", guests[1]: "149"}


async def test_more_than_the_ring_holds_is_a_pull_for_who_was_away(live: Live) -> None:
    since = await live.in_step()
    full = await live.listen(collections=["guests", "stays"])
    made = LIVE_RING_CHANGES + 100
    await live.hotel.add_guests(made)
    last = await live.version()

    async def swallow() -> None:
        # More than fits into a frame is a pull, whose version it goes on from.
        while (frame := await full.next()).get("to", 0) < last and frame.get("version") != last:
            await full.say(type="seen", version=0, credit=1)

    await asyncio.wait_for(swallow(), SECONDS)
    back = await live.listen(sinceToken=since, collections=["guests", "stays"])
    assert (await back.next("pull"))["reason"] == "behind"
