"""From a wish to a planned write: permissions, merge, rules. Pure functions of rows that were read.

Owns every decision that is made before the transaction. Promises that a `PlannedWrite` carries the
version of each row that the decision rests on, so the store can tell whether it still holds. Never
reads a row itself: it says which rows it needs (`NeedRows`), is called again with them, and may be
    called any number of times.
"""

from __future__ import annotations

from collections.abc import Collection as Collected
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from serai.core.errors import Code, SeraiError
from serai.core.ids import ORG_SCOPE
from serai.core.limits import ROW_BYTES_MAX, WRITE_READS_MAX, WRITE_ROWS_MAX
from serai.log.audit import difference
from serai.log.intent import RowIntent, WriteIntent
from serai.log.merge import Conflict, Merged, merge_delete, merge_update
from serai.log.replies import VERSION_MARK, applied_reply, refusal_reply, rest_reply
from serai.model import Accept, Collection, Refuse, RowChange, RuleInput, Scope, Vertical
from serai.model.rules import Key, Op, Row
from serai.model.vertical import BASIC_ACTIONS
from serai.ports.store import (
    Author,
    Denial,
    MutationKey,
    PlannedWrite,
    ReadSetItem,
    Refusal,
    RowKey,
    RowOp,
    StoredRow,
)

_ACTIONS: Final[Mapping[Op, str]] = {"insert": "create", "update": "update", "delete": "delete"}
_UNREAD: Final = StoredRow(0, ORG_SCOPE, "", {}, 0)
_encode = msgspec.json.Encoder().encode
_decode_row = msgspec.json.Decoder(dict[str, str | int | bool | None]).decode


class NeedRows(Exception):
    """The decision rests on rows that were not read yet."""

    def __init__(self, keys: list[RowKey]) -> None:
        """Keep the keys, never empty."""
        super().__init__(f"{len(keys)} rows needed")
        self.keys = keys


class _Decision:
    """One intent being decided: what it looked at, and what it will do."""

    __slots__ = ("assumed", "docs", "intent", "now", "ops", "rows", "seen", "vertical")

    def __init__(
        self,
        vertical: Vertical,
        intent: WriteIntent,
        rows: Mapping[RowKey, StoredRow | None],
        now: datetime,
        assumed: Collected[RowKey] = (),
    ) -> None:
        self.vertical = vertical
        self.intent = intent
        self.rows = rows
        self.now = now
        self.assumed = assumed
        self.seen: dict[RowKey, int] = {}
        self.ops: list[RowOp] = []
        self.docs: dict[RowKey, Row | None] = {}

    def stored(self, key: RowKey) -> StoredRow | None:
        """Return a row, noting its version in the read set; asks for one not read yet."""
        row = self.rows.get(key, _UNREAD)
        if row is _UNREAD:
            if key not in self.assumed:
                raise NeedRows([key])
            row = None
        self.seen[key] = 0 if row is None else row.version
        return row

    def all_stored(self, keys: Sequence[RowKey]) -> list[StoredRow | None]:
        """Return rows as `stored` does, asking for all that are missing at once."""
        missing = [key for key in keys if key not in self.rows and key not in self.assumed]
        if missing:
            raise NeedRows(missing)
        return [self.stored(key) for key in keys]

    def key(self, collection: Collection, row_id: UUID) -> RowKey:
        return (self.intent.org_id, collection.number, row_id)


def decide(
    vertical: Vertical,
    intent: WriteIntent,
    rows: Mapping[RowKey, StoredRow | None],
    *,
    epoch: int,
    now: datetime,
    new_ids: bool = False,
) -> PlannedWrite:
    """Return the write that `intent` becomes on these rows.

    A mutation that cannot be applied becomes a write that records its refusal.

    Args:
        new_ids: take it that the rows to insert do not exist, without reading them. The store finds
            out if they do; then decide again without.

    Raises:
        NeedRows: read these too and call again.
        SeraiError: the intent cannot be done and is not a mutation.
    """
    assumed = [
        (intent.org_id, wish.collection.number, wish.id)
        for wish in intent.rows
        if new_ids and wish.op == "insert"
    ]
    decision = _Decision(vertical, intent, rows, now, assumed)
    try:
        if intent.refused is not None:
            raise intent.refused
        replies = [_decide_row(decision, wish) for wish in intent.rows]
        if len(decision.ops) > WRITE_ROWS_MAX or len(decision.seen) > WRITE_READS_MAX * 2:
            raise SeraiError(Code.WRITE_TOO_LARGE)
    except SeraiError as error:
        if not isinstance(intent.once, MutationKey):
            raise
        return _planned(decision, epoch, (), *_refused(decision, intent.once, error))
    grants = vertical.by_name[vertical.grants.collection].number
    ops = tuple(decision.ops)
    touched = grants in [op.collection for op in ops]
    return _planned(decision, epoch, ops, replies[0], None, grants=touched)


