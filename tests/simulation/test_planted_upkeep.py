"""The simulation finds defects of upkeep and of segments, each by the promise that it breaks.

Owns those planted defects; see `test_planted_bugs`. Never leaves one behind.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from serai.adapters.memory import life
from serai.adapters.memory import store as memory_store
from serai.adapters.memory.life import MemoryLifeStore
from serai.ports.life import Part, RowText
from simulation.planting import Bug, assert_found


def change_while_sealing_missed(right):
    """A block's rows are read before its version is: what changed in between is missed."""
    read: dict[tuple[int, Part], tuple[object, list[RowText]]] = {}

    async def wrong(self, org_id, part, *, limit):
        found = await right(self, org_id, part, limit=limit)
        life = self._organisations[org_id].life
        before = read.get((id(life), part), (life, found.rows))
        read[id(life), part] = (life, found.rows)
        return replace(found, rows=before[1])

    return wrong


def touched_blocks_called_fresh(right):
    """Segments advance over changes of their rows."""

    async def wrong(self, org_id, since, through, touched):
        return await right(self, org_id, since, through, touched[1:])

    return wrong


def deletes_left_out_on_top(right):
    """A block is served with what changed since, but not with what was deleted."""

    def wrong(*arguments):
        found = right(*arguments)
        if found is None:
            return None
        return replace(found, changes=[c for c in found.changes if '"delete"' not in c[:80]])

    return wrong


def blocks_of_another_epoch(_):
    """What was sealed before a restore stands for what is there after it."""

    async def wrong(self, org_id):
        org = self._organisations[org_id]
        old = org.life or life.KeptLife(org.head.epoch)
        org.life = replace(old, epoch=org.head.epoch, sealed=org.head.version)
        found = await self.life(org_id)
        assert found is not None
        return found

    return wrong


def fold_drops_the_last_change(right):
    """Of a row that changed often the first change is kept."""

    async def wrong(self, org_id, first, last):
        org = self._organisations[org_id]
        inside = [e for e in org.log if first <= e.version <= last]
        kept = {(e.collection, e.id): e for e in reversed(inside)}
        gone = await right(self, org_id, first, last)
        org.log = [
            structs.replace(kept[e.collection, e.id], version=last) if e.version == last else e
            for e in org.log
        ]
        return gone

    return wrong


def fold_leaves_versions_where_they_were(right):
    """Superseded changes go, and the rest keeps its versions: a page ends between rows that were
    written together.
    """

    async def wrong(self, org_id, first, last):
        org = self._organisations[org_id]
        before = {(e.collection, e.id): e for e in org.log if first <= e.version <= last}
        gone = await right(self, org_id, first, last)
        org.log = sorted(
            (before[e.collection, e.id] if e.version == last else e for e in org.log),
            key=lambda e: e.version,
        )
        return gone

    return wrong


def floor_not_raised(_):
    """The log is pruned as if the floor had risen, and no device is told."""

    async def wrong(self, org_id, floor):
        org = self._organisations[org_id]
        org.log = [e for e in org.log if e.version > floor]

    return wrong


def deleted_ids_pruned(right):
    """The id of a deleted row goes with its part of the log."""

    async def wrong(self, org_id, *, limit):
        org = self._organisations[org_id]
        kept = {(e.collection, e.id) for e in org.log if e.version > org.head.floor}
        org.gone &= kept
        return await right(self, org_id, limit=limit)

    return wrong


BUGS = [
    Bug(MemoryLifeStore, "part_rows", change_while_sealing_missed, "I8"),
    Bug(MemoryLifeStore, "advance", touched_blocks_called_fresh, "I8"),
    Bug(memory_store, "segment_page", deletes_left_out_on_top, "I8"),
    Bug(MemoryLifeStore, "begin", blocks_of_another_epoch, "I8"),
    Bug(MemoryLifeStore, "fold", fold_drops_the_last_change, "I8"),
    Bug(MemoryLifeStore, "fold", fold_leaves_versions_where_they_were, "I9"),
    Bug(MemoryLifeStore, "raise_floor", floor_not_raised, "I8"),
    Bug(MemoryLifeStore, "prune", deleted_ids_pruned, "I10"),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.make.__name__)
def test_a_defect_of_upkeep_is_found_within_a_few_seeds(bug):
    assert_found(bug)
