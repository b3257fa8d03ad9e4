"""Three-way merge of one row, field by field, against the version that the user had seen.

Owns the merge. A field was changed by others if its own version is above the base version: the
store keeps that per field, so neither the old row nor the log is needed, however old the base is.
Promises that money never takes the last write, and that a conflict changes nothing. An amount and
its currency are one value: 200 from one desk and USD from another are not 200 USD. A base above the
row's version is of no row that anybody saw, and counts as one that saw nothing. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from serai.model import Collection, Policy
from serai.model.rules import Row
from serai.ports.store import StoredRow


class Merged(Struct, frozen=True):
    """The row after the change (None for a delete); `fields`: what others had changed and the row
    keeps. Of an amount that is both halves, whichever they changed: who sees one as it was has not
    seen the amount.
    """

    row: Row | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Others changed these fields too; nothing is written."""

    fields: tuple[str, ...]


def merge_update(
    collection: Collection, stored: StoredRow, before: Row, wanted: Row, base: int | None
) -> Merged | Conflict:
    """Return `before` with the `wanted` fields, or the conflict. `base` None: the caller saw the
    row as it is.
    """
    after = {**before, **wanted}
    if base is None or base == stored.version:
        return Merged(after, ())
    foreign = _changed_since(collection, stored, base)
    asked = _asked(collection, before, wanted)
    clash = [
        name for name in foreign if name in asked and collection.policy_of(name) is Policy.MERGE
    ]
    clash += [name for name in foreign if collection.policy_of(name) is Policy.WHOLE_ROW]
    if collection.policy is Policy.WHOLE_ROW and foreign:
        clash = foreign
    if clash:
        return Conflict(tuple(dict.fromkeys(clash)))
    kept = _with_halves(collection, set(foreign)).difference(wanted)
    return Merged(after, tuple(name for name in collection.fields if name in kept))


def merge_delete(collection: Collection, stored: StoredRow, base: int | None) -> Merged | Conflict:
    """Return the delete, or the conflict: a row that others have changed since is not thrown away
    unseen.
    """
    if base is None or base == stored.version:
        return Merged(None, ())
    foreign = _changed_since(collection, stored, base)
    if all(collection.policy_of(name) is Policy.LAST_WRITE for name in foreign):
        return Merged(None, ())
    return Conflict(tuple(foreign))


def _asked(collection: Collection, before: Row, wanted: Row) -> set[str]:
    """Return the fields that the change gives another value, of an amount both halves."""
    names = {name for name, value in wanted.items() if value != before.get(name)}
    return _with_halves(collection, names)


def _with_halves(collection: Collection, names: set[str]) -> set[str]:
    """Return the fields, and of each half of an amount the other one."""
    whole = set(names)
    for name in names:
        if collection.fields[name].money:
            stem, _, half = name.rpartition("_")
            whole.add(f"{stem}_{'currency' if half == 'minor' else 'minor'}")
    return whole


def _changed_since(collection: Collection, stored: StoredRow, base: int) -> list[str]:
    if not stored.created_version <= base < stored.version:
        return list(collection.fields)
    versions = stored.field_versions
    return [name for name in collection.fields if versions.get(name, 0) > base]
