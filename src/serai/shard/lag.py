"""Which replicas of a shard may answer reads, judged from what the primary and they said.

Owns the judgement: how far behind a replica is, when it is taken out, when it comes back, and which
of several is asked. Promises that no clock but the caller's monotonic one counts, so clocks of
servers may jump; that a replica which nobody has heard of for a while is out; and that one which
was out must be well twice in a row. Pure: never asks a server. It does not make reads right: the
read itself compares versions. It keeps them from being slow, and keeps copies of another history
away: their heartbeat stands still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serai.core.limits import (
    REPLICA_BEAT_SECONDS,
    REPLICA_LAG_SECONDS_MAX,
    REPLICA_WAIT_SECONDS_MAX,
)

WELL_IN_A_ROW: Final = 2
"""Looks at which a replica must be well before it gets reads (again)."""
SILENCE_SECONDS_MAX: Final = 6 * REPLICA_BEAT_SECONDS
"""A replica of which nothing was heard for so long is out."""
BEATS_AHEAD_MAX: Final = 8
"""Other processes beat too, so a replica may show a newer beat than the primary did a moment ago.
By more it shows a history that the primary does not have."""
BEATS_KEPT: Final = 256


@dataclass(slots=True)
class _Seen:
    """What is known of one replica."""

    at: float = float("-inf")
    lag_seconds: float = float("inf")
    lag_bytes: int = 0
    well: int = 0
    used: bool = False
    turn: int = 0


class Health:
    """The replicas of one shard. Times are seconds of one monotonic clock, given by the caller."""

    def __init__(self) -> None:
        """Know of no replica."""
        self._replicas: dict[str, _Seen] = {}
        self._beats: deque[tuple[int, float]] = deque(maxlen=BEATS_KEPT)
        self._position_bytes = 0
        self._turn = 0

    def follow(self, names: frozenset[str]) -> None:
        """Know these replicas and no others; new ones are out until they have been well."""
        self._replicas = {name: self._replicas.get(name, _Seen()) for name in sorted(names)}

    def primary_said(self, beat: int, position_bytes: int, now: float) -> None:
        """Note a heartbeat of the primary, and how much of its log is on its disk.

        A beat below the last one is another primary's, which took over without the tail.
        """
        if self._beats and beat < self._beats[-1][0]:
            self._beats.clear()
        if not self._beats or beat > self._beats[-1][0]:
            self._beats.append((beat, now))
        self._position_bytes = position_bytes

    def replica_said(
        self, name: str, beat: int, position_bytes: int, now: float, *, follows: bool
    ) -> None:
        """Note what a replica shows. `follows`: it is a copy still, nobody has promoted it."""
        seen = self._replicas.get(name)
        if seen is None:
            return
        seen.at = now
        seen.lag_bytes = max(self._position_bytes - position_bytes, 0)
        seen.lag_seconds = self._lag_seconds(beat, now) if follows else float("inf")
        limit = REPLICA_LAG_SECONDS_MAX if seen.used else REPLICA_LAG_SECONDS_MAX / 2
        if seen.lag_seconds > limit:
            seen.well, seen.used = 0, False
            return
        seen.well += 1
        seen.used = seen.used or seen.well >= WELL_IN_A_ROW

    def failed(self, name: str) -> None:
        """Note that a replica did not answer: it is out."""
        seen = self._replicas.get(name)
        if seen is not None:
            seen.well, seen.used = 0, False

    def _lag_seconds(self, beat: int, now: float) -> float:
        """Return by how long a replica that shows `beat` is behind, at least.

        It lacks the beats after it. The first of them that this process saw is as old as it is; and
        each beat but one stands for the time between two, also those from before this process.
        """
        if not self._beats:
            # Nothing to compare with. A primary that is down keeps no replica from answering, but
            # one that was never seen shows nothing.
            return float("inf")
        newest = self._beats[-1][0]
        if beat > newest + BEATS_AHEAD_MAX:
            return float("inf")
        missed_at = next((at for number, at in self._beats if number > beat), now)
        return max(now - missed_at, (newest - beat - 1) * REPLICA_BEAT_SECONDS, 0.0)

    def usable(self, now: float) -> list[str]:
        """Return the replicas that may be asked."""
        return [
            name
            for name, seen in self._replicas.items()
            if seen.used and now - seen.at <= SILENCE_SECONDS_MAX
        ]

    def choose(self, in_flight: Mapping[str, int], now: float) -> str | None:
        """Return the usable replica with the fewest reads in flight, None if there is none. Equal
        ones take turns.
        """
        names = self.usable(now)
        if not names:
            return None
        chosen = min(names, key=lambda name: (in_flight.get(name, 0), self._replicas[name].turn))
        self._turn += 1
        self._replicas[chosen].turn = self._turn
        return chosen

    def worth_waiting(self, name: str) -> bool:
        """Tell whether a replica that lacks a version may have it within the time that a read
        waits: at the last look it was no further behind than that.
        """
        seen = self._replicas.get(name)
        return seen is not None and seen.lag_seconds <= REPLICA_WAIT_SECONDS_MAX

    def lags(self) -> dict[str, tuple[float, int]]:
        """Return replica -> (seconds, bytes) that it was behind at the last look."""
        return {name: (seen.lag_seconds, seen.lag_bytes) for name, seen in self._replicas.items()}
