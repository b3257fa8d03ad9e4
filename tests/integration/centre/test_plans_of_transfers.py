"""Plans of the statements that a transfer makes for each reference of the vertical.

Owns the proof that they read the organisation of the property and no table whole. Promises counts,
never times. Never transfers anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from integration.centre.full import ORG, ROWS, document, parents
from integration.centre.test_plans import READ_MAX, SCANS, scans
from serai.app.transfer.giver import Giver
from serai.app.transfer.shape import Link, Shape
from serai.app.transfer.shard import SqlShard
from serai.core.clock import SystemClock
from serai.readers.move.link import SETTINGS
from serai_hospitality import VERTICAL

SHAPE = Shape.of(VERTICAL)
LEFT_HOUSE = UUID(int=0xABC)
"""A property with one row in each collection, beside one that has all the others."""
ONCE = 2 * ROWS + READ_MAX
"""Rows, and entries of their index, of an organisation that is gone through once."""


def read_by_a_transfer(url: str, ask: Callable[[Giver], object]) -> dict[str, tuple[int, int]]:
    """Return table -> (rows read whole, rows and entries read by an index)."""
    with psycopg.connect(url, options=SETTINGS) as conn:
        conn.execute(
            "UPDATE serai.row r SET scope = %s FROM ("
            " SELECT DISTINCT ON (collection) collection, id FROM serai.row WHERE org_id = %s"
            " AND NOT id = ANY (%s) ORDER BY collection, id) one"
            " WHERE r.org_id = %s AND r.collection = one.collection AND r.id = one.id",
            (LEFT_HOUSE, ORG, [UUID(i) for i in parents().values()], ORG),
        )
        before = scans(conn.cursor(row_factory=dict_row).execute(SCANS))
        ask(Giver(SqlShard(conn, VERTICAL.name), SHAPE, ORG, SystemClock()))
        after = scans(conn.cursor(row_factory=dict_row).execute(SCANS))
        conn.rollback()
    found = {
        name: (whole - before.get(name, (0, 0))[0], fetched - before.get(name, (0, 0))[1])
        for name, (whole, fetched) in after.items()
    }
    return {name: counts for name, counts in found.items() if any(counts)}


def links(*kinds: tuple[Link, ...]) -> list[Any]:
    return [
        pytest.param(link, id=f"{link.source.name}.{link.field}") for kind in kinds for link in kind
    ]


@pytest.mark.parametrize("link", links(SHAPE.mapped))
def test_what_a_property_refers_to_is_found_by_one_look_at_its_organisation(
    house_url: str, link: Link
):
    """No index leads from a property to its rows: each write would pay, for a sale."""
    read = read_by_a_transfer(house_url, lambda giver: giver.referred(link, LEFT_HOUSE))
    assert all(whole == 0 and fetched <= ONCE for whole, fetched in read.values()), read
    assert "serai.row" not in read


@pytest.mark.parametrize("link", links(SHAPE.inside, SHAPE.others))
def test_what_leads_across_the_border_of_a_property_is_found_by_one_look(
    house_url: str, link: Link
):
    """One way; the other way leads over the index of the reference."""
    inside, others = ((link,), ()) if link in SHAPE.inside else ((), (link,))
    shape = replace(SHAPE, inside=inside, others=others)
    read = read_by_a_transfer(
        house_url, lambda giver: Giver(giver.shard, shape, ORG, SystemClock()).strays(LEFT_HOUSE)
    )
    assert all(whole == 0 and fetched <= ONCE for whole, fetched in read.values()), read


@pytest.mark.parametrize("name", [c.name for c in VERTICAL.collections if c.natural_key])
def test_the_same_thing_by_its_natural_key_is_found_by_one_look(house_url: str, name: str):
    collection = VERTICAL.by_name[name]
    rows = [document(name)]
    read = read_by_a_transfer(
        house_url, lambda giver: giver.same_things(collection, collection.natural_key, rows)
    )
    assert all(whole == 0 and fetched <= ONCE for whole, fetched in read.values()), read


def test_roles_at_a_property_are_counted_and_no_row_is_fetched(house_url: str):
    read = read_by_a_transfer(house_url, lambda giver: giver.count_grants(LEFT_HOUSE))
    assert read.keys() == {"hospitality.memberships"}
    assert read["hospitality.memberships"] <= (0, ONCE)
