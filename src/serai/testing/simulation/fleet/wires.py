"""Who reaches whom: wires between processes, each of which may be cut, and servers that are down.

Owns both. Promises that what is mended works again at once. Never delays anything.
"""

from __future__ import annotations

from serai.testing.simulation.trace import Trace


class Wires:
    """The wires of one fleet, by the names of their two ends."""

    def __init__(self, trace: Trace) -> None:
        """Let everybody reach everybody."""
        self._trace = trace
        self._cut: set[frozenset[str]] = set()
        self._down: set[str] = set()
        self._lost: set[str] = set()

    def reaches(self, one: str, other: str) -> bool:
        """Tell whether a message goes from one to the other."""
        if other in self._lost:
            return False
        return other not in self._down and frozenset((one, other)) not in self._cut

    def cut(self, one: str, other: str, kind: str) -> None:
        """Cut a wire."""
        self._trace.fault(one, kind, f"from {other}")
        self._cut.add(frozenset((one, other)))

    def join(self, one: str, other: str) -> None:
        """Mend a wire."""
        self._trace.note(one, f"reaches {other} again")
        self._cut.discard(frozenset((one, other)))

    def down(self, name: str, kind: str) -> None:
        """Let a server be down."""
        self._trace.fault(name, kind)
        self._down.add(name)

    def up(self, name: str) -> None:
        """Let a server be up again."""
        self._trace.note(name, "is up again")
        self._down.discard(name)

    def lost(self, name: str) -> None:
        """Let a server be gone for good."""
        self._trace.fault(name, "primary_lost")
        self._lost.add(name)

    def mend(self) -> None:
        """Mend everything that can be mended."""
        self._cut.clear()
        self._down.clear()
