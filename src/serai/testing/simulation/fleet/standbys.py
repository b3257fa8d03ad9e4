"""Servers of shards, and the replicas that follow them: late, stuck, or cut off.

Owns what was written on a primary, in order, and how far each replica has it. Promises that a
replica shows states that its primary had, in their order, and never goes back; that what it has
received survives its primary. Never decides who may read where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from serai.adapters.memory import MemoryStore
from serai.adapters.memory.store import Organisation
from serai.model import Vertical
from serai.testing.simulation.loop import VirtualClock

Entry = tuple[float, int, Organisation | None]
"""(when, organisation, its state then); a heartbeat has none."""
_BEAT_SECONDS = 0.25


@dataclass(slots=True, eq=False)
class Database:
    """One server of a shard.

    Attributes:
        held: organisations that a mover holds here.
        standbys: replicas that follow it.
        written: everything, oldest first; kept only while somebody follows.
        arrivals: organisation -> session that lets a property arrive there.
        read_only: it was fenced off. synchronous: what is written waits for the first replica.
    """

    name: str
    store: MemoryStore
    now: Callable[[], float]
    held: Counter[int] = field(default_factory=Counter[int])
    standbys: list[Standby] = field(default_factory=list["Standby"])
    written: list[Entry] = field(default_factory=list[Entry])
    beats: int = 0
    read_only: bool = False
    arrivals: dict[int, Any] = field(default_factory=dict[int, Any])
    synchronous: bool = False
    _beat_at: float = float("-inf")

    def wrote(self, orgs: Iterable[int]) -> None:
        """Note that these may have changed."""
        if self.standbys:
            known = self.store.organisations
            self.written += [(self.now(), org, known[org].copied()) for org in orgs if org in known]
            if self.synchronous:
                self.standbys[0].receive(everything=True)

    def check(self) -> None:
        """Refuse a mover if it was fenced off."""
        if self.read_only:
            raise psycopg.errors.ReadOnlySqlTransaction("cannot write in a read-only transaction")

    def beat(self) -> dict[str, int]:
        """Beat, as `serai.beat` does: once in a while, however many ask."""
        if self.now() - self._beat_at >= _BEAT_SECONDS and not self.read_only:
            self._beat_at = self.now()
            self.beats += 1
            self.written.append((self.now(), self.beats, None))
        return {"beat": self.beats, "position_bytes": len(self.written)}


class Standby:
    """A replica.

    Attributes:
        store: what it shows.
        shipping, replay: seconds that a write takes to arrive, and to be shown after that.
        usual: shipping, when nothing is wrong.
        received: entries that it has.
        cut: nothing arrives.
    """

    def __init__(
        self, name: str, primary: Database, vertical: Vertical, clock: VirtualClock
    ) -> None:
        """Follow from the beginning."""
        self.name = name
        self.primary = primary
        self.store = MemoryStore(vertical, clock)
        self.usual = self.shipping = self.replay = 0.002
        self.received = self.shown = self.beats = 0
        self.cut = False
        self.follows = True
        primary.standbys.append(self)

    def mend(self) -> None:
        """Be as quick as at first."""
        self.shipping, self.replay, self.cut = self.usual, 0.002, False

    def receive(self, *, everything: bool = False) -> None:
        """Take what has arrived by now."""
        written, before = self.primary.written, self.primary.now() - self.shipping
        while self.received < len(written) and self.follows:
            if not everything and (self.cut or written[self.received][0] > before):
                break
            self.received += 1

    def show(self, *, everything: bool = False) -> None:
        """Show what has been replayed by now."""
        self.receive()
        written = self.primary.written
        before = self.primary.now() - self.shipping - self.replay
        while self.shown < self.received and (everything or written[self.shown][0] <= before):
            _, number, state = written[self.shown]
            if state is None:
                self.beats = number
            else:
                self.store.organisations[number] = state
            self.shown += 1

    def seen(self) -> dict[str, int | bool]:
        """Answer the look of a process."""
        self.show()
        return {"beat": self.beats, "position_bytes": self.shown, "follows": self.follows}
