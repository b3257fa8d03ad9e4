"""Another system that reads the bus, by the rules of protocol/OUTLET.md and nothing else.

Owns what it knows of each organisation. Promises to tell a gap, a repetition and a new beginning
apart. Never looks at Serai's code: the forms are read as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]
"""(collection, id)."""


@dataclass
class Copy:
    """One organisation, as this system knows it.

    Attributes:
        held: (collection, id) -> (version, data), data None for a deleted one.
        gaps: (previous that was said, version known) where something is missing.
        order: positions of changes as they were taken.
        begun: reasons of new beginnings.
    """

    epoch: int = 0
    version: int = 0
    fill: str | None = None
    seen: set[Key] = field(default_factory=set)
    held: dict[Key, tuple[int, Any]] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    order: list[tuple[int, int]] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    repeated: int = 0
    _part: int = 0

    @property
    def rows(self) -> dict[Key, Any]:
        return {key: data for key, (_, data) in self.held.items() if data is not None}

    def take(self, m: dict[str, Any]) -> None:
        match m["kind"]:
            case "begin":
                if m["epoch"] < self.epoch:
                    return
                self.epoch, self.version, self.fill = m["epoch"], m["version"], m["fill"]
                self.seen, self._part = set(), 0
                # Versions of another epoch do not compare with those that come.
                self.held = {key: (0, data) for key, (_, data) in self.held.items()}
                self.begun.append(m["reason"])
            case "rows":
                if m["fill"] == self.fill:
                    self._apply(m["changes"])
            case "end":
                if m["fill"] == self.fill:
                    self.fill = None
                    self.held = {k: v for k, v in self.held.items() if k in self.seen}
            case "changes":
                self._changes(m)
            case kind:
                raise AssertionError(f"a message of kind {kind}")

    def _changes(self, m: dict[str, Any]) -> None:
        here = (self.epoch, self.version)
        if self.epoch == 0:
            self.epoch, here = m["epoch"], (m["epoch"], 0)
        if (m["epoch"], m["version"]) <= here:
            self.repeated += 1
            return
        if m["epoch"] != self.epoch or m["previous"] > self.version:
            self.gaps.append((m["previous"], self.version))
            return
        self._apply(m["changes"])
        self._part = self._part + 1 if m["part"] == self._part + 1 else self._part
        if self._part == m["parts"]:
            self.version, self._part = m["version"], 0
            self.order.append((m["epoch"], m["version"]))

    def _apply(self, changes: Iterable[dict[str, Any]]) -> None:
        for change in changes:
            key = (change["collection"], change["id"])
            self.seen.add(key)
            if change["version"] >= self.held.get(key, (0, None))[0]:
                gone = change["action"] == "delete"
                self.held[key] = (change["version"], None if gone else change["data"])


def read(bodies: Iterable[bytes], org_id: int) -> Copy:
    """Return what a system knows of an organisation that has read these messages."""
    copy = Copy()
    for body in bodies:
        message = json.loads(body)
        if message["org"] == org_id:
            copy.take(message)
    return copy
