"""Which rows an index has, as its statement says it."""

from __future__ import annotations

from dataclasses import replace

from serai.model import Index
from serai.schema.collections import generate
from serai.testing.vertical import VERTICAL


def test_a_sparse_index_has_only_rows_whose_last_field_is_set():
    stays = replace(
        VERTICAL.by_name["stays"],
        indexes=(Index(("property_id", "room"), sparse=True), Index(("arrives_on",))),
    )
    changed = replace(
        VERTICAL, collections=tuple(stays if c.name == "stays" else c for c in VERTICAL.collections)
    )
    made = {statement.name: statement.sql for statement in generate(changed)}
    of_rooms = made["index trial.stays_by_property_id_room"]
    assert of_rooms.endswith('(org_id, "property_id", "room", id) WHERE "room" IS NOT NULL')
    assert made["index trial.stays_by_arrives_on"].endswith('(org_id, "arrives_on", id)')
