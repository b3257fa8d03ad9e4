"""A device's queue: in order, each item judged alone, answered as a client reads it.

Owns the tests of `serai.readers.sync.push` on the reference store. Requests are bytes, as from a
phone, so that what no reader of JSON can hold arrives as it would. Never looks into the queue of
the coalescer: its own tests do.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from serai.core.errors import Code, SeraiError
from serai.gate.caller import Caller
from serai.log.coalesce import Coalescer
from serai.model.fields import Value
from serai.model.rules import Row
from serai.readers.sync.push import push
from serai.wire.sync import MutationResult, MutationsAnswer, MutationsRequest
from unit.log.house import (
    ANNA,
    BEN,
    HILL,
    HOUSE,
    NOW,
    ORG,
    PHONE,
    SEA,
    Recorded,
    caller,
    opened,
    plant,
    row_id,
    told,
)
from unit.readers.device import SEALER


class Phone:
    """Builds requests as bytes and reads answers strictly."""

    def __init__(self, store: Recorded, who: Caller | None = None) -> None:
        self.store, self.who = store, who or caller()
        self.coalescer = Coalescer(store, HOUSE)

    async def sends(
        self, *mutations: dict[str, Any] | str, epoch: int = 0, pull: bool = False
    ) -> list[MutationResult]:
        return (await self.answer(*mutations, epoch=epoch, pull=pull)).results

    async def answer(
        self, *mutations: dict[str, Any] | str, epoch: int = 0, pull: bool = False
    ) -> MutationsAnswer:
        parts = (m if isinstance(m, str) else msgspec.json.encode(m).decode() for m in mutations)
        tail = ',"pull":{"collections":[{"name":"stays"}]}' if pull else ""
        body = f'{{"deviceId":"{PHONE}","epoch":{epoch},"mutations":[{",".join(parts)}]{tail}}}'
        request = msgspec.json.decode(
            body.encode("utf-8", "surrogateescape"), type=MutationsRequest
        )
        got = await push(self.store, self.coalescer, self.who, SEALER, request, now=NOW)
        return msgspec.json.decode(msgspec.json.encode(got), type=MutationsAnswer, strict=True)


def item(number: int, op: str, row: int | UUID, **more: Any) -> dict[str, Any]:
    each = row_id(row) if isinstance(row, int) else row
    return {"number": number, "collection": "stays", "id": str(each), "op": op, **more}


def new(number: int, row: int, **fields: Value) -> dict[str, Any]:
    values = {"property_id": str(SEA), "nights": 1, **fields}
    return item(number, "insert", row, fields=values)


async def phone(who: Caller | None = None) -> Phone:
    return Phone(await opened(), who)


def statuses(results: list[MutationResult]) -> list[tuple[int, str, str | None]]:
    return [(r.number, r.status, r.code) for r in results]


async def nights(store: Recorded, row: int) -> object:
    (stored,) = await store.read([(ORG, 4, row_id(row))])
    return None if stored is None else told(stored.doc)["nights"]


async def test_a_queue_is_answered_item_by_item_with_the_rows_as_stored() -> None:
    answer = await (await phone()).answer(new(1, 1), new(2, 2, nights=3), pull=True)
    assert statuses(answer.results) == [(1, "applied", None), (2, "applied", None)]
    assert [r.version for r in answer.results] == [3, 4]
    assert answer.results[1].row is not None
    assert answer.results[1].row["nights"] == 3
    assert answer.next_number == 3
    assert answer.server_time == "2026-03-01T12:00:00.000000Z"
    assert answer.pull is not None
    assert [c.id for c in answer.pull.collections[0].changes] == [row_id(1), row_id(2)]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (item(2, "insert", 9, fields={}), "fields_invalid"),
        (item(2, "insert", 9, fields={"property_id": str(SEA), "nights": 1.0}), "fields_invalid"),
        (item(2, "insert", 9, fields={"property_id": str(SEA), "nights": True}), "fields_invalid"),
        (item(2, "update", 1, fields={"colour": "red"}), "field_unknown"),
        (item(2, "update", 1, fields={"id": str(row_id(3))}), "field_unknown"),
        (item(2, "update", 1, fields={"posted_by": str(BEN)}), "field_read_only"),
        (item(2, "update", 1, fields={"source": "x"}), "field_read_only"),
        (item(2, "update", 1, fields={"property_id": str(HILL)}), "field_read_only"),
        (item(2, "update", 99, fields={"nights": 2}), "not_found"),
        (item(2, "delete", 1, fields={"nights": 2}), "body_invalid"),
        ({**item(2, "insert", 9), "collection": "nothing"}, "not_found"),
        ({**item(2, "insert", 9), "collection": "x" * 100_000}, "not_found"),
        (item(2, "insert", UUID(int=0), fields={"nights": 1}), "fields_invalid"),
        (item(2, "delete", UUID(int=2**128 - 1)), "fields_invalid"),
        (new(2, 9, guest_id=str(row_id(8))), "reference_missing"),
        (new(2, 1), "conflict"),
    ],
)
async def test_one_bad_item_is_answered_and_its_neighbours_are_written(
    bad: dict[str, Any], code: str
) -> None:
    each = await phone()
    results = await each.sends(new(1, 1), bad, new(3, 3))
    assert statuses(results) == [
        (1, "applied", None),
        (2, "conflict" if code == "conflict" else "rejected", code),
        (3, "applied", None),
    ]
    (kept,) = await each.store.refusals(ORG, user_id=ANNA, after=0, limit=9)
    assert (kept.number, kept.refusal.code) == (2, code)
    assert len(kept.refusal.body) <= 64 * 1024
    assert msgspec.json.decode(kept.refusal.body)["number"] == 2


@pytest.mark.parametrize("raw", ["1e999", "-1e999", '"\udcff"'])
async def test_a_value_that_cannot_be_read_fails_its_own_item(raw: str) -> None:
    """They pass the decoding of the request, which leaves fields as they were sent."""
    text = msgspec.json.encode(new(2, 2)).decode().replace('"nights":1', f'"note":{raw}')
    each = await phone()
    results = await each.sends(new(1, 1), text, new(3, 3))
    assert statuses(results)[1] == (2, "rejected", "fields_invalid")
    assert results[1].errors == [("note", "cannot be read")]
    assert [r.status for r in results[::2]] == ["applied", "applied"]


async def test_a_number_beyond_every_computer_is_refused_and_not_rounded() -> None:
    text = msgspec.json.encode(new(1, 1)).decode().replace('"nights":1', f'"nights":{10**40}')
    (result,) = await (await phone()).sends(text)
    assert (result.status, result.errors[0][0]) == ("rejected", "nights")


async def test_an_enormous_refused_item_does_not_stay_in_the_house() -> None:
    each = await phone()
    await each.sends(new(1, 1, note="x" * 1_000_000))
    (kept,) = await each.store.refusals(ORG, user_id=ANNA, after=0, limit=9)
    assert msgspec.json.decode(kept.refusal.body) == {
        "number": 1,
        "collection": "stays",
        "id": str(row_id(1)),
        "op": "insert",
    }


async def test_a_property_cannot_be_named_like_the_organisation() -> None:
    """Its scope would be everybody's."""
    each = await phone()
    for number, reserved in enumerate((UUID(int=0), UUID(int=2**128 - 1)), start=1):
        hotel = item(number, "insert", reserved, fields={"name": "x"})
        (result,) = await each.sends({**hotel, "collection": "properties"})
        assert (result.status, result.errors) == ("rejected", [("id", "is reserved")])


