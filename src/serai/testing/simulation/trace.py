"""What happened in a run, as text: for the reader of a failure and for the proof of repetition.

Owns the lines and the counts of one run. Promises that equal runs have equal hashes, in any
process: nothing in a line depends on the address, the hash or the wall clock of anything. Never
influences the run.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import Final

from serai.testing.simulation.coverage import BRANCHES, FAULTS, FLEET_BRANCHES, FLEET_FAULTS, RARE

TAIL_LINES: Final = 60


class Trace:
    """The lines of one run.

    Attributes:
        counts: how often each fault and each branch of the protocol occurred.
        broken: promises that did not hold. The run ends at the first; they are kept here and not
            raised, because the code under test answers for what is raised inside it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start empty."""
        self._loop = loop
        self.lines: list[str] = []
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []

    def note(self, who: str, what: str) -> None:
        """Add a line."""
        self.lines.append(f"{self._loop.time():8.3f} {who:<7} {what}")

    def fault(self, who: str, kind: str, what: str = "") -> None:
        """Add a line about something that went wrong, and count it."""
        assert kind in FAULTS or kind in FLEET_FAULTS, f"{kind} is not in the list of faults"
        self.counts[f"fault:{kind}"] += 1
        self.note(who, f"!! {kind} {what}".rstrip())

    def branch(self, name: str, times: int = 1) -> None:
        """Count a branch of the protocol."""
        listed = name in BRANCHES or name in RARE or name in FLEET_BRANCHES
        assert listed, f"{name} is not in the list of branches"
        if times:
            self.counts[f"branch:{name}"] += times

    def require(self, promise: object, message: str) -> None:
        """Note that a promise is broken, unless it holds."""
        if not promise:
            self.note("oracle", message)
            self.broken.append(message)

    def digest(self) -> str:
        """Return a hash over all lines."""
        text = "\n".join(self.lines)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines."""
        return "\n".join(self.lines[-lines:])
