"""A batch of planned writes as the arguments of `serai.commit`.

Owns the order and the form of its arrays. Promises that they are in order of organisation, write
and row, as that function wants them, and that an array of which nothing is needed is null. Never
asks the database anything.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final
from uuid import UUID

import msgspec

from serai.log.audit import refusals_of
from serai.ports.store import IdempotencyKey, MutationKey, PlannedWrite, ReadSetItem, Refusal

_SEPARATOR: Final = "\x1e"
_ABSENT: Final = "\x1d"
_KEY_BYTES: Final = 18
"""Of the hash that a key is stored as: 24 characters, for any key of any length."""
_encode = msgspec.json.Encoder().encode
_Row = tuple[int, str, int, UUID, UUID, str, str, str | None]
"""(write, op, collection, row, scope, doc, changed fields, diff)."""


def commit_arguments(writes: Sequence[PlannedWrite], *, trusting: bool) -> list[object]:
    """Return the arrays of `serai.commit`: of organisations, of writes, of what they read, of their
    rows.

    Args:
        writes: in order of organisation.
        trusting: without the rows that a write inserts in what it read, which say only that the row
            is new.
    """
    orgs = [w.org_id for w in writes]
    distinct = [org_id for org_id, _ in groupby(orgs)]
    assert distinct == sorted(set(distinct)), "writes come in order of organisation"
    place = {org_id: n for n, org_id in enumerate(distinct, 1)}
    reads = [(n, item) for n, w in enumerate(writes, 1) for item in _reads(w, trusting=trusting)]
    rows = [row for n, w in enumerate(writes, 1) for row in _rows(n, w)]
    return [
        _elements(distinct),
        _elements([place[org_id] for org_id in orgs]),
        _elements(orgs),
        _elements([w.epoch for w in writes]),
        *_once(writes),
        [w.body_hash for w in writes],
        _elements([w.reply for w in writes]),
        _texts(["true" if w.grants_change else None for w in writes]),
        _refusals(writes),
        [w.author.user_id for w in writes],
        _ids([w.author.device_id for w in writes]),
        _elements([w.author.via for w in writes]),
        _elements([n for n, _ in reads]),
        _elements([item.collection for _, item in reads]),
        [item.id for _, item in reads],
        _elements([item.version for _, item in reads]),
        _elements([row[0] for row in rows]),
        _elements([row[1] for row in rows]),
        _elements([row[2] for row in rows]),
        [row[3] for row in rows],
        [row[4] for row in rows],
        _elements([row[5] for row in rows]),
        _texts([row[6] or None for row in rows]),
        _texts([row[7] for row in rows]),
    ]


def key_text(once: IdempotencyKey) -> str:
    """Return how a caller's key is stored: of one length, whatever the caller took."""
    text = once.user_id.bytes + once.key.encode()
    digest = hashlib.blake2b(text, digest_size=_KEY_BYTES).digest()
    return "k" + binascii.b2a_base64(digest, newline=False).decode()


def _reads(write: PlannedWrite, *, trusting: bool) -> Sequence[ReadSetItem]:
    if not trusting:
        return write.reads
    inserted = [op.id for op in write.ops if op.op == "insert"]
    # An id is of one collection: another one's row with the same id is looked at once too often.
    return [item for item in write.reads if item.version or item.id not in inserted]


def _rows(place: int, write: PlannedWrite) -> Iterable[_Row]:
    for o in write.ops:
        yield place, o.op, o.collection, o.id, o.scope, o.doc, ",".join(o.changed), o.diff or None
    for op, collection, row_id, scope, content in refusals_of(write):
        yield place, op, collection, row_id, scope, content, "", None


def _once(writes: Sequence[PlannedWrite]) -> tuple[object, ...]:
    """Return the arrays of kinds, keys, users, devices and numbers."""
    kinds: list[str] = []
    keys: list[str | None] = []
    mutations: list[MutationKey | None] = []
    for write in writes:
        once = write.once
        if once is None:
            kinds.append("n")
            keys.append(None)
            mutations.append(None)
        elif type(once) is MutationKey:
            kinds.append("m")
            keys.append(f"m{once.device_id.hex}{once.number}")
            mutations.append(once)
        else:
            assert type(once) is IdempotencyKey, "there are two kinds of keys"
            kinds.append("k")
            keys.append(key_text(once))
            mutations.append(None)
    if not any(mutations):
        return _elements(kinds), _elements(keys), None, None, None
    return (
        _elements(kinds),
        _elements(keys),
        [None if m is None else m.user_id for m in mutations],
        [None if m is None else m.device_id for m in mutations],
        _elements([None if m is None else m.number for m in mutations]),
    )


def _refusals(writes: Sequence[PlannedWrite]) -> str | None:
    return _texts([None if w.refusal is None else _refusal_text(w.refusal) for w in writes])


def _refusal_text(refusal: Refusal) -> str:
    fields = {
        "outcome": refusal.outcome,
        "code": refusal.code,
        "reason": refusal.reason,
        "collection": refusal.collection,
        "row_id": str(refusal.row_id),
        "scope": str(refusal.scope),
        "body": refusal.body,
    }
    return _encode(fields).decode()


def _ids(values: Sequence[UUID | None]) -> Sequence[UUID | None] | None:
    return values if any(values) else None


def _texts(values: Sequence[str | None]) -> str | None:
    return _elements(values) if any(values) else None


def _elements(values: Sequence[object]) -> str:
    """Return an array as one text, which PostgreSQL takes apart (`string_to_array`).

    asyncpg asks of each element of an array whether it is an array itself: 0.4 us, for 20 columns a
    third of all that a row costs here. No text of ours holds the two control characters: JSON
    escapes them, and a key with one is refused.
    """
    text = _SEPARATOR.join([_ABSENT if value is None else str(value) for value in values])
    assert text.count(_SEPARATOR) == max(len(values) - 1, 0), "an element holds a separator"
    return text
