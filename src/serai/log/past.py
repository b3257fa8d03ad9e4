"""The past of a row: what it was at an earlier version, told by the audit record since then.

Owns the walk: entries of the record after a version, in their order, are folded into one `Past` a
row; together with the row as it is now that gives the row as it was. Promises that only what the
record says is used: the first value before of each field that was updated, the whole row before a
delete, nothing before an insert. So a row needs memory for itself alone, however often it changed,
and the walk may stop and go on while the organisation is written to. Never reads anything.

Rejected: undoing the newest entry first. It has to begin again with each new write, so the
organisation would have to stand still for all of it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from serai.core.errors import Code, SeraiError
from serai.ports.store import AuditEntry

CHANGES: Final = frozenset({"insert", "update", "delete"})
"""Entries that changed a row; any other says what was not done, or what an operator ordered."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Past(msgspec.Struct, frozen=True):
    """What is known of a row at the version, from the entries after it so far.

    Attributes:
        fields: field -> its value then; all fields of the row if `settled`.
        settled: nothing that comes later tells more: the row was deleted or inserted since.
        absent: there was no row (it was inserted since).
        version: of the last entry that changed the row; op: what that entry did.
    """

    fields: dict[str, Any]
    settled: bool
    absent: bool
    version: int
    op: str


def looked_back(past: Past | None, entry: AuditEntry) -> Past:
    """Return what is known of a row when a further entry of it was read.

    Args:
        past: from the entries before; None for the first after the version.
    """
    assert entry.op in CHANGES, "other entries change no row"
    before = Past({}, settled=False, absent=False, version=0, op="") if past is None else past
    _follows(past, entry)
    if before.settled:
        return msgspec.structs.replace(before, version=entry.version, op=entry.op)
    content = _decode(entry.content)
    match entry.op:
        case "insert":
            known: dict[str, Any] = {}
        case "delete":
            known = content | before.fields
        case _:
            known = {name: pair[0] for name, pair in content.items()} | before.fields
    settled = entry.op != "update"
    return Past(known, settled, entry.op == "insert", entry.version, entry.op)


def _follows(past: Past | None, entry: AuditEntry) -> None:
    """Refuse an entry that cannot come after the one before it.

    Raises:
        SeraiError: `conflict`: the record contradicts itself.
    """
    if past is not None and (past.op == "delete") != (entry.op == "insert"):
        detail = f"Entry {entry.number} of the audit record is {entry.op} after {past.op}."
        raise SeraiError(Code.CONFLICT, detail)


def then(past: Past, now: str | None) -> str | None:
    """Return the row as it was, as JSON text; None if it was not there.

    Args:
        now: the row as it is now, None if it is not there.
    """
    if past.absent:
        return None
    if past.settled:
        return _encode(past.fields).decode()
    assert now is not None, "a row that was only updated is there"
    return _encode(_decode(now) | past.fields).decode()


def changed(before: str, after: str) -> dict[str, tuple[Any, Any]]:
    """Return field -> (value before, value after) of those that differ."""
    one, other = _decode(before), _decode(after)
    return {
        name: (one.get(name), other.get(name))
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    }


def agrees(past: Past, version: int | None) -> bool:
    """Tell whether a row as it is now is the one that the record speaks of.

    Args:
        version: of the row now, None if it is not there.
    """
    return version is None if past.op == "delete" else version == past.version


def packed(past: Past) -> bytes:
    """Return the past as bytes, to be put aside."""
    return msgspec.msgpack.encode(past)


def unpacked(data: bytes) -> Past:
    """Return what `packed` made."""
    return msgspec.msgpack.decode(data, type=Past)
