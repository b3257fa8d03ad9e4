"""A room: one organisation and those who listen to it.

Owns the ring of its recent changes, and the audiences: everyone with the same channels hears the
same bytes, made once. A listener at the head has no state of its own but its credit; one behind has
a cursor, a version of the ring. Promises that what is heard is told in order, each version once,
and that a cursor older than the ring is never bridged: that listener must pull. Never sends:
whoever holds the sockets does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from serai.core.channels import ChannelSet, contains
from serai.core.live_limits import LIVE_FRAME_BYTES_MAX, LIVE_RING_BYTES, LIVE_RING_CHANGES
from serai.core.token import Position
from serai.ports.store import LogEntry

ChannelKey = tuple[tuple[UUID, int], ...]
"""A channel set in its normal order."""


_CAUGHT_UP_MAX: Final = 16
"""Frames of an audience that are kept for others at the same cursor."""


class Told(NamedTuple):
    """What a listener is told.

    Attributes:
        after: what the listener holds already.
        version: everything in the channels up to here is in the text, or was before.
        text: a frame with changes; None if it cannot be made or would be too large: pull.
    """

    after: int
    version: int
    text: bytes | None


class Audience:
    """Listeners with the same channels.

    Attributes:
        told: the version that those at the head hold.
        caught_up: what those at a cursor are told, made once, until more is heard.
    """

    __slots__ = ("caught_up", "channels", "told")

    def __init__(self, channels: ChannelSet, told: int) -> None:
        """Start with nobody."""
        self.channels = channels
        self.told = told
        self.caught_up: dict[int, Told | None] = {}


class Room:
    """One organisation, as far as it has been heard.

    Args:
        position: where the organisation stood when listening began.
        names: collection number -> its name in frames.

    Attributes:
        epoch, head: the position up to which everything was heard.
        base: the ring holds every change after this version.
    """

    __slots__ = ("_audiences", "_bytes", "_names", "_ring", "base", "epoch", "head")

    def __init__(self, position: Position, names: Mapping[int, str]) -> None:
        """Start with an empty ring."""
        self.epoch, self.head = position.epoch, position.version
        self.base = self.head
        self._names = names
        self._ring: deque[LogEntry] = deque()
        self._bytes = 0
        self._audiences: dict[ChannelKey, Audience] = {}

    @property
    def audiences(self) -> Iterable[Audience]:
        """All of them."""
        return self._audiences.values()

    def audience(self, channels: ChannelSet) -> Audience:
        """Return those who hear these channels (a normal set)."""
        key = tuple(channels.items())
        found = self._audiences.get(key)
        if found is None:
            found = self._audiences[key] = Audience(channels, self.head)
        return found

    def forget(self, audience: Audience) -> None:
        """Drop an audience that nobody is in any more."""
        self._audiences.pop(tuple(audience.channels.items()), None)

    def restart(self, position: Position) -> None:
        """Begin anew at a position. What came before cannot be bridged: all must pull."""
        self.epoch, self.head = position.epoch, position.version
        self.base = self.head
        self._ring.clear()
        self._bytes = 0
        for audience in self._audiences.values():
            audience.told = self.head
            audience.caught_up.clear()

    def heard(
        self, after: int, through: int, entries: Sequence[LogEntry]
    ) -> list[tuple[Audience, Told]]:
        """Take a part of the log, whole versions of (after, through], and return what those at the
        head of each audience are told now.

        Raises:
            ValueError: the part does not follow on what was heard.
        """
        if after > self.head:
            raise ValueError(f"heard up to {self.head}, and then from {after}")
        if through <= self.head:
            return []
        new = [entry for entry in entries if entry.version > self.head]
        self.head = through
        self._keep(new)
        told: list[tuple[Audience, Told]] = []
        for audience in self._audiences.values():
            audience.caught_up.clear()
            text = self._frame(audience.channels, audience.told, through, new)
            if text is not None:
                told.append((audience, _bounded(audience.told, through, text)))
                audience.told = through
        return told

    def caught_up(self, audience: Audience, cursor: int) -> Told | None:
        """Return what a listener who holds everything up to `cursor` is told, to stand where those
        at the head do: the last state of each row. None if it stands there already.

        The text is None if the ring does not reach back so far, or it would be too large.
        """
        if cursor >= audience.told:
            return None
        if cursor not in audience.caught_up:
            if cursor < self.base:
                answer: Told | None = Told(cursor, audience.told, None)
            else:
                later = [entry for entry in self._ring if entry.version > cursor]
                text = self._frame(audience.channels, cursor, audience.told, later)
                answer = None if text is None else _bounded(cursor, audience.told, text)
            if len(audience.caught_up) >= _CAUGHT_UP_MAX:
                audience.caught_up.clear()
            audience.caught_up[cursor] = answer
        return audience.caught_up[cursor]

    def _keep(self, new: Sequence[LogEntry]) -> None:
        self._ring.extend(new)
        self._bytes += sum(len(entry.change) for entry in new)
        while self._ring and (len(self._ring) > LIVE_RING_CHANGES or self._bytes > LIVE_RING_BYTES):
            # Whole versions: a cursor within one would miss its first changes.
            self.base = self._ring[0].version
            while self._ring and self._ring[0].version <= self.base:
                self._bytes -= len(self._ring.popleft().change)

    def _frame(
        self, channels: ChannelSet, after: int, through: int, entries: Iterable[LogEntry]
    ) -> bytes | None:
        """Return a frame with the last change of each row; None if the channels have none."""
        last: dict[tuple[int, UUID], str] = {}
        for entry in entries:
            if contains(channels, entry.scope, entry.collection):
                # At its last place, so that what refers to it stands behind what it refers to.
                last.pop((entry.collection, entry.id), None)
                last[entry.collection, entry.id] = entry.change
        if not last:
            return None
        by_collection: dict[int, list[str]] = {}
        for (number, _), change in last.items():
            by_collection.setdefault(number, []).append(change)
        parts = ",".join(
            f'{{"name":"{self._names[number]}","changes":[{",".join(changes)}]}}'
            for number, changes in by_collection.items()
        )
        return (
            f'{{"type":"changes","epoch":{self.epoch},"from":{after},"to":{through},'
            f'"collections":[{parts}]}}'
        ).encode()


def _bounded(after: int, version: int, text: bytes) -> Told:
    return Told(after, version, text if len(text) <= LIVE_FRAME_BYTES_MAX else None)
