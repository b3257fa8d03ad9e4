"""What is written is heard over open sockets, by those who may and as it was committed."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

from integration.client.hotel import a_hotel
from integration.live.gateway import Frame, Live
from serai.app.runtime import open_runtime
from serai.app.settings import Settings


def ids(frame: Frame, name: str = "guests") -> list[str]:
    """The rows of a collection that a frame has."""
    return [
        change["id"]
        for collection in frame["collections"]
        if collection["name"] == name
        for change in collection["changes"]
    ]


async def test_a_listener_hears_what_is_written_after_it_came(live: Live) -> None:
    listener = await live.connect()
    ready = await listener.next("ready")
    made = await live.add_guest()
    heard = await listener.next("changes")
    assert (heard["epoch"], heard["from"]) == (ready["epoch"], ready["version"])
    assert heard["to"] == await live.version()
    (collection,) = heard["collections"]
    assert collection["name"] == "guests"
    assert [(c["id"], c["action"]) for c in collection["changes"]] == [(made, "insert")]
    assert collection["changes"][0]["data"]["name"] == "Ada"


async def test_everyone_of_the_organisation_hears_it_and_each_frame_follows_on_the_last(
    live: Live,
) -> None:
    listeners = [await live.listen() for _ in range(5)]
    made = [await live.add_guest(f"G {n}") for n in range(10)]
    last = await live.version()
    for listener in listeners:
        frames = await listener.until_version(last)
        assert [i for frame in frames for i in ids(frame)] == made
        assert [f["from"] for f in frames[1:]] == [f["to"] for f in frames[:-1]]


async def test_who_may_not_see_a_collection_does_not_hear_it(live: Live) -> None:
    cook, desk = await live.person("staff"), await live.person("front_desk")
    unseeing = await live.listen(accessToken=cook.token)
    seeing = await live.listen(accessToken=desk.token)
    made = await live.add_guest()
    assert ids((await seeing.until_version(await live.version()))[-1]) == [made]
    hired = await live.add_staff()
    heard = await unseeing.next("changes")
    assert [c["name"] for c in heard["collections"]] == ["staff"]
    assert ids(heard, "staff") == [hired]


async def test_only_the_collections_and_properties_that_were_asked_for_are_heard(
    live: Live,
) -> None:
    elsewhere = "0192f0c1-7a00-7000-8000-0000000000ff"
    staff = await live.listen(collections=["staff"])
    other = await live.listen(propertyIds=[elsewhere], collections=["guests"])
    house = await live.listen(propertyIds=[str(live.hotel.house)])
    made = await live.add_guest()
    hired = await live.add_staff()
    assert ids(await staff.next("changes"), "staff") == [hired]
    assert ids(await house.next("changes")) == [made]
    await other.nothing()


async def test_another_organisation_hears_nothing(
    live: Live, fleet: tuple[str, str], tmp_path: Path
) -> None:
    bell = f"local://{tmp_path}"
    async with a_hotel(*fleet, f"h{secrets.token_hex(4)}", doorbell=bell) as other:
        stranger = await live.listen(accessToken=await other.sign_in())
        mine = await live.listen()
        made = await live.add_guest()
        assert ids(await mine.next("changes")) == [made]
        await stranger.nothing()
        (theirs,) = await other.add_guests(1)
        assert ids(await stranger.next("changes")) == [str(theirs)]
        await mine.nothing()


async def test_a_change_that_rings_no_bell_is_heard_at_the_next_look(
    live: Live, fleet: tuple[str, str]
) -> None:
    listener = await live.listen()
    silent = Settings(directory_url=fleet[0])
    async with open_runtime(silent, as_owner=True) as runtime:
        deaf = replace(live.hotel, runtime=runtime)
        (made,) = await deaf.add_guests(1)
    assert ids(await listener.next("changes")) == [str(made)]
