"""Single pages of a pull: what is in them, in which order, and what is refused.

Owns the plain examples of `serai.readers.sync.pull`: the property over histories lives beside it.
Expected pages are written by hand. Never compares two runs of the code with each other.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES
from serai.core.limits import PAGE_BYTES_MAX
from serai.core.token import TokenSealer
from serai.gate.caller import Caller
from serai.readers.sync.pull import GrantChanged, pull
from serai.wire.sync import ChangesAnswer, ChangesRequest, CollectionChanges, WantedCollection
from unit.log.house import (
    ANNA,
    BEN,
    HILL,
    NOW,
    ORG,
    OTHER_ORG,
    SEA,
    TOWN,
    caller,
    row_id,
    stay,
    wish,
)
from unit.readers.device import SEALER, Device, World, read, world


async def answer(
    store: World, who: Caller, *wanted: WantedCollection, batch: int = 100
) -> ChangesAnswer:
    return read(await pull(store, who, SEALER, ChangesRequest(list(wanted), batch), now=NOW))


async def stays(store: World, who: Caller, token: str | None = None, batch: int = 100):
    (part,) = (await answer(store, who, WantedCollection("stays", token), batch=batch)).collections
    return part


def shown(part: CollectionChanges) -> list[tuple[str, int, int]]:
    """(action, number of the row, version)."""
    return [(c.action, c.id.int - row_id(0).int, c.version) for c in part.changes]


async def filled(*stay_numbers: int, at=SEA) -> World:
    store = await world()
    for place in (SEA, HILL, TOWN):
        await store.write(wish("properties", "insert", place, {"name": "x"}))
    for n in stay_numbers:
        await store.write(stay(n, at=at))
    return store


async def test_a_first_sync_brings_each_row_once_in_the_order_of_ids() -> None:
    store = await filled(5, 3, 9)
    await store.write(wish("stays", "update", row_id(3), {"nights": 2}))
    await store.write(wish("stays", "update", row_id(3), {"nights": 3}))
    part = await stays(store, caller())
    assert shown(part) == [("insert", 3, 8), ("insert", 5, 4), ("insert", 9, 6)]
    assert (part.has_more, part.filling, part.must_refetch, part.purge) == (False, False, False, [])


async def test_a_fill_that_was_cut_goes_on_where_it_was() -> None:
    store = await filled(*range(7))
    seen: list[int] = []
    token = None
    for expected_more in (True, True, False):
        part = await stays(store, caller(), token, batch=3)
        seen += [number for _, number, _ in shown(part)]
        assert (part.has_more, part.filling) == (expected_more, expected_more)
        token = part.next_token
    assert seen == list(range(7))


async def test_a_row_already_sent_is_updated_and_one_still_to_come_is_not_sent_twice() -> None:
    store = await filled(1, 2, 3, 4)
    first = await stays(store, caller(), batch=2)
    await store.write(wish("stays", "update", row_id(1), {"nights": 5}))
    await store.write(wish("stays", "update", row_id(4), {"nights": 6}))
    second = await stays(store, caller(), first.next_token, batch=10)
    assert shown(second) == [("update", 1, 8), ("insert", 3, 6), ("insert", 4, 9)]
    assert not second.has_more


async def test_a_row_deleted_before_the_fill_reached_it_is_never_seen() -> None:
    store = await filled(1, 2, 3)
    first = await stays(store, caller(), batch=1)
    await store.write(wish("stays", "delete", row_id(1)))
    await store.write(wish("stays", "delete", row_id(3)))
    second = await stays(store, caller(), first.next_token)
    assert shown(second) == [("delete", 1, 7), ("insert", 2, 5)]


async def test_of_a_row_that_changed_often_only_the_last_change_is_sent() -> None:
    store = await filled(1, 2)
    part = await stays(store, caller())
    for nights in range(2, 30):
        await store.write(wish("stays", "update", row_id(1), {"nights": nights}))
    part = await stays(store, caller(), part.next_token)
    ((_, _, version),) = shown(part)
    assert version == 33
    assert part.changes[0].data is not None
    assert part.changes[0].data["nights"] == 29


async def test_a_page_ends_between_two_writes_and_never_within_one() -> None:
    store = await filled()
    token = (await stays(store, caller())).next_token
    await store.write(stay(1), stay(2), stay(3))
    await store.write(stay(4), stay(5))
    first = await stays(store, caller(), token, batch=1)
    assert [n for _, n, _ in shown(first)] == [1, 2, 3]
    assert first.has_more
    second = await stays(store, caller(), first.next_token, batch=1)
    assert [n for _, n, _ in shown(second)] == [4, 5]
    assert not second.has_more


async def test_rows_written_together_in_two_collections_arrive_together() -> None:
    store = await filled()
    device = Device(store, caller())
    await device.sync()
    await store.write(wish("guests", "insert", row_id(1), {"name": "Ada"}), stay(1))
    device.batch = 1
    await device.page()
    parts = {c.name: len(c.changes) for c in device.pages[-1].collections if c.changes}
    assert parts == {"guests": 1, "stays": 1}


async def test_a_page_ends_when_its_bytes_are_full() -> None:
    store = await filled()
    token = (await stays(store, caller())).next_token
    note = "\u00e9" * 2_000 + "x" * 2_000
    rows = 1_100
    for start in range(0, rows, 100):
        await store.write(*(stay(n, note=note) for n in range(start, start + 100)))
    sizes: list[int] = []
    more = True
    while more:
        part = await stays(store, caller(), token, batch=5_000)
        sizes.append(len(part.changes))
        token, more = part.next_token, part.has_more
    assert sum(sizes) == rows
    assert len(sizes) > 1
    assert max(sizes) <= PAGE_BYTES_MAX // 6_000 + 100
    fresh = await stays(store, caller(), batch=5_000)
    assert len(fresh.changes) < rows
    assert fresh.has_more


async def test_a_fill_makes_progress_while_the_house_is_busy() -> None:
    """The log alone would fill every page: the fill keeps at least half of it."""
    store = await filled(*range(20))
    part = await stays(store, caller(), batch=4)
    for round_number in range(8):
        for n in range(4):
            await store.write(wish("stays", "update", row_id(n), {"nights": round_number + 2}))
        part = await stays(store, caller(), part.next_token, batch=4)
    assert not part.filling


async def test_a_lost_property_is_purged_and_a_gained_one_is_filled() -> None:
    store = await filled(1, at=SEA)
    await store.write(stay(2, at=HILL))
    part = await stays(store, caller(ANNA, ("clerk", SEA)))
    assert [n for _, n, _ in shown(part)] == [1]
    part = await stays(store, caller(ANNA, ("clerk", HILL)), part.next_token)
    assert (part.purge, part.keep) == ([SEA], [])
    assert shown(part) == [("insert", 2, 5)]


async def test_a_role_that_shrinks_to_one_property_says_what_stays() -> None:
    store = await filled(1, at=SEA)
    part = await stays(store, caller())
    part = await stays(store, caller(ANNA, ("clerk", SEA)), part.next_token)
    assert (part.purge, part.keep, part.changes) == ([ALL_SCOPES], [SEA], [])


async def test_in_the_middle_of_a_fill_nothing_stays_that_will_be_sent_again() -> None:
    """A row kept here and deleted before the new fill reaches it would stay for good."""
    store = await filled(*range(6), at=SEA)
    part = await stays(store, caller(), batch=3)
    part = await stays(store, caller(ANNA, ("clerk", SEA)), part.next_token, batch=2)
    assert (part.purge, part.keep) == ([ALL_SCOPES], [])
    assert [n for _, n, _ in shown(part)] == [0, 1]


async def test_a_device_that_names_properties_gets_those_it_may_see() -> None:
    store = await filled(1, at=SEA)
    await store.write(stay(2, at=HILL))
    who = caller(ANNA, ("clerk", SEA))
    asked = WantedCollection("stays", None, [SEA, HILL, ALL_SCOPES])
    (part,) = (await answer(store, who, asked)).collections
    assert [n for _, n, _ in shown(part)] == [1]
    nothing = WantedCollection("stays", None, [])
    (part,) = (await answer(store, who, nothing)).collections
    assert (part.changes, part.has_more) == ([], False)


async def test_a_collection_outside_the_role_is_empty_and_not_an_error() -> None:
    store = await filled()
    wage = {"property_id": str(SEA), "person": "Cook", "wage_minor": 1, "wage_currency": "EUR"}
    await store.write(wish("pay", "insert", row_id(1), wage))
    (part,) = (
        await answer(store, caller(ANNA, ("clerk", SEA)), WantedCollection("pay"))
    ).collections
    assert (part.changes, part.has_more) == ([], False)
    await store.write(wish("pay", "update", row_id(1), {"person": "Chef"}))
    again = WantedCollection("pay", part.next_token)
    (part,) = (await answer(store, caller(ANNA, ("clerk", SEA)), again)).collections
    assert part.changes == []


async def test_two_tokens_are_two_positions_and_one_of_them_may_be_too_old() -> None:
    store = await filled(1)
    old = await stays(store, caller())
    await store.write(wish("guests", "insert", row_id(1), {"name": "Ada"}))
    store.prune(ORG, store.organisations[ORG].head.version)
    (fresh,) = (await answer(store, caller(), WantedCollection("guests"))).collections
    both = await answer(
        store,
        caller(),
        WantedCollection("stays", old.next_token),
        WantedCollection("guests", fresh.next_token),
    )
    assert [(c.name, c.must_refetch) for c in both.collections] == [
        ("stays", True),
        ("guests", False),
    ]
    assert both.collections[0].next_token == ""
    assert both.collections[0].changes == []


@pytest.mark.parametrize("kind", ["pruned", "restored", "behind"])
async def test_a_token_that_cannot_be_continued_is_told_and_never_met_with_silence(
    kind: str,
) -> None:
    store = await filled(1, 2)
    part = await stays(store, caller())
    org = store.organisations[ORG]
    if kind == "pruned":
        await store.write(wish("stays", "delete", row_id(1)))
        store.prune(ORG, org.head.version)
    elif kind == "restored":
        store.restore(store.snapshot())
    else:
        org.head = replace(org.head, version=org.head.version - 1)
    again = await stays(store, caller(), part.next_token)
    assert (again.must_refetch, again.next_token, again.changes) == (True, "", [])


async def test_a_token_ahead_of_a_frozen_home_is_not_begun_again() -> None:
    """The organisation is open at its new home already, and this process has not heard of it."""
    store = await filled(2)
    part = await stays(store, caller())
    org = store.organisations[ORG]
    org.head = replace(org.head, version=org.head.version - 1, state="frozen")
    with pytest.raises(SeraiError) as refused:
        await stays(store, caller(), part.next_token)
    assert refused.value.code is Code.ORG_MOVED


async def test_a_token_exactly_at_the_horizon_is_still_good() -> None:
    store = await filled(1)
    part = await stays(store, caller())
    store.prune(ORG, store.organisations[ORG].head.version)
    again = await stays(store, caller(), part.next_token)
    assert (again.must_refetch, again.changes, again.has_more) == (False, [], False)


async def test_a_role_that_was_changed_meanwhile_is_read_again_before_anything_is_sent() -> None:
    store = await filled(1)
    member = {"user_id": str(BEN), "role": "clerk"}
    await store.write(wish("memberships", "insert", row_id(9), member))
    for token in (None, (await stays(store, caller())).next_token):
        with pytest.raises(GrantChanged) as caught:
            await stays(store, caller(version=4), token)
        assert caught.value.version == 5


@pytest.mark.parametrize(
    ("who", "sealer"),
    [
        (caller(BEN), SEALER),
        (caller(org_id=OTHER_ORG), SEALER),
        (caller(), TokenSealer({1: b"another secret 16"})),
    ],
)
async def test_a_token_of_somebody_else_is_refused(who: Caller, sealer: TokenSealer) -> None:
    store = await filled(1)
    await store.create_org(OTHER_ORG)
    part = await stays(store, caller())
    request = ChangesRequest([WantedCollection("stays", part.next_token)])
    with pytest.raises(SeraiError) as caught:
        await pull(store, who, sealer, request, now=NOW)
    assert caught.value.code is Code.TOKEN_INVALID


@pytest.mark.parametrize(
    ("names", "code"),
    [(["nothing"], Code.NOT_FOUND), (["stays", "stays"], Code.BODY_INVALID)],
)
async def test_a_pull_that_asks_for_nonsense_is_refused(names: list[str], code: Code) -> None:
    store = await filled()
    with pytest.raises(SeraiError) as caught:
        await answer(store, caller(), *(WantedCollection(name) for name in names))
    assert caught.value.code is code


@pytest.mark.parametrize("token", [None, "some"])
async def test_an_organisation_that_is_not_here_is_looked_for_elsewhere(token: str | None) -> None:
    store = await filled()
    text = None
    if token is not None:
        await store.create_org(OTHER_ORG)
        text = (await stays(store, caller(org_id=OTHER_ORG))).next_token
        del store.organisations[OTHER_ORG]
    with pytest.raises(SeraiError) as caught:
        await stays(store, caller(org_id=OTHER_ORG), text)
    assert caught.value.code is Code.ORG_MOVED


async def test_the_same_state_has_the_same_tag_and_any_change_another() -> None:
    store = await filled(1)
    who = caller()
    token = (await stays(store, who)).next_token
    request = ChangesRequest([WantedCollection("stays", token)])
    first = await pull(store, who, SEALER, request, now=NOW)
    again = await pull(store, who, SEALER, request, now=NOW)
    assert first.unchanged
    assert first.etag == again.etag
    await store.write(stay(2))
    changed = await pull(store, who, SEALER, request, now=NOW)
    assert not changed.unchanged
    assert changed.etag != first.etag


async def test_a_device_that_holds_everything_gets_a_new_token_when_the_key_was_changed() -> None:
    store = await filled(1)
    token = (await stays(store, caller())).next_token
    assert (await stays(store, caller(), token)).next_token == token
    rotated = TokenSealer({**SEALER._keys, 255: b"a secret of sixteen or more"})
    request = ChangesRequest([WantedCollection("stays", token)])
    result = await pull(store, caller(), rotated, request, now=NOW)
    (part,) = read(result).collections
    assert part.next_token != token
    assert not result.unchanged
    assert shown(part) == []


async def test_a_shrunk_role_is_never_answered_with_nothing_changed() -> None:
    store = await filled(1)
    token = (await stays(store, caller())).next_token
    request = ChangesRequest([WantedCollection("stays", token)])
    result = await pull(store, caller(ANNA, ("clerk", SEA)), SEALER, request, now=NOW)
    assert not result.unchanged


async def test_a_chain_of_three_hundred_properties_syncs_from_the_first_page() -> None:
    store = await world()
    places = [UUID(int=0x9000 + n) for n in range(300)]
    for place in places:
        await store.write(wish("properties", "insert", place, {"name": "x"}))
    device = Device(store, caller(ANNA, *(("owner", place) for place in places)))
    device.batch = 200
    await device.page()
    assert device.token is not None
    assert len(device.token) <= 120 + 64 * 301
    await device.sync()
    assert len(device.rows) == 300
