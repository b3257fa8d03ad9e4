"""The recorder: what the parts of Serai tell, and to whom.

Owns the list of things that are told, one method each. `Recorder` itself records nothing: it is the
default everywhere, so the pure parts run the same in the simulation and in a server. Promises that
no method raises, waits or keeps an argument. Never is asked anything back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from serai.telemetry.exchange import Exchange

_NO_SPAN: Final = nullcontext()


class Recorder:
    """Records nothing."""

    def begin(self, exchange: Exchange) -> None:
        """Tell that a request has come."""

    def end(self, exchange: Exchange, status: int, sent_bytes: int) -> None:
        """Tell how it ended; status 0 if nobody was left to answer."""

    def span(
        self, name: str, exchanges: Iterable[Exchange | None] = ()
    ) -> AbstractContextManager[object]:
        """Return the frame of a piece of work that is done for the present exchange, or for those
        given.
        """
        del name, exchanges
        return _NO_SPAN

    def batch(self, writes: int, seconds: float) -> None:
        """Tell that a transaction with so many writes came back after so long."""

    def batch_failed(self, writes: int, error: BaseException, exchanges: list[Exchange]) -> None:
        """Tell that a transaction failed for all of its writes."""

    def write(self, outcome: str, org_id: int, rows: int, waited_seconds: float) -> None:
        """Tell what became of one write of a transaction."""

    def pulled(self, result: str, changes: int) -> None:
        """Tell about a page of sync: `changes`, `unchanged`, `filling` or `must_refetch`."""

    def read_by(self, who: str, waited_seconds: float) -> None:
        """Tell who answered a read that a replica could have answered, and how long it waited for
        the replica: `replica`, or `primary_` and why: `none`, `behind`, `failed`.
        """

    def pushed(self, outcome: str, code: str | None, *, replayed: bool) -> None:
        """Tell about one mutation's result, and the code of a refusal."""

    def signed_in(self, outcome: str) -> None:
        """Tell about a sign-in: `ok` or the error's code."""

    def refreshed(self, outcome: str) -> None:
        """Tell about a refresh: `ok` or the error's code."""

    def upkeep(self, task: str, *, done: bool) -> None:
        """Tell about one round of upkeep."""

    def log_looked(self, folded: int, pruned: int, rows: int, blocks: int) -> None:
        """Tell about one look at an organisation's log: changes that were folded away and pruned,
        rows that were sealed, and in how many blocks.
        """

    def log_look_failed(self) -> None:
        """Tell that a look at an organisation's log failed."""

    def logs_passed(self) -> None:
        """Tell that a pass over all organisations of a shard has ended."""

    def logs_wait(self, shard: str, seconds: float) -> None:
        """Tell since when at most something of a shard waits for upkeep of logs."""

    def moves_left(self, moves: int) -> None:
        """Tell how many moves were left by a mover that is gone, at the last look."""

    def moves_ended(self, finished: int, undone: int, stuck: int, copies: int) -> None:
        """Tell what upkeep did with moves that were left, and how many old copies it removed."""

    def outlet_serves(self, shard: str, *, serves: bool) -> None:
        """Tell whether this process is the outlet of the shard."""

    def outlet_sent(self, shard: str, messages: int, size: int, begun: int) -> None:
        """Tell what the bus accepted of an organisation, and how often that began again."""

    def outlet_failed(self, shard: str, what: str) -> None:
        """Tell what has to be tried again: `bus`, `refused`, `shard` or `task`."""

    def outlet_lag(self, shard: str, versions: int, seconds: float) -> None:
        """Tell how far behind it was found in one round."""

    def outlet_bus_went_back(self, shard: str) -> None:
        """Tell that the bus has less than it had accepted."""


SILENT: Final = Recorder()
"""The one that records nothing."""
