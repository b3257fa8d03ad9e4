"""Verification of an audit record: the chain computed again, entry by entry, and its end compared.

Owns what `serai org audit verify` finds. Promises the first entry that is not as it was written,
and what is wrong with it; memory is bounded by one page. It makes each entry's text and hash itself
(`serai.log.audit`) and asks the database for rows only. While the log still has a version, the
entry is compared with what the log says of that write too.

What it cannot see alone: who may change everything in the database can write another whole record,
with another head. A head that was noted elsewhere tells that: `verify` prints it, and with `expect`
compares an old one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from serai.core.errors import Code, SeraiError
from serai.core.limits import AUDIT_PAGE_ENTRIES
from serai.log.audit import FIRST_HASH, NO_ROW, chained
from serai.ports.store import AuditEntry, AuditPage, AuditReader

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_UNKNOWN: Final = "there is no such organisation on this shard"


@dataclass(frozen=True, slots=True)
class Broken:
    """The first thing that is wrong.

    Attributes:
        number: of the entry.
        kind: `missing`, `doubled`, `changed`, `hash`, `log`, `tail`, `head`, `version` or
            `expected`.
        detail: a sentence for a person.
    """

    number: int
    kind: str
    detail: str


@dataclass(slots=True)
class Report:
    """What a verification found.

    Attributes:
        first: number of the first entry that was checked.
        entries: how many were.
        dropped: number of the last entry that retention has dropped, 0 if none was.
        number, hash: the last good entry, to be noted elsewhere.
        total: entries there are, for a progress bar.
    """

    org_id: int
    first: int = 1
    entries: int = 0
    dropped: int = 0
    number: int = 0
    hash: bytes = FIRST_HASH
    total: int = 0
    broken: Broken | None = None


async def verify(
    store: AuditReader,
    org_id: int,
    *,
    first: int = 1,
    expect: tuple[int, bytes] | None = None,
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Check the record of an organisation.

    Args:
        first: entry to begin with; the hash of the one before it is then taken as it stands.
        expect: (number, hash) that was noted before: that entry must still have that hash.

    Raises:
        SeraiError: `not_found` if the organisation is not there.
    """
    report = Report(org_id)
    await _start(store, report, first)
    while report.broken is None:
        page = await store.audit_page(org_id, report.number, limit=AUDIT_PAGE_ENTRIES)
        if page is None:
            raise SeraiError(Code.NOT_FOUND, _UNKNOWN)
        report.total = page.number
        for entry, change in zip(page.entries, page.changes, strict=True):
            report.broken = await _wrong(store, report, page, entry, change)
            if report.broken is not None:
                break
            report.number, report.hash = entry.number, entry.hash
            report.entries += 1
            if expect is not None and expect[0] == entry.number and expect[1] != entry.hash:
                detail = "its hash is not the one that was noted: the record was written anew"
                report.broken = Broken(entry.number, "expected", detail)
                break
        else:
            if len(page.entries) < AUDIT_PAGE_ENTRIES:
                report.broken = _wrong_end(report, page, expect)
                break
        progress(report)
    progress(report)
    return report


async def _start(store: AuditReader, report: Report, first: int) -> None:
    """Set where the chain is taken up: at the first entry, after what was dropped, or where the
    caller says.
    """
    page = await store.audit_page(report.org_id, max(first - 2, 0), limit=1)
    if page is None:
        raise SeraiError(Code.NOT_FOUND, _UNKNOWN)
    report.dropped = page.anchor[0]
    report.number, report.hash = page.anchor
    if first - 1 > page.anchor[0]:
        if not page.entries or page.entries[0].number != first - 1:
            detail = f"entry {first - 1} is missing, on which entry {first} rests"
            report.broken = Broken(first - 1, "missing", detail)
        else:
            report.number, report.hash = first - 1, page.entries[0].hash
    report.first = report.number + 1


async def _wrong(
    store: AuditReader, report: Report, page: AuditPage, entry: AuditEntry, change: str | None
) -> Broken | None:
    """Return what is wrong with the entry after the last good one."""
    expected = report.number + 1
    if entry.number > expected:
        which = f"{expected}" if entry.number == expected + 1 else f"{expected}..{entry.number - 1}"
        return Broken(expected, "missing", f"missing: {which}; the next one is {entry.number}")
    if entry.number < expected:
        return Broken(entry.number, "doubled", "there are two entries of this number")
    if entry.number > page.number:
        return Broken(entry.number, "head", f"the organisation knows {page.number} entries only")
    if chained(report.hash, entry) != entry.hash:
        return await _which(store, report, entry)
    if entry.op not in NO_ROW and entry.version > max(page.head.floor, page.folded):
        differs = "the log has no such change" if change is None else _unlike(entry, change)
        if differs:
            return Broken(entry.number, "log", differs)
    return None


async def _which(store: AuditReader, report: Report, entry: AuditEntry) -> Broken:
    """Tell by the next entry whether the text or the hash was changed: that one was made on the
    true hash.
    """
    true = chained(report.hash, entry)
    page = await store.audit_page(entry.org_id, entry.number, limit=1)
    following = page.entries[0] if page is not None and page.entries else None
    if following is not None and following.number == entry.number + 1:
        next_hash = following.hash
        if next_hash == chained(true, following):
            return Broken(entry.number, "hash", "its hash was changed, its text was not")
        if next_hash == chained(entry.hash, following):
            detail = "its text was changed: the next entry rests on the hash that stands here"
            return Broken(entry.number, "changed", detail)
    elif page is not None and page.number == entry.number and page.hash == true:
        return Broken(entry.number, "hash", "its hash was changed, its text was not")
    detail = "its text does not give its hash: it was changed, or is another entry"
    return Broken(entry.number, "changed", detail)


def _unlike(entry: AuditEntry, change: str) -> str:
    """Return in what the entry differs from the log's change, an empty text if in nothing."""
    logged, content = _decode(change), _decode(entry.content)
    if logged["action"] != entry.op:
        return f"the log says {logged['action']}, the entry {entry.op}"
    if entry.op == "delete":
        return ""
    data = logged["data"]
    after = content if entry.op == "insert" else {name: pair[1] for name, pair in content.items()}
    names = [name for name, value in after.items() if data.get(name) != value]
    return f"the log has other values in {', '.join(names)}" if names else ""


def _wrong_end(report: Report, page: AuditPage, expect: tuple[int, bytes] | None) -> Broken | None:
    """Compare the last entry with what the organisation's row says of it."""
    if report.number < page.number:
        detail = f"the record ends at {report.number}, the organisation knows {page.number} entries"
        return Broken(report.number + 1, "tail", detail)
    if report.hash != page.hash:
        detail = "the organisation's row has another hash for it"
        return Broken(report.number, "head", detail)
    if report.entries and page.entries and page.entries[-1].version != page.head.version:
        detail = f"it is of version {page.entries[-1].version}, the organisation is at version"
        return Broken(report.number, "version", f"{detail} {page.head.version}")
    if expect is not None and expect[0] > report.number:
        detail = f"the record ends at {report.number}, before the entry that was noted"
        return Broken(report.number + 1, "expected", detail)
    return None
