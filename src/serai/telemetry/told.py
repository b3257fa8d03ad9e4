"""The recorder of a process that serves: metrics, top organisations, log lines, spans.

Owns what becomes of each thing that is told. Promises that labels come from small sets whatever is
told (a word that is not in the catalogue counts as `vertical`), and that telling a request costs
under 10 us with everything but traces on. Never waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final

from serai.core.clock import Clock
from serai.core.errors import CODES
from serai.telemetry import catalogue as m
from serai.telemetry.exchange import Exchange
from serai.telemetry.logs import LEVELS, LineWriter, RequestLine, level_of, request_line
from serai.telemetry.recorder import Recorder
from serai.telemetry.registry import Registry
from serai.telemetry.top import TopOrganisations
from serai.telemetry.traces import Traces

_log: Final = logging.getLogger("serai.write")
_CLASSES: Final = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")
_URGENT: Final = 500
_REQUEST_IDS_MAX: Final = 64


class Told(Recorder):
    """Records everything.

    Args:
        registry: of the process.
        top: of the process.
        clock: for the time of log lines.
        lines: where log lines go, with their form; None for no line.
        level: the least that is logged.
        traces: None for none.
    """

    def __init__(
        self,
        registry: Registry,
        top: TopOrganisations,
        clock: Clock,
        *,
        lines: tuple[LineWriter, Callable[[RequestLine], bytes]] | None = None,
        level: str = "info",
        traces: Traces | None = None,
    ) -> None:
        self.registry = registry
        self.top = top
        self._now = clock.now
        self._lines = lines
        self._levels = frozenset(LEVELS[LEVELS.index(level) :])
        self._traces = traces
        self._in_flight = registry.cell(m.IN_FLIGHT)
        self._body_bytes = registry.spread(m.REQUEST_BODY_BYTES)
        self._sent_bytes = registry.spread(m.RESPONSE_BODY_BYTES)
        self._batch_writes = registry.spread(m.BATCH_WRITES)
        self._commit_seconds = registry.spread(m.COMMIT_SECONDS)
        self._wait_seconds = registry.spread(m.WRITE_WAIT_SECONDS)
        self._rows = registry.cell(m.ROWS_WRITTEN)
        self._changes = registry.spread(m.PULL_CHANGES)

    def begin(self, exchange: Exchange) -> None:
        """Count the request in, and start its span."""
        self._in_flight.add()
        if self._traces is not None:
            self._traces.begin(exchange)

    def end(self, exchange: Exchange, status: int, sent_bytes: int) -> None:
        """Count the request out, write its line, end its span."""
        self._in_flight.add(-1.0)
        registry = self.registry
        registry.cell(m.REQUESTS, exchange.operation, _CLASSES[status // 100]).add()
        registry.spread(m.REQUEST_SECONDS, exchange.operation).observe(exchange.seconds())
        if exchange.body_bytes:
            self._body_bytes.observe(exchange.body_bytes)
        self._sent_bytes.observe(sent_bytes)
        if exchange.code is not None:
            registry.cell(m.ERRORS, exchange.code).add()
        if exchange.org_id is not None:
            self.top.request(exchange.org_id, exchange.body_bytes + sent_bytes)
        if self._lines is not None and level_of(exchange, status) in self._levels:
            writer, form = self._lines
            line = request_line(exchange, status, sent_bytes, self._now())
            writer.put(form(line), urgent=status >= _URGENT)
        if self._traces is not None:
            self._traces.end(exchange, status)

    def span(
        self, name: str, exchanges: Iterable[Exchange | None] = ()
    ) -> AbstractContextManager[object]:
        """Return a span if there are traces."""
        if self._traces is None:
            return super().span(name)
        return self._traces.span(name, exchanges)

    def batch(self, writes: int, seconds: float) -> None:
        """Count a transaction."""
        self._batch_writes.observe(writes)
        self._commit_seconds.observe(seconds)

    def batch_failed(self, writes: int, error: BaseException, exchanges: list[Exchange]) -> None:
        """Count it, and log it with the requests that it failed for. The error's message may quote
        a row and is left out.
        """
        self.registry.cell(m.BATCHES_FAILED).add()
        ids = list(dict.fromkeys(each.id for each in exchanges))[:_REQUEST_IDS_MAX]
        _log.warning(
            "a transaction of %d writes failed: %s",
            writes,
            type(error).__qualname__,
            extra={"request_ids": ids},
        )

    def write(self, outcome: str, org_id: int, rows: int, waited_seconds: float) -> None:
        """Count a write."""
        self.registry.cell(m.WRITES, outcome).add()
        self._wait_seconds.observe(waited_seconds)
        if rows and outcome == "committed":
            self._rows.add(rows)
            self.top.rows(org_id, rows)

    def pulled(self, result: str, changes: int) -> None:
        """Count a page."""
        self.registry.cell(m.PULLS, result).add()
        self._changes.observe(changes)

    def read_by(self, who: str, waited_seconds: float) -> None:
        """Count a read."""
        self.registry.cell(m.REPLICA_READS, who).add()
        if waited_seconds:
            self.registry.spread(m.REPLICA_WAIT_SECONDS).observe(waited_seconds)

    def pushed(self, outcome: str, code: str | None, *, replayed: bool) -> None:
        """Count a mutation; one that was sent again is not judged again."""
        self.registry.cell(m.MUTATIONS, "replayed" if replayed else outcome).add()
        if code is not None and not replayed:
            self.registry.cell(m.REFUSALS, code if code in CODES else "vertical").add()

    def signed_in(self, outcome: str) -> None:
        """Count a sign-in."""
        self.registry.cell(m.SIGN_INS, outcome).add()

    def refreshed(self, outcome: str) -> None:
        """Count a refresh."""
        self.registry.cell(m.REFRESHES, outcome).add()

    def upkeep(self, task: str, *, done: bool) -> None:
        """Count a round, and note when one went well."""
        self.registry.cell(m.UPKEEP, task, "ok" if done else "failed").add()
        if done:
            self.registry.cell(m.UPKEEP_SUCCESS, task).set(self._now().timestamp())

    def log_looked(self, folded: int, pruned: int, rows: int, blocks: int) -> None:
        """Count what it did."""
        cell = self.registry.cell
        cell(m.LOG_LOOKS, "ok").add()
        cell(m.LOG_FOLDED).add(folded)
        cell(m.LOG_PRUNED).add(pruned)
        cell(m.SEALED_ROWS).add(rows)
        cell(m.SEALED_BLOCKS).add(blocks)

    def log_look_failed(self) -> None:
        """Count it."""
        self.registry.cell(m.LOG_LOOKS, "failed").add()

    def logs_passed(self) -> None:
        """Count it."""
        self.registry.cell(m.LOG_PASSES).add()

    def logs_wait(self, shard: str, seconds: float) -> None:
        """Note it."""
        self.registry.cell(m.LOGS_WAIT, shard).set(seconds)

    def moves_left(self, moves: int) -> None:
        """Note the number."""
        self.registry.cell(m.MOVES_LEFT).set(moves)

    def moves_ended(self, finished: int, undone: int, stuck: int, copies: int) -> None:
        """Count them."""
        counts = {"finished": finished, "undone": undone, "stuck": stuck, "swept": copies}
        for outcome, count in counts.items():
            self.registry.cell(m.MOVES_ENDED, outcome).add(count)

    def outlet_serves(self, shard: str, *, serves: bool) -> None:
        """Note it."""
        self.registry.cell(m.OUTLET_SERVES, shard).set(float(serves))

    def outlet_sent(self, shard: str, messages: int, size: int, begun: int) -> None:
        """Count messages."""
        self.registry.cell(m.OUTLET_MESSAGES, shard).add(messages)
        self.registry.cell(m.OUTLET_BYTES, shard).add(size)
        self.registry.cell(m.OUTLET_BEGUN, shard).add(begun)

    def outlet_failed(self, shard: str, what: str) -> None:
        """Count it."""
        self.registry.cell(m.OUTLET_ERRORS, shard, what).add()

    def outlet_lag(self, shard: str, versions: int, seconds: float) -> None:
        """Note it."""
        self.registry.cell(m.OUTLET_LAG_VERSIONS, shard).set(versions)
        self.registry.cell(m.OUTLET_LAG_SECONDS, shard).set(seconds)

    def outlet_bus_went_back(self, shard: str) -> None:
        """Count it."""
        self.registry.cell(m.OUTLET_BUS_WENT_BACK, shard).add()