@pytest.mark.parametrize("numbers", [(1, 3), (2, 1), (1, 1), (3, 2, 1), (1, 2, 2)])
async def test_a_queue_out_of_order_is_not_begun(numbers: tuple[int, ...]) -> None:
    each = await phone()
    with pytest.raises(SeraiError) as caught:
        await each.sends(*(new(n, 10 + place) for place, n in enumerate(numbers)))
    assert caught.value.code is Code.BODY_INVALID
    assert each.store.batches == []


async def test_a_queue_that_begins_too_late_is_told_where_to_begin() -> None:
    each = await phone()
    await each.sends(new(1, 1))
    with pytest.raises(SeraiError) as caught:
        await each.sends(new(3, 3), new(4, 4))
    assert (caught.value.code, caught.value.extra) == (Code.MUTATION_GAP, {"expected": 2})
    assert await nights(each.store, 4) is None


async def test_a_phone_that_heard_no_answer_sends_all_again_and_writes_once() -> None:
    each = await phone()
    sent = (new(1, 1), item(2, "update", 99, fields={"nights": 2}), new(3, 3))
    first = await each.sends(*sent)
    again = await each.sends(*sent, new(4, 4))
    assert [r.replayed for r in again] == [True, True, True, False]
    for one, other in zip(first, again, strict=False):
        assert msgspec.structs.replace(other, replayed=False) == one
    assert each.store.organisations[ORG].head.version == 5