def _planned(
    decision: _Decision,
    epoch: int,
    ops: tuple[RowOp, ...],
    reply: str,
    refusal: Refusal | None,
    *,
    grants: bool = False,
) -> PlannedWrite:
    reads = tuple([ReadSetItem(key[1], key[2], version) for key, version in decision.seen.items()])
    intent = decision.intent
    return PlannedWrite(
        org_id=intent.org_id,
        epoch=epoch,
        ops=ops,
        reads=reads,
        once=intent.once,
        body_hash=intent.body_hash,
        reply=reply,
        author=_author(intent),
        refusal=refusal,
        grants_change=grants,
    )


def _author(intent: WriteIntent) -> Author:
    once = intent.once
    if type(once) is MutationKey:
        return Author(intent.actor.user_id, once.device_id, "push")
    return Author(intent.actor.user_id, intent.device_id, intent.via)


def plan_refusal(
    vertical: Vertical, intent: WriteIntent, error: SeraiError, *, epoch: int, now: datetime
) -> PlannedWrite:
    """Return the write that records that the database refused a mutation by a constraint."""
    assert isinstance(intent.once, MutationKey), "only mutations are recorded as refused"
    decision = _Decision(vertical, intent, {}, now)
    return _planned(decision, epoch, (), *_refused(decision, intent.once, error))


def plan_denial(intent: WriteIntent, denial: Denial, *, epoch: int) -> PlannedWrite:
    """Return the write that records that a request was refused."""
    author = _author(intent)
    return PlannedWrite(intent.org_id, epoch, (), (), None, b"", "", author, denial=denial)


def denied(intent: WriteIntent, error: SeraiError, scope: UUID | None) -> Denial:
    """Return what the record says of a refused write. `scope`: of the row, if it is there."""
    wish = intent.rows[0]
    return Denial(
        asked=wish.op,
        code=_code_text(error),
        reason=error.detail or error.code.kind.title,
        collection=wish.collection.number,
        row_id=wish.id,
        scope=scope or _scope_wished(wish),
    )


def _refused(decision: _Decision, once: MutationKey, error: SeraiError) -> tuple[str, Refusal]:
    wish = decision.intent.rows[0]
    known = decision.rows.get(decision.key(wish.collection, wish.id))
    scope = _scope_wished(wish) if known is None else known.scope
    if error.code is Code.CONFLICT and known is not None:
        reply = refusal_reply(once.number, wish.id, error, version=known.version, doc=known.doc)
    else:
        reply = refusal_reply(once.number, wish.id, error, version=0, doc=None)
    refusal = Refusal(
        outcome="conflict" if error.code is Code.CONFLICT else "rejected",
        code=_code_text(error),
        reason=error.detail or error.code.kind.title,
        collection=wish.collection.number,
        row_id=wish.id,
        scope=scope,
        body=decision.intent.body,
    )
    return reply, refusal


def _scope_wished(wish: RowIntent) -> UUID:
    """Return the scope of a row that is not there."""
    property_id = wish.fields.get("property_id")
    if isinstance(property_id, str):
        return UUID(property_id)
    return wish.id if wish.collection.scope is Scope.SELF else ORG_SCOPE


def _code_text(error: SeraiError) -> str:
    word = error.extra.get("rule")
    return word if isinstance(word, str) else error.code.text


