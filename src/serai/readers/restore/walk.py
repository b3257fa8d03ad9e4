"""The walk: from a version to the present through the audit record, verified as it goes.

Owns which entries are read and what is put aside of them, in a table of the session, so that memory
is bounded by a page. Promises that each entry's hash follows from the one before and the last one's
is the organisation's, that no version between is missing, and that a version whose entries were
dropped by retention is refused with the oldest that can be had. It may go on while the organisation
is written to. Never changes a row.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from serai.core.clock import timestamp_text
from serai.core.errors import Code, SeraiError
from serai.core.limits import AUDIT_PAGE_ENTRIES
from serai.log.audit import chained
from serai.log.past import CHANGES, Past, looked_back, packed, unpacked
from serai.ports.store import AuditEntry
from serai.readers.restore.link import Conn, Step, query

RowId = tuple[int, UUID]
_VERIFY: Final = "Run `serai org audit verify`."


def _broken(number: int, what: str) -> SeraiError:
    detail = f"The audit record is broken at entry {number}: {what}. Nothing was changed. {_VERIFY}"
    return SeraiError(Code.CONFLICT, detail)


class Walk:
    """One walk.

    Args:
        conn: to the organisation's home, as its owner; its session has the stage.
        at: the version to go back to.

    Attributes:
        epoch, head: of the organisation when it was read last. entries: read so far.
        transferred: version of the last change since by which a property came from, or went to,
            another organisation; 0 if there was none.
    """

    def __init__(self, conn: Conn, org_id: int, at: int, step: Step) -> None:
        """Find where the walk begins.

        Raises:
            SeraiError: `not_found` if the organisation is not here, `fields_invalid` for a version
                that it never had or whose entries are gone.
        """
        self._conn, self._org, self._step = conn, org_id, step
        found = query(conn, "standing", org=org_id)
        if not found or found[0][2] == "moved":
            raise SeraiError(Code.NOT_FOUND, "The organisation is not where it should live.")
        self.epoch, self.head, _, last, _, dropped, dropped_hash = found[0]
        if not 1 <= at <= self.head:
            detail = f"The organisation is at version {self.head}: say one from 1 to that."
            raise SeraiError(Code.FIELDS_INVALID, detail)
        self.entries: int = 0
        self.transferred: int = 0
        self._reached: int = at
        self._number = self._last_before(at, dropped, last)
        self._hash: bytes = dropped_hash if self._number == dropped else self._hash_before()

    def _last_before(self, at: int, dropped: int, last: int) -> int:
        """Return the last entry that is not after the version."""
        if dropped:
            oldest = self.head
            if dropped < last:
                version, op, _, _ = self._read_entry(dropped + 1)
                oldest = version - (op in CHANGES)
            if at < oldest:
                detail = (
                    f"Retention has dropped the record of version {at + 1}. "
                    f"The oldest version that can be restored is {oldest}."
                )
                raise SeraiError(Code.FIELDS_INVALID, detail)
        low, high = dropped, last
        while low < high:
            middle = (low + high + 1) // 2
            if self._read_entry(middle)[0] <= at:
                low = middle
            else:
                high = middle - 1
        return low

    def _read_entry(self, number: int) -> tuple[Any, ...]:
        found = query(self._conn, "entry", org=self._org, number=number)
        if not found:
            raise _broken(number, "it is missing")
        return found[0]

    def _hash_before(self) -> bytes:
        return bytes(self._read_entry(self._number)[2])

    @property
    def stands(self) -> dict[str, Any]:
        """Where organisation and record stand, when all was read."""
        return {"version": self.head, "number": self._number, "hash": self._hash}

    def read(self) -> None:
        """Read what there is, to the end as it is now.

        Raises:
            SeraiError: `conflict`: the record is not as it was written.
        """
        while True:
            rows = query(
                self._conn,
                "entries",
                org=self._org,
                after=self._number,
                limit=AUDIT_PAGE_ENTRIES,
            )
            self.head, last, last_hash = rows[0][:3]
            found = [_entry_of(row[3:]) for row in rows if row[3] is not None]
            self._put([self._checked(entry) for entry in found])
            self._step("read", self.entries, self.entries + last - self._number)
            if len(found) < AUDIT_PAGE_ENTRIES:
                break
        if (self._number, self._hash) != (last, bytes(last_hash)):
            raise _broken(self._number, "the organisation knows another last entry")
        if self._reached != self.head:
            raise _broken(self._number, f"version {self._reached + 1} is not in it")

    def _checked(self, entry: AuditEntry) -> AuditEntry:
        if entry.number != self._number + 1:
            raise _broken(self._number + 1, "it is missing")
        if chained(self._hash, entry) != entry.hash:
            raise _broken(entry.number, "its text does not give its hash")
        if entry.op in CHANGES:
            if entry.version not in (self._reached, self._reached + 1):
                raise _broken(entry.number, f"version {self._reached + 1} is not in the record")
            self._reached = entry.version
            if entry.via == "transfer":
                self.transferred = entry.version
        self._number, self._hash = entry.number, entry.hash
        self.entries += 1
        return entry

    def _put(self, entries: list[AuditEntry]) -> None:
        """Put aside what the entries tell of their rows."""
        told = [entry for entry in entries if entry.op in CHANGES]
        keys = list(dict.fromkeys((entry.collection, entry.row_id) for entry in told))
        if not keys:
            return
        given = {"collections": [key[0] for key in keys], "ids": [key[1] for key in keys]}
        pasts: dict[RowId, Past] = {
            (collection, row_id): unpacked(past)
            for collection, row_id, past in query(self._conn, "pasts", **given)
        }
        scopes = {(entry.collection, entry.row_id): entry.scope for entry in told}
        for entry in told:
            key = entry.collection, entry.row_id
            pasts[key] = looked_back(pasts.get(key), entry)
        query(
            self._conn,
            "put_pasts",
            **given,
            scopes=[scopes[key] for key in keys],
            pasts=[packed(pasts[key]) for key in keys],
        )


def _entry_of(row: tuple[Any, ...]) -> AuditEntry:
    org_id, number, at, version, user, device, via, op, collection, row_id, scope, content, sha = (
        row
    )
    return AuditEntry(
        org_id=org_id,
        number=number,
        at=timestamp_text(at),
        version=version,
        user_id=user,
        device_id=device,
        via=via,
        op=op,
        collection=collection,
        row_id=row_id,
        scope=scope,
        content=content,
        hash=bytes(sha),
    )
