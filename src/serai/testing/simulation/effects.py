"""Whether a mutation that was carried out did what its user meant.

Owns the reading of merges: from what the user saw and wrote, and what others had changed, it says
what must not have happened. Promises to judge by the record and the ledger alone; the versions of
fields, by which the product merges, are not looked at. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from serai.model import Policy
from serai.model.fields import Value
from serai.ports.store import PlannedWrite
from serai.testing.simulation.device import Device, Written
from serai.testing.simulation.history import Change, Doc, History, RowId


def wrong_effect(
    history: History, device: Device, written: Written, write: PlannedWrite, version: int
) -> str | None:
    """Say what is wrong with what became of a mutation, None if nothing is."""
    row = (history.vertical.by_name[written.collection].number, written.row_id)
    below = version if write.ops else version + 1
    between = _since_like_seen(history, row, written.base, below)
    # A base of 1 says nothing about what was seen, see `_alone`; nor does one that was lost.
    blind = written.base == 1 or written.epoch < history.sure_since
    foreign = [each for each in between if each.author != device.id and not blind]
    gone = history.has_gone(row, written.fields)
    if write.refusal is not None and write.refusal.code == "property_transferred":
        history.trace.branch("refused_transferred")
        return None if gone and not write.ops else "is refused, though its property is here"
    # Whose roles were taken before the property began to go may be told so afterwards.
    barred = write.refusal is not None and write.refusal.code == "forbidden"
    if gone and not write.ops and not barred:
        return f"is for a property that has gone, and is not refused by that name: {write.reply}"
    if write.refusal is not None:
        history.trace.branch(write.refusal.outcome)
        if write.ops:
            return "was refused and changed something"
        alone = write.refusal.outcome == "conflict" and _alone(history, device, written, below)
        return "conflicts with nobody" if alone else None
    history.trace.branch("merged" if '"status":"merged"' in write.reply else "applied")
    before, after = history.row_at(row, below - 1), history.row_at(row, version)
    old = None if before is None else before.doc
    new = None if after is None else after.doc
    if written.op == "delete":
        return _wrong_delete(history, device, written, foreign, old, new)
    if new is None or any(new[name] != value for name, value in written.fields.items()):
        return f"is acknowledged and not in the row: {new}"
    if written.op == "insert" or old is None:
        return None
    return _wrong_update(history, device, written, foreign, old, new)


def _since_like_seen(history: History, row: RowId, base: int, below: int) -> list[Change]:
    """Return the changes of a row since its user saw it.

    In another epoch a base is found again by the row's text: what others changed, and changed back
    before that, nobody can see any more, and the user loses nothing by it.
    """
    between = history.between(row, base, below)
    seen = history.row_at(row, base)
    if seen is None or not any(base <= version < below for version in history.restored):
        return between
    alike = [n for n, each in enumerate(between) if each.doc is not None and each.doc == seen.doc]
    return between[alike[-1] + 1 :] if alike else between


def _wrong_delete(
    history: History,
    device: Device,
    written: Written,
    foreign: Sequence[Change],
    old: Doc | None,
    new: Doc | None,
) -> str | None:
    collection = history.vertical.by_name[written.collection]
    unseen = [
        name
        for name in collection.fields
        if collection.policy_of(name) is not Policy.LAST_WRITE
        and _unseen(device, written, name, foreign)
    ]
    if old is not None and unseen:
        return f"deleted what its user had not seen: {unseen}"
    return None if new is None else "was to delete, and the row is there"


def _wrong_update(
    history: History,
    device: Device,
    written: Written,
    foreign: Sequence[Change],
    old: Doc,
    new: Doc,
) -> str | None:
    collection = history.vertical.by_name[written.collection]
    kept = [name for name in new if name not in written.fields and new[name] != old[name]]
    if kept:
        return f"changed fields it does not name: {kept}"
    moved = [name for name in written.fields if new[name] != old[name]]
    if moved and foreign and collection.policy is Policy.WHOLE_ROW:
        return "wrote over a row that others had changed"
    lost = [
        name
        for name in moved
        if collection.policy_of(name) is Policy.MERGE and _unseen(device, written, name, foreign)
    ]
    return f"wrote over changes its user had not seen: {lost}" if lost else None


def _alone(history: History, device: Device, written: Written, below: int) -> bool:
    """Tell whether nobody else has changed what the write is about, since its user saw it."""
    if history.trace.counts["fault:replies_forgotten"]:
        # What a write had merged is forgotten with its reply: then all of it counts as unseen.
        return False
    if written.epoch < history.sure_since:
        # What it was made on was lost with a tail.
        return False
    if written.base == 1:
        # Made on an own write that was answered in an earlier epoch, while the rows of the new one
        # were not there yet: the client knows no version for it, and says the lowest.
        return False
    collection = history.vertical.by_name[written.collection]
    names = {
        name
        for name in (collection.fields if written.op == "delete" else written.fields)
        if collection.policy_of(name) is not Policy.LAST_WRITE
    }
    since, merged = _since(history, device, written)
    # In another epoch a base is found again only if the row is the same, text for text. A write
    # on a merged one may keep its base, and then the device's own changes count as unseen too.
    restored = history.trace.counts["fault:restore"] > 0
    whole = restored or merged or collection.policy is Policy.WHOLE_ROW
    between = history.between((collection.number, written.row_id), since, below)
    return not any(
        each.author != device.id and (whole or not names.isdisjoint(each.changed))
        for each in between
    )


def _since(history: History, device: Device, written: Written) -> tuple[int, bool]:
    """Return the version from which a change of others may count as unseen, and whether an earlier
    write was merged.

    When an earlier write of the row was merged, the protocol does not tell whether the user had
    seen the other change by the later one, and takes it that they had not.
    """
    earlier = [
        each
        for each in device.ledger.values()
        if each.seq < written.seq
        and (each.collection, each.row_id) == (written.collection, written.row_id)
    ]
    found = (history.writes.get((each.device, each.number)) for each in earlier)
    merged = any(each is not None and '"status":"merged"' in each[1].reply for each in found)
    return min([written.base, *(each.base for each in earlier if merged)]), merged


def _unseen(device: Device, written: Written, name: str, foreign: Sequence[Change]) -> bool:
    """Tell whether others had given a field a value that the user did not know."""
    given = [each.doc[name] for each in foreign if name in each.changed and each.doc is not None]
    # The last value counts: it is what would be lost.
    return bool(given) and not _was_own_word(device, written, name, given[-1])


def _was_own_word(device: Device, written: Written, name: str, value: Value) -> bool:
    """Tell whether the user had given the field the same value before: then it was no news."""
    return any(
        each.seq < written.seq
        and (each.collection, each.row_id) == (written.collection, written.row_id)
        and each.fields.get(name) == value
        for each in device.ledger.values()
    )