async def test_the_same_number_with_another_content_is_not_taken_for_a_retry() -> None:
    """A file that was copied, or restored: its device numbers the write anew, and those that came
    after it, or they would overtake it.
    """
    each = await phone()
    await each.sends(new(1, 1))
    change = item(3, "update", 3, fields={"nights": 5}, after=2)
    results = await each.sends(new(1, 2), new(2, 3), change)
    assert statuses(results) == [(n, "rejected", "key_reused") for n in (1, 2, 3)]
    assert (await nights(each.store, 2), await nights(each.store, 3)) == (None, None)
    assert await each.store.refusals(ORG, user_id=ANNA, after=0, limit=9) == []
    assert statuses(await each.sends(new(2, 2))) == [(2, "applied", None)]


async def test_a_retry_may_know_a_newer_base() -> None:
    each = await phone()
    await each.sends(new(1, 1))
    change = item(2, "update", 1, fields={"nights": 5}, base=3)
    (first,) = await each.sends(change)
    (again,) = await each.sends({**change, "base": 4, "after": 1})
    assert again.replayed
    assert again.version == first.version


async def test_edits_on_top_of_ones_own_waiting_edits_do_not_conflict() -> None:
    each = await phone()
    results = await each.sends(
        new(1, 1),
        item(2, "update", 1, fields={"nights": 2}, after=1),
        item(3, "update", 1, fields={"nights": 3}, after=2),
        item(4, "delete", 1, after=3),
    )
    assert [r.status for r in results] == ["applied"] * 4
    assert [r.version for r in results] == [3, 4, 5, 6]


async def test_without_saying_so_an_edit_on_top_of_another_is_a_conflict() -> None:
    each = await phone()
    results = await each.sends(new(1, 1), item(2, "update", 1, fields={"nights": 2}))
    assert [r.status for r in results] == ["applied", "conflict"]


async def test_an_edit_that_follows_a_merge_does_not_overwrite_what_its_maker_never_saw() -> None:
    each = await phone()
    await each.sends(new(1, 1))
    await plant(each.store, ORG, ("stays", row_id(1), {"note": "theirs"}))
    results = await each.sends(
        item(2, "update", 1, fields={"nights": 2}, base=3),
        item(3, "update", 1, fields={"note": "mine"}, base=3, after=2),
    )
    assert [r.status for r in results] == ["merged", "conflict"]
    assert results[0].fields == ["note"]
    results = await each.sends(item(4, "delete", 1, base=3, after=3))
    assert [r.status for r in results] == ["conflict"]


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ({"price_minor": 20_000}, {"price_currency": "USD"}),
        ({"price_currency": "JPY"}, {"price_minor": 12_345}),
    ],
)
async def test_an_edit_that_follows_a_merge_makes_no_amount_of_two_peoples_halves(
    theirs: Row, mine: Row
) -> None:
    each = await phone()
    await each.sends(new(1, 1, price_minor=9_000, price_currency="EUR"))
    await plant(each.store, ORG, ("stays", row_id(1), theirs))
    results = await each.sends(
        item(2, "update", 1, fields={"nights": 2}, base=3),
        item(3, "update", 1, fields=mine, base=3, after=2),
    )
    assert [r.status for r in results] == ["merged", "conflict"]
    assert results[0].fields == ["price_minor", "price_currency"]
    (stored,) = await each.store.read([(ORG, 4, row_id(1))])
    assert stored is not None
    before: Row = {"price_minor": 9_000, "price_currency": "EUR"}
    assert told(stored.doc).items() >= {**before, **theirs}.items()


