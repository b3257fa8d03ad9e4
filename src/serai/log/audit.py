"""The audit record: what an entry says, and how entries are chained.

Owns the canonical text of an entry, the hash that links it to the one before, and the contents that
are made of a write. Promises that each committed row, each refusal and each denial has an entry,
and that the text of an entry can be made again from what is stored, by anyone, in any language:

    organisation, number, version, moment, user, device, way, op, collection, row, scope, content

one a line, in UTF-8, joined by one line feed; ids in lower case with hyphens, numbers in decimal, a
device that is not known as an empty line, the content last because it alone is free text. An
entry's hash is SHA-256(hash of the entry before, 32 bytes || text); before the first entry it is 32
zero bytes. `serai.commit` makes the same in SQL; nothing here asks it.

Rejected: a hash over the database's own form of a row (another release of it may print another
one), a hash for a whole transaction (a broken entry of an import of thousands could not be named),
and a signature for each entry (the key would lie beside the data it protects).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from serai.core.limits import AUDIT_REASON_CHARS_MAX
from serai.model.rules import Row
from serai.ports.store import AuditEntry, Denial, PlannedWrite, Refusal

NO_ROW: Final = frozenset({"refuse", "transfer", "restore"})
"""Entries that changed no row: what was not done, that a property came or went, and an order."""
FIRST_HASH: Final = bytes(32)
"""What stands before the first entry."""
Said = tuple[str, int, UUID, UUID, str]
"""(op, collection, row, scope, content)."""
_encode = msgspec.json.Encoder().encode


def canonical_text(entry: AuditEntry) -> str:
    """Return the text that the entry's hash covers."""
    return "\n".join(
        (
            str(entry.org_id),
            str(entry.number),
            str(entry.version),
            entry.at,
            str(entry.user_id),
            "" if entry.device_id is None else str(entry.device_id),
            entry.via,
            entry.op,
            str(entry.collection),
            str(entry.row_id),
            str(entry.scope),
            entry.content,
        )
    )


def chained(before: bytes, entry: AuditEntry) -> bytes:
    """Return the hash of an entry that follows one with the hash `before`."""
    return hashlib.sha256(before + canonical_text(entry).encode()).digest()


def difference(before: Row, after: Row, fields: Iterable[str]) -> str:
    """Return `{"field":[before,after]}` of these fields as JSON text."""
    return _encode({name: (before.get(name), after.get(name)) for name in fields}).decode()


def entries_of(write: PlannedWrite) -> list[Said]:
    """Return what the record says of a write when it is committed, in order."""
    changes: list[Said] = [
        (op.op, op.collection, op.id, op.scope, op.diff if op.op == "update" else op.doc)
        for op in write.ops
    ]
    return changes + refusals_of(write)


def refusals_of(write: PlannedWrite) -> list[Said]:
    """Return what the record says of a write that was not done."""
    if write.refusal is None and write.denial is None:
        return []
    refused = (each for each in (write.refusal, write.denial) if each is not None)
    return [("refuse", r.collection, r.row_id, r.scope, _refused(r)) for r in refused]


def _refused(each: Refusal | Denial) -> str:
    """Return why something was not done. What was sent stays out: it may hold anything."""
    why: dict[str, object] = {"code": each.code, "reason": each.reason[:AUDIT_REASON_CHARS_MAX]}
    if isinstance(each, Refusal):
        return _encode({"outcome": each.outcome, **why}).decode()
    counted = {"more": each.more} if each.more else {}
    return _encode({"outcome": "denied", **why, "asked": each.asked, **counted}).decode()
