"""What an answer does to the file.

Owns the application of pages and of results. Promises (I9) that everything of one answer, its token
included, happens in the transaction that the caller has opened; that a page which answers another
token than the one held changes nothing; that a row is never replaced by an older version; that a
refused mutation goes to the list, never to nowhere. Never sends anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

from serai.client import overlay
from serai.client.file import DeviceFile, Held, Key
from serai.client.forms import PageChange, PagePart, PulledPage, Result, scope_of
from serai.client.overlay import ServerRow, Written
from serai.client.reactions import NUMBER_REUSED, Unreachable
from serai.client.states import COLLECTION, Fill, Page, step
from serai.core.ids import ALL_SCOPES, ORG_SCOPE


class Touched:
    """Which rows a transaction has changed, by collection number; None stands for all of them."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[int, set[str] | None] = {}

    def row(self, number: int, row_id: str) -> None:
        """Note one row."""
        self.some(number, (row_id,))

    def some(self, number: int, ids: Iterable[str]) -> None:
        """Note some rows."""
        ids = set(ids)
        known = self.rows.setdefault(number, ids) if ids else None
        if known is not None:
            known.update(ids)

    def everything(self, number: int) -> None:
        """Note a collection as a whole."""
        self.rows[number] = None


def take_page(
    file: DeviceFile, page: PulledPage, asked: Mapping[str, str | None], touched: Touched
) -> bool:
    """Apply a page that answers the tokens `asked`; return whether more waits at the server.

    Raises:
        Unreachable: the page is not an answer to the request.
    """
    held = {each.name: each for each in file.collections()}
    if {part.name for part in page.collections} != set(asked):
        raise Unreachable("The answer names other collections than the request.")
    if any(name not in held or held[name].token != token for name, token in asked.items()):
        return True  # the tokens have moved since: this page was overtaken
    if not any(part.must_refetch for part in page.collections):
        if None in asked.values():
            # The old rows go now. If this fill is cut short by another epoch, what the waiting
            # writes were made on would be found nowhere any more.
            file.run("queue_keep_seen", file.meta_number("epoch"))
        _enter_epoch(file, page.epoch)
        file.set_meta("version", str(page.version))
    answered = bool(file.run("answered_any").fetchone()[0])
    for part in page.collections:
        _take_part(file, held[part.name], part, touched)
        if answered and not part.has_more and not part.must_refetch:
            _forget_passed(file, held[part.name].number, page.version, touched)
    more = any(part.has_more or part.must_refetch for part in page.collections)
    if not more and all(each.fill is Fill.WHOLE for each in file.collections()):
        file.run("queue_rebase_seen", page.epoch)
    return more


def overlaid(file: DeviceFile, number: int, ids: Collection[str] | None = None) -> list[str]:
    """Return the rows that the overlay shows in place of the server's, of these or of the whole
    collection.

    It costs what is asked for, not what waits: a queue of 50,000 writes is sent in 500 requests.
    """
    if ids is not None and not ids:
        return []
    if not file.run("overlay_any").fetchone()[0]:
        return []
    if ids is None:
        found = file.run("overlay_of_collection", number)
    else:
        found = file.run("overlay_among", number, msgspec.json.encode([*ids]).decode())
    return [row_id for (row_id,) in found.fetchall()]


def _enter_epoch(file: DeviceFile, epoch: int) -> None:
    """Note the epoch of the rows. In another one the old numbers mean nothing.

    The text that each waiting write was based on was kept; after the fill it finds its row's new
    version if the row is the same.
    """
    before = file.meta_number("epoch")
    if before == 0:
        # Written before the first page: their bases are the answers to earlier ones of them.
        file.run("queue_enter_epoch", epoch)
    elif before != epoch:
        file.run("answered_forget_order")
    file.set_meta("epoch", str(epoch))


def _take_part(file: DeviceFile, held: Held, part: PagePart, touched: Touched) -> None:
    if part.must_refetch:
        file.set_collection(held.number, None, step(COLLECTION, held.fill, Page.REFETCH))
        return
    if held.token is None:
        file.run("rows_drop", held.number)
        touched.everything(held.number)
    _purge(file, held.number, part, touched)
    _take_changes(file, held.number, part.changes, touched)
    versions = {change.id: change.version for change in part.changes}
    for row_id in overlaid(file, held.number, versions):
        for (seq,) in file.run(
            "answered_passed_row", held.number, row_id, versions[row_id]
        ).fetchall():
            file.run("queue_remove", seq)
    fill = step(COLLECTION, held.fill, Page.PART if part.filling else Page.LAST)
    file.set_collection(held.number, part.next_token, fill)


def _purge(file: DeviceFile, number: int, part: PagePart, touched: Touched) -> None:
    """Drop the rows that the caller may not see any more, also where an answer to a write of this
    device holds them. The answer to a delete holds nothing, and its row may be one that stays.
    """
    for scope in part.purge:
        touched.everything(number)
        if scope == ALL_SCOPES:
            which = ("all", msgspec.json.encode(part.keep).decode())
            file.run("rows_drop_scopes_except", number, which[1])
        elif scope == ORG_SCOPE:
            which = ("organisation", None)
            file.run("rows_drop_organisation", number)
        else:
            which = ("one", str(scope))
            file.run("rows_drop_scope", number, which[1])
        file.run("purge_answered", number, *which)
        file.run("purge_refusals", number, *which)


