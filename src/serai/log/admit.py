"""Which writes of a batch may be in one transaction.

Owns the choice. Promises that admitted writes do not meet in any row, and that a device whose
mutation waits makes its later ones wait. A pure function; it never looks at a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from serai.ports.store import MutationKey, PlannedWrite, RowKey

_Waiting = TypeVar("_Waiting")


def admit(
    planned: Sequence[tuple[_Waiting, PlannedWrite]],
) -> tuple[list[tuple[_Waiting, PlannedWrite]], list[_Waiting]]:
    """Split a batch into writes that do not meet in any row, and those that must wait for them.

    A write that looks at a row which an earlier one of the batch changes was decided too early.
    """
    of_organisation = Counter([plan.org_id for _, plan in planned])
    written: set[RowKey] = set()
    halted: set[tuple[int, UUID]] = set()
    keys: set[tuple[int, object]] = set()
    admitted: list[tuple[_Waiting, PlannedWrite]] = []
    deferred: list[_Waiting] = []
    for waiting, plan in planned:
        if of_organisation[plan.org_id] == 1:
            admitted.append((waiting, plan))
            continue
        once = plan.once
        device = device_of(plan)
        touched = [(plan.org_id, item.collection, item.id) for item in plan.reads]
        doubled = once is not None and (plan.org_id, once) in keys
        if doubled or device in halted or not written.isdisjoint(touched):
            deferred.append(waiting)
            if device is not None:
                halted.add(device)
            continue
        written.update([(plan.org_id, op.collection, op.id) for op in plan.ops])
        keys.add((plan.org_id, once))
        admitted.append((waiting, plan))
    return admitted, deferred


def device_of(plan: PlannedWrite) -> tuple[int, UUID] | None:
    """Return whose order the write keeps, None if it is no mutation."""
    once = plan.once
    # `isinstance` of a struct that it is not asks Python's abstract classes: 0.4 us.
    return (plan.org_id, once.device_id) if type(once) is MutationKey else None
