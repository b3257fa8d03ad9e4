"""Whether the bus still has what it accepted.

Owns the comparison of the bus's own count with what it told before. Promises that a bus found to
have less is told aloud, once. Never takes a note back by itself.
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
        """See whether the bus has lost what it had accepted, aloud; note how far it is.

        Raises:
            BusDown: it does not answer.
        """
        known = self._known
        # What is accepted while the bus is being asked need not be in its answer.
        accepted = max(known.number, self._reader.accepted)
        state = await self._bus.state()
        if state is None:
            return
        if known.store and (state.store != known.store or state.number < accepted):
            self._recorder.outlet_bus_went_back(self._shard)
            _log.error(
                "the bus has lost messages: it has %s of %s, and had accepted %s of %s. What was "
                "lost is sent again after `serai outlet rewind`.",
                *(state.number, state.store, accepted, known.store),
            )
        if state.number < accepted:
            # Known as it is now, or the same loss would be told again and again.
            self._reader.accepted = 0
        if state != known:
            self._known = state
            await self._notes.note_bus(state)