def _decide_row(decision: _Decision, wish: RowIntent) -> str:
    """Add the operations of one wish to the decision; return its reply."""
    stored = decision.stored(decision.key(wish.collection, wish.id))
    before = None if stored is None else _decode_row(stored.doc)
    _check_exists(decision, wish, stored)
    merged = _merge(decision, wish, stored, before)
    after = merged.row
    if wish.op == "insert":
        assert after is not None, "an insert has a row"
        _check_may(decision, wish, _scope_of(wish.collection, wish.id, after))
    if after == before:
        return _reply(decision, merged, wish.id, _doc(wish, after), stored)
    change = RowChange(wish.collection.name, wish.op, wish.id, after)
    written = _apply_rule(decision, wish, change, before)
    docs = [_add_op(decision, each) for each in written]
    if not written:
        return _reply(decision, merged, wish.id, _doc(wish, before), stored)
    shown = written[0]
    if shown.collection != wish.collection.name:
        # An answer has no place for a row of another collection: that one comes with the next pull.
        return _reply(decision, merged, wish.id, _doc(wish, before), None)
    return _reply(decision, merged, shown.id, docs[0], None)


def _check_exists(decision: _Decision, wish: RowIntent, stored: StoredRow | None) -> None:
    actor, name = decision.intent.actor, wish.collection.name
    if wish.op == "insert":
        if stored is None:
            return
        if not actor.may(name, "read", stored.scope):
            raise SeraiError(Code.FORBIDDEN)
        if isinstance(decision.intent.once, MutationKey):
            raise SeraiError(Code.CONFLICT, "A row with this id exists already.")
        raise SeraiError(Code.ROW_EXISTS)
    if stored is None:
        if wish.op == "delete" and isinstance(decision.intent.once, MutationKey):
            return
        raise SeraiError(Code.NOT_FOUND)
    if not actor.may(name, "read", stored.scope):
        raise SeraiError(Code.NOT_FOUND)
    _check_may(decision, wish, stored.scope)


def _check_may(decision: _Decision, wish: RowIntent, scope: UUID) -> None:
    actor, name = decision.intent.actor, wish.collection.name
    action = _ACTIONS[wish.op]
    if actor.may(name, action, scope):
        return
    # A role with a special action (approve, pay ...) may ask for an update; the collection's rule
    # says which fields.
    special = (
        wish.op == "update"
        and wish.collection.rule is not None
        and any(
            word not in BASIC_ACTIONS and actor.may(name, word, scope)
            for (_, c), words in decision.vertical.permissions.items()
            if c == name
            for word in words
        )
    )
    if not special:
        raise SeraiError(Code.FORBIDDEN, f"Your role may not {action} {name} here.")


def _merge(
    decision: _Decision, wish: RowIntent, stored: StoredRow | None, before: Row | None
) -> Merged:
    if stored is None or before is None:
        return Merged(dict(wish.fields) if wish.op == "insert" else None, ())
    mutation = isinstance(decision.intent.once, MutationKey)
    if not mutation and wish.base is not None and wish.base != stored.version:
        raise SeraiError(Code.PRECONDITION, f"The row is at version {stored.version}.")
    base = wish.base if mutation else None
    if wish.op == "delete":
        outcome = merge_delete(wish.collection, stored, base)
    else:
        outcome = merge_update(wish.collection, stored, before, dict(wish.fields), base)
    if isinstance(outcome, Conflict):
        names = ", ".join(outcome.fields)
        raise SeraiError(Code.CONFLICT, f"Changed by someone else: {names}.")
    return outcome


def _apply_rule(
    decision: _Decision, wish: RowIntent, change: RowChange, before: Row | None
) -> list[RowChange]:
    rule = wish.collection.rule
    if rule is None:
        return [change]
    by_name, org_id = decision.vertical.by_name, decision.intent.org_id
    names: list[Key] = list(rule.reads(change.op, change.id, before, change.row))
    keys = [(org_id, by_name[name].number, row_id) for name, row_id in names]
    found = decision.all_stored(keys)
    rows = {
        key: None if row is None else _decode_row(row.doc)
        for key, row in zip(names, found, strict=True)
    }
    # Rows that this same write has changed already count as they will be.
    for name, key in zip(names, keys, strict=True):
        if key in decision.docs:
            rows[name] = decision.docs[key]
    asked = RuleInput(
        actor=decision.intent.actor,
        op=change.op,
        id=change.id,
        before=before,
        after=None if change.row is None else dict(change.row),
        rows=rows,
        now=decision.now,
    )
    verdict = rule.decide(asked)
    if isinstance(verdict, Refuse):
        raise SeraiError(Code.RULE, verdict.reason, extra={"rule": verdict.code})
    assert isinstance(verdict, Accept)
    return [*([verdict.change] if verdict.change is not None else []), *verdict.also]


