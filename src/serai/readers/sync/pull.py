"""Pull: answers "what changed since my token?".

Owns the page. A pull answers from the log, then from the rows of channels still being filled; the
token it gives stands for exactly what the device holds then. Promises: a page holds whole versions
(I9); each committed change in a channel is delivered, or superseded within its page (I8); a lost
channel is purged (I6); a token that cannot be continued is answered `must_refetch`, never silence
(I10). Keeps nothing about a device between two requests. Never decodes a change: answers are joined
texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from serai.core import channels
from serai.core.channels import Channel, ChannelSet
from serai.core.clock import timestamp_text
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.limits import PAGE_BYTES_MAX, PAGE_SCAN_MAX
from serai.core.token import Position, SinceToken, TokenSealer, grouped, ungrouped
from serai.gate.caller import Caller
from serai.ports.reader import Reader, Since
from serai.ports.store import Head, LogPage, SnapshotPage
from serai.readers.sync.horizon import Refetch, why_refetch
from serai.telemetry.recorder import SILENT, Recorder
from serai.wire.sync import ChangesRequest, RawChangesAnswer, RawCollectionChanges, WantedCollection

BLOCK: Final = "\x1e"
"""Stands for a sealed block among change texts: no text of JSON holds this character."""


class GrantChanged(Exception):
    """The organisation's grants changed after the caller's was read; `version` is the newer one."""

    def __init__(self, version: int) -> None:
        """Keep the newer `grants_version`."""
        super().__init__(f"grants are at version {version}")
        self.version = version


@dataclass(frozen=True, slots=True)
class PullResult:
    """The answer to a pull.

    Attributes:
        etag: strong validator of the answer's state; the same as long as nothing changes for this
            caller.
        unchanged: the caller's token is at the head and nothing was delivered: 304 may be sent if
            the etag matches.
        packed: sealed blocks, each a zstd frame of change texts. In the answer, `BLOCK` stands
            for each, in this order.
    """

    answer: RawChangesAnswer
    etag: str
    unchanged: bool
    packed: list[bytes] = field(default_factory=list[bytes])


@dataclass(slots=True)
class _Page:
    """One page of one token: what goes to each collection, and the token after it.

    `lost`: channels of the token that are not visible any more. `kept`: those that go on, so none
    that is filled from the start again. `same`: nothing is new, and the token after is the token
    before. `packed`: blocks of the channel being filled; `delivered`: rows in them.
    """

    changes: dict[int, list[str]]
    token: SinceToken
    lost: ChannelSet
    more: bool
    head: Head
    refetch: bool = False
    kept: ChannelSet = field(default_factory=dict[UUID, int])
    same: bool = False
    packed: list[bytes] = field(default_factory=list[bytes])
    delivered: int = 0


async def pull(
    source: Reader | Since,
    caller: Caller,
    sealer: TokenSealer,
    request: ChangesRequest,
    *,
    now: datetime,
    recorder: Recorder = SILENT,
    block_rows: int | None = None,
) -> PullResult:
    """Answer a pull.

    Collections that share a token share a position and a page, so the rows of one transaction
    arrive together.

    Args:
        source: a store; or who is asked for what is at or after a position. Each read of a page
            then asks for the position that it builds on, so it may be another copy.
        block_rows: whoever asks can put sealed blocks in their places in the answer, and wants
            them where a page has room for so many rows. None: rows only.

    Raises:
        SeraiError: an unknown collection, a token that does not open, or an organisation that is
        not here. GrantChanged: the caller's grant is older than the organisation's.
    """
    since = source if callable(source) else _only(source)
    groups: dict[str | None, list[WantedCollection]] = {}
    for wanted in request.collections:
        if wanted.name not in caller.vertical.by_name:
            raise SeraiError(Code.NOT_FOUND, f"There is no collection {wanted.name!r}.")
        groups.setdefault(wanted.since_token, []).append(wanted)
    if len({w.name for w in request.collections}) != len(request.collections):
        raise SeraiError(Code.BODY_INVALID, "A collection stands in the request twice.")
    answers: dict[str, RawCollectionChanges] = {}
    pages: list[_Page] = []
    packed: dict[str, list[bytes]] = {}
    unchanged = True
    for text, group in groups.items():
        with recorder.span("serai.pull"):
            page = await _pull_group(
                since, caller, sealer, text, group, request.batch_size, block_rows
            )
        # Most pulls bring nothing, and sealing what was just opened costs as much as all else.
        if page.same and text is not None and sealer.would_spell(text):
            sealed = text
        else:
            sealed = sealer.seal(page.token)
        same = sealed == text and not page.more
        unchanged = unchanged and same
        count = sum(map(len, page.changes.values())) + page.delivered
        recorder.pulled(_told(page, same=same), count)
        pages.append(page)
        answers.update(_render(caller, page, group, sealed))
        if page.packed:
            packed[_filled_name(caller, page)] = page.packed
    head = pages[-1].head
    answer = RawChangesAnswer(
        collections=[answers[w.name] for w in request.collections],
        server_time=timestamp_text(now),
        epoch=head.epoch,
        version=head.version,
    )
    frames = [frame for w in request.collections for frame in packed.get(w.name, ())]
    return PullResult(answer, _etag(answer.collections), unchanged, frames)


def _only(store: Reader) -> Since:
    def newest(_: Position | None) -> Reader:
        return store

    return newest


def _told(page: _Page, *, same: bool) -> str:
    """Return what a page is counted as."""
    if page.refetch:
        return "must_refetch"
    if page.token.filling:
        return "filling"
    return "unchanged" if same else "changes"


async def _pull_group(
    since: Since,
    caller: Caller,
    sealer: TokenSealer,
    text: str | None,
    group: Sequence[WantedCollection],
    batch: int,
    block_rows: int | None,
) -> _Page:
    visible = _visible(caller, group)
    token = (
        None if text is None else sealer.open(text, org_id=caller.org_id, user_id=caller.user_id)
    )
    after = 0 if token is None else token.position.version
    scopes = None if ALL_SCOPES in visible else [*visible]
    mask = 0
    for bits in visible.values():
        mask |= bits
    reader = since(None if token is None else token.position)
    head = await _head(reader, caller.org_id)
    _check_grant(caller, head)
    log = LogPage(head, [], head.version)
    if token is not None:
        if _begins_again(token.position, head):
            return _Page({}, _fresh(caller, head, {}), {}, more=True, head=head, refetch=True)
        if after == head.version and not token.filling and token.complete == visible:
            return _Page({}, token, {}, more=False, head=head, kept=visible, same=True)
        if after < head.version:
            scan = max(PAGE_SCAN_MAX, batch)
            found = await reader.log_page(
                caller.org_id, after, scan=scan, scopes=scopes, collections=mask
            )
            if found is None or found.head.state == "moved":
                raise SeraiError(Code.ORG_MOVED, retry_after_seconds=1)
            log, head = found, found.head
            _check_grant(caller, head)
            if _begins_again(token.position, head):
                return _Page({}, _fresh(caller, head, {}), {}, more=True, head=head, refetch=True)
    started, kept = _continue(caller, token, visible, head)
    page = _deliver_log(started, log, batch)
    page.kept = kept
    page.lost = {} if token is None else channels.lost(_held(token), visible)
    if page.token.filling:
        reader = since(page.token.position)
        room = block_rows is not None and _rows_wanted(page, batch) >= block_rows
        if not (room and await _fill_from_blocks(reader, page, batch)):
            await _fill(reader, page, batch)
        # Rows of an organisation that left meanwhile may have gone one by one.
        await _head(reader, caller.org_id)
    page.more = page.token.position.version < head.version or bool(page.token.filling)
    return page


def _begins_again(position: Position, head: Head) -> bool:
    why = why_refetch(position, head)
    if why is Refetch.AHEAD and head.state == "frozen":
        # It may have been opened elsewhere already: this home is behind, and not the device ahead.
        raise SeraiError(Code.ORG_MOVED, retry_after_seconds=1)
    return why is not None


def _check_grant(caller: Caller, head: Head) -> None:
    if head.grants_version > caller.grant.version:
        raise GrantChanged(head.grants_version)


async def _head(reader: Reader, org_id: int) -> Head:
    head = await reader.head(org_id)
    # What a home that was left still has is old.
    if head is None or head.state == "moved":
        raise SeraiError(Code.ORG_MOVED, retry_after_seconds=1)
    return head


def _visible(caller: Caller, group: Sequence[WantedCollection]) -> ChannelSet:
    """Return the channels that the group asks for and the caller may see."""
    everywhere = 0
    visible: ChannelSet = {}
    for wanted in group:
        mask = 1 << caller.vertical.by_name[wanted.name].number
        if wanted.property_ids is None:
            everywhere |= mask
        else:
            narrowed = channels.restrict(caller.grant.channels, mask, wanted.property_ids)
            visible = channels.union(visible, narrowed)
    whole = channels.restrict(caller.grant.channels, everywhere, None)
    return channels.union(visible, whole) if visible else whole


def _fresh(caller: Caller, head: Head, visible: ChannelSet) -> SinceToken:
    position = Position(head.epoch, head.version)
    return SinceToken(caller.org_id, caller.user_id, position, {}, grouped(_in_order(visible)))


def _in_order(wanted: ChannelSet) -> list[Channel]:
    """Return the order of a fill: collection by collection, as they depend on each other, not
    property by property.
    """
    everything = 0
    for mask in wanted.values():
        everything |= mask
    return [
        (scope, number)
        for number in channels.numbers(everything)
        for scope, mask in wanted.items()
        if mask >> number & 1
    ]


def _held(token: SinceToken) -> ChannelSet:
    return _with(token.complete, ungrouped(token.filling))


def _with(channel_set: ChannelSet, more: Sequence[Channel]) -> ChannelSet:
    out = dict(channel_set)
    for scope, number in more:
        out[scope] = out.get(scope, 0) | 1 << number
    return channels.normal(out)


def _continue(
    caller: Caller, token: SinceToken | None, visible: ChannelSet, head: Head
) -> tuple[SinceToken, ChannelSet]:
    """Return the token with the channels that the caller may see now, lost ones dropped, gained
    ones to be filled last; and those that go on.

    The cursor belongs to the first filling channel and to no other: if that one is not visible any
    more (every property became one of them, say), what there is of it on the device is purged, and
    what is left of it is filled from the start.
    """
    if token is None:
        return _fresh(caller, head, visible), {}
    complete = channels.common(token.complete, visible)
    before = ungrouped(token.filling)
    filling = [each for each in before if channels.contains(visible, *each)]
    cursor = token.cursor if filling and filling[0] == before[0] else None
    kept = _with(complete, filling)
    filling += _in_order(channels.gained(kept, visible))
    continued = SinceToken(
        token.org_id, token.user_id, token.position, complete, grouped(filling), cursor
    )
    return continued, kept


def _deliver_log(token: SinceToken, log: LogPage, batch: int) -> _Page:
    """Take whole versions of the log until the page is full; of a row that changed often, only the
    last change.
    """
    last: dict[tuple[int, UUID], tuple[int, str]] = {}
    through, size, order = token.position.version, 0, 0
    for entry in log.entries:
        if entry.version != through and (len(last) >= batch or size >= PAGE_BYTES_MAX):
            break
        through = entry.version
        if token.delivers(entry.scope, entry.collection, entry.id):
            order += 1
            size += _bytes(entry.change)
            last.pop((entry.collection, entry.id), None)
            last[entry.collection, entry.id] = (order, entry.change)
    else:
        through = log.through
    changes: dict[int, list[str]] = {}
    for (number, _), (_, change) in last.items():
        changes.setdefault(number, []).append(change)
    position = Position(log.head.epoch, through)
    advanced = SinceToken(
        token.org_id, token.user_id, position, token.complete, token.filling, token.cursor
    )
    return _Page(changes, advanced, {}, more=False, head=log.head)


def _bytes(text: str) -> int:
    """Return the size on the wire; for most rows without encoding them once more."""
    return len(text) if text.isascii() else len(text.encode())


async def _fill(reader: Reader, page: _Page, batch: int) -> None:
    """Add rows of the channels being filled, as of the page's version.

    A row that changed after that version is left out: its log entry comes after this page, with the
    cursor past the row.
    """
    token = page.token
    wanted = _apart(ungrouped(token.filling))
    found = await reader.snapshot_page(
        token.org_id, wanted, token.cursor, rows=_rows_wanted(page, batch), max_bytes=PAGE_BYTES_MAX
    )
    for row in found.rows:
        if row.version <= token.position.version:
            page.changes.setdefault(row.collection, []).append(row.change)
    page.token = _filled(token, wanted, found)


async def _fill_from_blocks(reader: Reader, page: _Page, batch: int) -> bool:
    """Add sealed blocks of the channel being filled, and on top of them what has changed in them up
    to the page's version. Return whether there were any.
    """
    token = page.token
    channel = token.first_filling()
    assert channel is not None, "something is left to fill"
    found = await reader.segment_page(
        token.org_id, channel, token.cursor, at=token.position, rows=_rows_wanted(page, batch)
    )
    if found is None:
        return False
    filled = [block for block in found.blocks if block.rows]
    texts = [BLOCK] * len(filled) + found.changes
    page.changes.setdefault(channel[1], []).extend(texts)
    page.packed = [block.body for block in filled if block.body is not None]
    page.delivered = sum(block.rows for block in filled) - len(filled)
    page.token = replace(token, cursor=found.blocks[-1].last)
    return True


def _filled_name(caller: Caller, page: _Page) -> str:
    """Return the collection that a page with blocks fills: the first of those left to fill."""
    channel = page.token.first_filling()
    assert channel is not None, "a block is never the end of a fill"
    return caller.vertical.by_number[channel[1]].name


def _rows_wanted(page: _Page, batch: int) -> int:
    delivered = sum(map(len, page.changes.values()))
    return max(batch - delivered, batch // 2, 1)


def _apart(wanted: list[Channel]) -> list[Channel]:
    """Return the channels up to the first that shares rows with one before it (a property, then
    every property): whose rows a page ended with must be plain.
    """
    seen: dict[int, set[UUID]] = {}
    for position, (scope, number) in enumerate(wanted):
        if scope == ORG_SCOPE:
            continue
        others = seen.setdefault(number, set())
        if others and ALL_SCOPES in (scope, *others):
            return wanted[:position]
        others.add(scope)
    return wanted


def _filled(token: SinceToken, wanted: Sequence[Channel], found: SnapshotPage) -> SinceToken:
    """Return the token after a page of a fill: channels read to their end are complete."""
    complete = _with(token.complete, wanted[: found.done])
    cursor: UUID | None = None
    if found.done < len(wanted):
        now = wanted[found.done]
        of_now = [r for r in found.rows if _is_of(now, r.scope, r.collection)]
        cursor = of_now[-1].id if of_now else (token.cursor if found.done == 0 else None)
    rest = grouped(ungrouped(token.filling)[found.done :])
    return SinceToken(token.org_id, token.user_id, token.position, complete, rest, cursor)


def _is_of(channel: Channel, scope: UUID, number: int) -> bool:
    return channel[1] == number and channels.contains({channel[0]: 1 << number}, scope, number)


def _render(
    caller: Caller, page: _Page, group: Sequence[WantedCollection], sealed: str
) -> dict[str, RawCollectionChanges]:
    """Return the page's part for each collection of the group."""
    out: dict[str, RawCollectionChanges] = {}
    filling = 0
    for _, mask in page.token.filling:
        filling |= mask
    for wanted in group:
        number = caller.vertical.by_name[wanted.name].number
        purge = [scope for scope, mask in page.lost.items() if mask >> number & 1]
        keep = [s for s, m in page.kept.items() if m >> number & 1] if ALL_SCOPES in purge else []
        text = ",".join(page.changes.get(number, ()))
        out[wanted.name] = RawCollectionChanges(
            name=wanted.name,
            changes=msgspec.Raw(f"[{text}]".encode()),
            next_token="" if page.refetch else sealed,
            has_more=page.more,
            purge=purge,
            keep=keep,
            filling=bool(filling >> number & 1),
            must_refetch=page.refetch,
        )
    return out


def _etag(parts: Sequence[RawCollectionChanges]) -> str:
    """Return a validator over the tokens: they change exactly when anything does for this
    caller.
    """
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part.name.encode() + b"\0" + part.next_token.encode() + b"\0")
    return f'"{digest.hexdigest()}"'
