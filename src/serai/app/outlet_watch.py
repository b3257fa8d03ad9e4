"""Whether the bus still has what it accepted.

Owns the comparison of the bus's own count with what it told before. Promises that a bus found to
have less is told aloud, once, and that what this process had sent since comes again. Never knows
more than that: what was lost before its life, only readers of the bus can see.
"""

from __future__ import annotations

import logging

from serai.ports.outlet import Bus, BusState
from serai.readers.outlet.notes import Notes
from serai.readers.outlet.reader import Reader
from serai.telemetry.recorder import Recorder

_log = logging.getLogger(__name__)


class BusWatch:
    """Looks at the bus for one shard."""

    def __init__(
        self, shard: str, bus: Bus, notes: Notes, reader: Reader, recorder: Recorder
    ) -> None:
        """Keep the parts."""
        self._shard, self._bus, self._notes = shard, bus, notes
        self._reader, self._recorder = reader, recorder
        self._known = BusState("", 0)

    async def begin(self) -> None:
        """Read how far the bus was for whoever was the outlet before."""
        self._known = await self._notes.bus()

    async def look(self) -> None:
        """See whether the bus has lost what it had accepted; send that again. Note how far it is.

        Raises:
            BusDown: it does not answer.
        """
        known = self._known
        # What is accepted while the bus is being asked need not be in its answer.
        accepted = max(known.number, self._reader.recent.highest)
        state = await self._bus.state(known.connection)
        if state is None:
            return
        if known.store and (state.store != known.store or state.lowest < accepted):
            self._recorder.outlet_bus_went_back(self._shard)
            _log.error(
                "the bus has lost messages: it had %s of %s left, and had accepted %s of %s",
                *(state.lowest, state.store, accepted, known.store),
            )
            await self._again(state, known)
        if state != known:
            self._known = state
            await self._notes.note_bus(state)

    async def _again(self, state: BusState, known: BusState) -> None:
        """Let what was lost be sent again, as far as this process has sent it."""
        number = state.lowest if state.store == known.store else 0
        highest = self._reader.recent.highest
        lost, whole = self._reader.recent.lost_after(number)
        by_version: dict[int, list[int]] = {}
        for org_id, version in lost.items():
            by_version.setdefault(version, []).append(org_id)
        for version, org_ids in by_version.items():
            await self._notes.rewind(org_ids, version)
        _log.warning("what %s organisations have lost is sent again", len(lost))
        if not whole or highest < known.number:
            _log.error(
                "more was lost on %s than this process has sent: look which organisations lack "
                "something, and type serai outlet rewind",
                self._shard,
            )