def _add_op(decision: _Decision, change: RowChange) -> str | None:
    """Add the operation, unless it changes nothing; return the row's text after it."""
    collection = decision.vertical.by_name[change.collection]
    key = decision.key(collection, change.id)
    stored = decision.stored(key)
    # Most writes have one row; a hash of an id costs as much as the rest of this line.
    if decision.docs and key in decision.docs:
        raise SeraiError(Code.RULE, "One write changes each row once.")
    if change.op == "insert":
        if stored is not None:
            raise SeraiError(Code.ROW_EXISTS, f"{collection.name} {change.id} exists already.")
        row = _ordered(collection, change.row)
        scope = _scope_of(collection, change.id, row)
        changed: tuple[str, ...] = ()
        diff = ""
    else:
        if stored is None:
            raise SeraiError(Code.NOT_FOUND, f"{collection.name} {change.id} does not exist.")
        scope = stored.scope
        before = _decode_row(stored.doc)
        row = before if change.op == "delete" else _ordered(collection, change.row)
        changed = tuple(name for name in collection.fields if row.get(name) != before.get(name))
        if change.op == "update" and not changed:
            return _text(row)
        if _scope_of(collection, change.id, row) != scope:
            raise SeraiError(Code.FIELD_READ_ONLY, errors=(("property_id", "never changes"),))
        diff = difference(before, row, changed) if changed else ""
    encoded = _encode(row)
    if len(encoded) > ROW_BYTES_MAX:
        raise SeraiError(Code.WRITE_TOO_LARGE, "The row is larger than 64 KiB.")
    doc = encoded.decode()
    decision.ops.append(RowOp(change.op, collection.number, change.id, scope, doc, changed, diff))
    if change.op == "delete":
        decision.docs[key] = None
        return None
    decision.docs[key] = row
    return doc


def _doc(wish: RowIntent, row: Row | None) -> str | None:
    return None if row is None else _text(_ordered(wish.collection, row))


def _text(row: Row) -> str:
    return _encode(row).decode()


def _ordered(collection: Collection, row: Row | None) -> Row:
    """Return the row with exactly the declared fields, in their order: equal rows have equal
    texts.
    """
    assert row is not None, "an insert or an update has a row"
    if [*row] == [*collection.fields]:
        return row
    unknown = row.keys() - collection.fields.keys()
    assert not unknown, f"{collection.name} has no fields {unknown}"
    return {name: row.get(name) for name in collection.fields}


def _scope_of(collection: Collection, row_id: UUID, row: Row) -> UUID:
    match collection.scope:
        case Scope.SELF:
            return row_id
        case Scope.ORGANISATION:
            return ORG_SCOPE
        case Scope.PROPERTY:
            value = row["property_id"]
            assert isinstance(value, str), "property_id is required"
            return _uuid(value)


@lru_cache(maxsize=65_536)
def _uuid(text: str) -> UUID:
    """Return the id. A batch names a few properties many times."""
    return UUID(text)


def _reply(
    decision: _Decision,
    merged: Merged,
    row_id: UUID,
    doc: str | None,
    stored: StoredRow | None,
) -> str:
    """Return the reply's text.

    Args:
        doc: the row's.
        stored: given when nothing is written: the reply then has the row's own version.
    """
    once = decision.intent.once
    if once is None:
        # Nobody asks twice: an import finds out by looking at its rows.
        return ""
    version = VERSION_MARK if stored is None else str(stored.version)
    if type(once) is MutationKey:
        return applied_reply(once.number, row_id, merged.fields, version=version, doc=doc)
    return rest_reply(row_id, version=version, doc=doc)
