"""Money lies in its month at the target of a move, also where nobody had money then.

Owns the partitions that a move makes. Each test has months of its own. Never counts how many months
there are.
"""

from __future__ import annotations

from integration.moves.dead import other
from integration.moves.street import Fleet, House

AUDIT_TRIGGERS = (
    "SELECT tgname, tgenabled::text FROM pg_trigger"
    " WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY tgname"
)


def make_month(fleet: Fleet, shard: str, month: str) -> None:
    for name in ("revenues", "expenses"):
        fleet.sql(
            shard,
            "SELECT serai.ensure_months('hospitality', %s, 'business_date', %s::date, %s::date)",
            *(name, month, month),
        )


def places(fleet: Fleet, shard: str, house: House) -> dict[str, int]:
    """Return partition -> rows of an organisation's revenues."""
    return dict(
        fleet.sql(
            shard,
            "SELECT tableoid::regclass::text, count(*) FROM hospitality.revenues"
            " WHERE org_id = %s GROUP BY 1",
            house.org_id,
        )
    )


async def test_rows_of_a_month_that_the_target_never_had_come_into_a_month_of_their_own(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    make_month(fleet, home, "2041-05-01")
    await house.insert("revenues", house.row("revenues") | {"business_date": "2041-05-31"})
    make_month(fleet, home, "2026-03-01")
    before = places(fleet, home, house)
    assert before["hospitality.revenues_2041_05"] == 1
    assert before["hospitality.revenues_2026_03"] == 1
    assert "hospitality.revenues_default" not in before
    await fleet.move(house.org_id, to=other(home))
    assert places(fleet, other(home), house) == before
    await house.check(other(home))


async def test_a_month_of_the_audit_record_is_made_with_what_guards_it(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    fleet.sql(home, "SELECT serai.make_audit_month('2017-01-01')")
    await fleet.move(house.org_id, to=other(home))
    guards = fleet.sql(other(home), AUDIT_TRIGGERS, "serai.audit_2017_01")
    assert guards == fleet.sql(home, AUDIT_TRIGGERS, "serai.audit_2017_01")
    assert [name for name, enabled in guards if enabled == "A"] == ["append_only", "never_emptied"]
    ((closed,),) = fleet.sql(
        other(home),
        "SELECT relrowsecurity FROM pg_class WHERE oid = 'serai.audit_2017_01'::regclass",
    )
    assert closed


async def test_a_month_of_the_audit_record_that_has_entries_stays_where_it_is(fleet: Fleet) -> None:
    """The present month was made when the shard was; its default partition has none of it."""
    for shard in ("a", "b"):
        ((made,),) = fleet.sql(
            shard,
            "SELECT serai.make_audit_month(date_trunc('month', now() AT TIME ZONE 'UTC')::date)",
        )
        assert not made


async def test_months_that_are_in_use_at_the_target_hold_up_no_move(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    make_month(fleet, home, "2044-02-01")
    await house.insert("revenues", house.row("revenues") | {"business_date": "2044-02-29"})
    with fleet.reading(other(home), "hospitality.revenues_default"):
        report = await fleet.move(house.org_id, to=other(home))
    assert report.failed == {}
    assert places(fleet, other(home), house)["hospitality.revenues_default"] >= 1
    await house.check(other(home))
    # The next one that comes from there brings them into their month.
    await fleet.move(house.org_id, to=home)
    await fleet.move(house.org_id, to=other(home))
    assert places(fleet, other(home), house)["hospitality.revenues_2044_02"] == 1
    await house.check(other(home))
