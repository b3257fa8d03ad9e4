"""Refused requests in the audit record: who was refused what, and floods that are only counted.

Owns the tests of `serai.log.denials` through the queue, on the reference store. A second is ended
by `drain`, never waited for. Never expects an entry for what was not asked over REST.
"""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest

from serai.core.errors import Code, SeraiError
from serai.core.limits import DENIALS_PER_SECOND_MAX
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteIntent
from serai.log.verify import verify
from serai.model import Accept, Refuse, RowChange, RuleInput, Verdict
from serai.ports.store import AuditEntry
from unit.log.house import (
    BEN,
    HILL,
    HOUSE,
    ORG,
    OTHER_ORG,
    SEA,
    HouseRule,
    Recorded,
    caller,
    house,
    mutation,
    opened,
    rest,
    row_id,
    stay,
    wish,
)
from unit.log.queueing import answers, code

SESSION = UUID(int=0x500)


def asked(intent: WriteIntent) -> WriteIntent:
    """Return the intent as REST sends it."""
    return msgspec.structs.replace(intent, via="rest", device_id=SESSION)


async def entries(store: Recorded, org_id: int = ORG) -> list[AuditEntry]:
    page = await store.audit_page(org_id, 2, limit=1000)
    assert page is not None
    return page.entries


async def test_who_was_refused_by_role_is_recorded_with_what_was_asked() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    await answers(coalescer, rest(caller(), stay(1, at=HILL)))
    clerk = caller(BEN, ("clerk", HILL))
    delete = wish("stays", "delete", row_id(1))
    (refused,) = await answers(coalescer, asked(rest(clerk, delete, key="k")))
    assert code(refused) is Code.FORBIDDEN
    await coalescer.drain()
    entry = (await entries(store))[-1]
    assert (entry.user_id, entry.device_id, entry.via) == (BEN, SESSION, "rest")
    assert (entry.op, entry.collection, entry.row_id, entry.scope) == ("refuse", 4, row_id(1), HILL)
    assert msgspec.json.decode(entry.content) == {
        "outcome": "denied",
        "code": "forbidden",
        "reason": "Your role may not delete stays here.",
        "asked": "delete",
    }
    assert (await verify(store, ORG)).broken is None


async def test_a_row_of_another_property_is_a_denial_that_its_readers_see() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    await answers(coalescer, rest(caller(), stay(1, at=HILL)))
    clerk = caller(BEN, ("clerk", SEA))
    guess = wish("stays", "update", row_id(1), {"nights": 9})
    (refused,) = await answers(coalescer, asked(rest(clerk, guess, key="k")))
    assert code(refused) is Code.NOT_FOUND
    await coalescer.drain()
    assert (await entries(store))[-1].scope == HILL


@pytest.mark.parametrize("with_key", [True, False])
async def test_rule_and_constraint_are_told_apart(with_key: bool) -> None:
    def no(asked: RuleInput) -> Verdict:
        if asked.after and asked.after["nights"] == 13:
            return Refuse("unlucky", "Not thirteen nights.")
        return Accept(RowChange("stays", asked.op, asked.id, asked.after))

    vertical = house(HouseRule(says=no))
    store = await opened(vertical)
    coalescer = Coalescer(store, vertical)
    unlucky = stay(1, vertical, nights=13)
    nowhere = stay(2, vertical, guest_id=str(UUID(int=1)))
    keys = ("a", "b") if with_key else (None, None)
    wishes = zip((unlucky, nowhere), keys, strict=True)
    who = caller(vertical=vertical)
    done = await answers(coalescer, *(asked(rest(who, each, key=key)) for each, key in wishes))
    assert [code(each) for each in done] == [Code.RULE, Code.REFERENCE_MISSING]
    await coalescer.drain()
    said = [msgspec.json.decode(e.content)["code"] for e in await entries(store)]
    assert said == ["unlucky", "reference_missing"]


async def test_a_flood_of_refusals_is_a_few_entries_and_one_that_counts() -> None:
    store = await opened(HOUSE, ORG, OTHER_ORG)
    coalescer = Coalescer(store, HOUSE)
    clerk = caller(BEN, ("clerk", SEA))
    flood = [asked(rest(clerk, wish("pay", "delete", row_id(n)), key=f"{n}")) for n in range(100)]
    other = caller(BEN, ("clerk", SEA), org_id=OTHER_ORG)
    await answers(coalescer, *flood, asked(rest(other, wish("pay", "delete", row_id(1)), key="x")))
    await coalescer.drain()
    recorded = await entries(store)
    assert len(recorded) == DENIALS_PER_SECOND_MAX + 1 == 6
    told = [msgspec.json.decode(e.content) for e in recorded]
    assert [each.get("more", 0) for each in told] == [0, 0, 0, 0, 0, 94]
    assert len(await entries(store, OTHER_ORG)) == 1
    assert (await verify(store, ORG)).broken is None


async def test_those_who_are_not_refused_are_served_during_a_flood() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    clerk = caller(BEN, ("clerk", SEA))
    bad = [asked(rest(clerk, wish("pay", "delete", row_id(n)), key=f"{n}")) for n in range(50)]
    good = [rest(caller(), stay(n)) for n in range(50)]
    done = await answers(
        coalescer, *(each for pair in zip(bad, good, strict=True) for each in pair)
    )
    assert [isinstance(each, SeraiError) for each in done] == [True, False] * 50
    await coalescer.drain()
    said = [e.op for e in await entries(store)]
    assert (said.count("insert"), said.count("refuse")) == (50, 6)


async def test_what_comes_from_elsewhere_is_not_recorded_twice() -> None:
    """A refused mutation has its own entry; an import reports its lines."""
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    clerk = caller(BEN, ("clerk", SEA))
    gone = wish("pay", "delete", row_id(1))
    await answers(coalescer, mutation(clerk, 1, wish("signs", "delete", row_id(1))))
    await answers(coalescer, rest(clerk, gone))
    await answers(coalescer, msgspec.structs.replace(rest(clerk, gone), via="import"))
    await coalescer.drain()
    assert [e.via for e in await entries(store)].count("rest") == 0


async def test_a_repetition_that_gets_its_first_answer_is_no_denial() -> None:
    store = await opened()
    coalescer = Coalescer(store, HOUSE)
    first = asked(rest(caller(), stay(1), key="k"))
    await answers(coalescer, first)
    await answers(coalescer, rest(caller(), wish("stays", "delete", row_id(1)), key="d"))
    (again,) = await answers(coalescer, first)
    assert not isinstance(again, BaseException)
    await coalescer.drain()
    assert [e.op for e in await entries(store)] == ["insert", "delete"]