async def test_an_edit_after_a_refused_one_stands_on_its_own_base() -> None:
    each = await phone()
    await each.sends(new(1, 1))
    results = await each.sends(
        item(2, "update", 1, fields={"nights": 0}, base=3),
        item(3, "update", 1, fields={"nights": 4}, base=3, after=2),
    )
    assert [r.status for r in results] == ["rejected", "applied"]


async def test_the_version_of_another_row_says_nothing_about_this_one() -> None:
    """A mistaken client that names any earlier item must not overwrite what others changed."""
    each = await phone()
    await each.sends(new(1, 1))
    await plant(each.store, ORG, ("stays", row_id(1), {"nights": 9}))
    results = await each.sends(
        new(2, 2), item(3, "update", 1, fields={"nights": 4}, base=3, after=2)
    )
    assert [r.status for r in results] == ["applied", "conflict"]
    assert await nights(each.store, 1) == 9


@pytest.mark.parametrize("after", [2, 3, 900])
async def test_an_item_that_names_itself_or_a_later_one_keeps_its_base(after: int) -> None:
    each = await phone()
    await each.sends(new(1, 1))
    results = await each.sends(
        item(2, "update", 1, fields={"nights": 4}, base=3, after=after), new(3, 3)
    )
    assert [r.status for r in results] == ["applied", "applied"]


async def test_a_base_learned_since_is_not_forgotten_for_an_older_answer() -> None:
    """The first edit was applied long ago; since then the user has seen what others did."""
    each = await phone()
    first = item(2, "update", 1, fields={"nights": 2}, base=3)
    await each.sends(new(1, 1), first)
    version = await plant(each.store, ORG, ("stays", row_id(1), {"nights": 7}))
    results = await each.sends(
        first, item(3, "update", 1, fields={"nights": 8}, base=version, after=2)
    )
    assert [(r.status, r.replayed) for r in results] == [("applied", True), ("applied", False)]
    assert await nights(each.store, 1) == 8


async def test_bases_of_another_epoch_are_not_compared() -> None:
    each = await phone()
    await each.sends(new(1, 1), epoch=1)
    each.store.restore(each.store.snapshot())
    with pytest.raises(SeraiError) as caught:
        await each.sends(item(2, "update", 1, fields={"nights": 4}, base=3), epoch=1)
    assert caught.value.code is Code.MUST_REFETCH
    assert await nights(each.store, 1) == 1
    (result,) = await each.sends(item(2, "update", 1, fields={"nights": 4}, base=3), epoch=2)
    assert result.status == "applied"


async def test_a_phone_of_somebody_else_is_refused_whole() -> None:
    each = await phone()
    await each.sends(new(1, 1))
    each.who = caller(BEN)
    with pytest.raises(SeraiError) as caught:
        await each.sends(new(2, 2))
    assert caught.value.code is Code.DEVICE_UNKNOWN


async def test_a_refused_item_never_shows_a_row_of_another_property() -> None:
    each = await phone()
    await each.sends(new(1, 1, note="secret"))
    other = Phone(each.store, caller(ANNA, ("clerk", HILL)))
    for number, sent in enumerate(
        [new(2, 1), item(2, "update", 1, fields={"nights": 2}), item(2, "delete", 1)], start=2
    ):
        answer = await other.answer({**sent, "number": number})
        assert answer.results[0].status == "rejected"
        assert "secret" not in msgspec.json.encode(answer).decode()


async def test_five_hundred_items_of_a_week_without_signal_are_answered_in_order() -> None:
    each = await phone()
    queue = [new(n, n) if n % 7 else item(n, "update", 99_999) for n in range(1, 501)]
    results = await each.sends(*queue)
    assert [r.number for r in results] == list(range(1, 501))
    assert {r.number % 7 == 0 for r in results if r.status == "rejected"} == {True}
    versions = [r.version for r in results if r.status == "applied"]
    assert versions == sorted(versions)


async def test_an_empty_queue_only_pulls() -> None:
    answer = await (await phone()).answer(pull=True)
    assert (answer.results, answer.next_number) == ([], 0)
    assert answer.pull is not None