def _take_changes(
    file: DeviceFile, number: int, changes: Sequence[PageChange], touched: Touched
) -> None:
    # Runs of puts and of deletes keep the page's order and still use one statement for many rows.
    for deletes, run in groupby(changes, key=lambda change: change.action == "delete"):
        if deletes:
            file.run_many("row_delete", ((number, c.id, c.version) for c in run))
        else:
            file.run_many(
                "row_put",
                (
                    (number, c.id, scope_of(c.id, c.data), c.version, str(c.data, "utf-8"))
                    for c in run
                ),
            )
    touched.some(number, (change.id for change in changes))


def _forget_passed(file: DeviceFile, number: int, version: int, touched: Touched) -> None:
    for seq, _, row_id in file.run("answered_passed", number, version).fetchall():
        file.run("queue_remove", seq)
        touched.row(number, row_id)


def drop_tokens(file: DeviceFile) -> bool:
    """Drop every token; rows and queue stay. Return whether there was one to drop."""
    with_token = [each for each in file.collections() if each.token is not None]
    for each in with_token:
        file.set_collection(each.number, None, step(COLLECTION, each.fill, Page.REFETCH))
    file.set_meta("etag", "")
    return bool(with_token)


def take_results(
    file: DeviceFile, results: Iterable[Result], touched: Touched, now: str
) -> tuple[int, bool]:
    """Apply the results of a push.

    Returns how many mutations were settled, and whether one found its number used by another write.
    """
    settled, reused = 0, False
    for result in results:
        found = file.run("queue_by_number", result.number).fetchone()
        if found is None:
            continue  # settled by an earlier copy of this answer
        if result.status == "rejected" and result.code == NUMBER_REUSED:
            reused = True
            continue
        seq, number, row_id, op, base, after, fields = found
        write = Written(seq, op, base, after, fields)
        later = [
            each for each in writes_of(file, (number, row_id)) if each.queued and each.seq > seq
        ]
        if result.status in ("applied", "merged"):
            _take_applied(file, (number, row_id), write, later, result, touched)
        else:
            _take_refused(file, (number, row_id), write, later, result, now)
        touched.row(number, row_id)
        settled += 1
    return settled, reused


def _take_applied(
    file: DeviceFile,
    key: Key,
    write: Written,
    later: Sequence[Written],
    result: Result,
    touched: Touched,
) -> None:
    row = _text(result.row)
    # Of a very old mutation the server knows only that it was applied, not what it kept of others'
    # changes. A delete keeps nothing, and its answer never has a row.
    known = row is not None or write.op == "delete" or not result.replayed
    version = max(result.version, 1)
    moved = overlay.rebased(write, later, version=version, merged=result.fields if known else None)
    _save_bases(file, moved)
    file.run("queue_answered", result.id, version, row, write.seq)
    if result.id != key[1]:
        touched.row(key[0], result.id)
        reflect_row(file, (key[0], result.id))


def _take_refused(
    file: DeviceFile, key: Key, write: Written, later: Sequence[Written], result: Result, now: str
) -> None:
    _save_bases(file, overlay.orphaned(write, later))
    file.run(
        "refusal_add",
        key[0],
        key[1],
        write.op,
        write.fields,
        result.status,
        result.code or result.status,
        result.reason or "",
        msgspec.json.encode(result.errors).decode(),
        _text(result.row),
        result.version,
        now,
    )
    file.run("queue_remove", write.seq)


def _save_bases(file: DeviceFile, moved: Iterable[Written]) -> None:
    # A base that moves is a version of the present epoch, also under a write of an earlier one.
    epoch = file.meta_number("epoch")
    file.run_many("queue_rebase", ((each.base, each.after, each.seq, epoch) for each in moved))


def _text(raw: msgspec.Raw) -> str | None:
    text = str(raw, "utf-8")
    return None if text == "null" else text


def writes_of(file: DeviceFile, key: Key) -> list[Written]:
    """Return this device's writes of a row that the server's row may not contain yet, in order."""
    return [Written(*cells) for cells in file.run("queue_of_row", *key).fetchall()]


def server_row(file: DeviceFile, key: Key) -> ServerRow | None:
    """Return the server's row."""
    found = file.run("row_get", *key).fetchone()
    return None if found is None else ServerRow(*found)


def reflect(file: DeviceFile, touched: Touched) -> None:
    """Bring the overlay up to date with rows and queue; call it last in each transaction that
    changed either.
    """
    for number, ids in touched.rows.items():
        for row_id in overlaid(file, number, ids):
            reflect_row(file, (number, row_id))


def reflect_row(file: DeviceFile, key: Key) -> None:
    """Bring the overlay of one row up to date."""
    writes = writes_of(file, key)
    if not writes:
        file.run("overlay_delete", *key)
        return
    row = server_row(file, key)
    show(file, key, row, overlay.shown(row, writes))


def show(file: DeviceFile, key: Key, row: ServerRow | None, text: str | None) -> None:
    """Let the view show this text in place of the server's row; None: nothing."""
    scope = key[1] if text is None else scope_of(key[1], text)
    file.run("overlay_put", *key, scope, 0 if row is None else row.version, text)
