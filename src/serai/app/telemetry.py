"""Telemetry, wired: the recorder of a process, and how the numbers of all processes are shown.

Owns which recorder a process gets, what is looked up once a second (pools, queues, the process
itself), and where log lines go. Promises that a worker serves without a place for its numbers
rather than not at all. Never is asked for while a request waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Generator
from typing import Any, Final

from serai import __version__
from serai.app.metrics_server import Numbers, metrics_server
from serai.app.runtime import Runtime
from serai.app.settings import Settings, SettingsError
from serai.core.clock import SystemClock
from serai.shard.pools import PinnedPool
from serai.telemetry import catalogue as m
from serai.telemetry.logs import (
    JsonFormatter,
    LineHandler,
    LineWriter,
    TextFormatter,
    as_json,
    as_text,
    write_all,
)
from serai.telemetry.metric import Metric
from serai.telemetry.process import ProcessWatch, record_start
from serai.telemetry.recorder import Recorder
from serai.telemetry.registry import Registry, Snapshot, snapshot
from serai.telemetry.shared import Segment, SharedNumbers, packed
from serai.telemetry.told import Told
from serai.telemetry.top import TopOrganisations, TopState
from serai.telemetry.traces import TracesMissing, exporting

_log: Final = logging.getLogger(__name__)
_SAMPLE_SECONDS: Final = 1.0
_PLACE: Final = "_SERAI_METRICS_PLACE"
"""Set by the parent for its workers; no setting."""


class Telemetry:
    """What one process tells.

    Args:
        settings: of the process.
        place: where the numbers are shown to the parent, None to show them itself or not at all.
        person: whether somebody looks at this process's standard error.

    Attributes:
        recorder: for all that has something to tell.
    """

    def __init__(
        self, settings: Settings, *, place: Segment | None = None, person: bool = False
    ) -> None:
        """Make the recorder, and send what is logged to standard error."""
        self._settings, self._place = settings, place
        clock = SystemClock()
        self._registry = Registry()
        self._registry.load({} if place is None else place.inherited)
        self._top = TopOrganisations(clock.now().timestamp())
        self._now = clock.now
        text = _as_text(settings, person=person)
        self._lines = LineWriter(write_all(sys.stderr.fileno()))
        _log_to(self._lines, settings.log_level, text=text)
        try:
            self._traces = exporting(__version__) if settings.traces else None
        except TracesMissing as error:
            raise SettingsError(str(error)) from error
        self.recorder: Recorder = Told(
            self._registry,
            self._top,
            clock,
            lines=(self._lines, as_text if text else as_json),
            level=settings.log_level,
            traces=self._traces,
        )
        record_start(self._registry, __version__)
        self._process = ProcessWatch(self._registry)
        self._counted: dict[tuple[str, str], int] = {}

    def numbers(self) -> tuple[Snapshot, list[TopState]]:
        """Return what `/metrics` and `/top` show of this process."""
        return snapshot(self._registry.series, self._registry.values), [self._top.state()]

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncGenerator[None]:
        """Show this process's numbers, if the settings say where, while the body runs."""
        with contextlib.ExitStack() as stack:
            if self._settings.metrics_port:
                stack.enter_context(_server(self._settings, self.numbers))
            yield

    @contextlib.asynccontextmanager
    async def sampled(self, runtime: Runtime) -> AsyncGenerator[None]:
        """Look at pools, queues and the process once a second while the body runs."""
        task = asyncio.create_task(self._watch(runtime))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._sample(runtime, 0.0)
            if self._traces is not None:
                await asyncio.to_thread(self._traces.close)

    def close(self) -> None:
        """Write the lines that wait; there are no more."""
        self._lines.close()

    async def _watch(self, runtime: Runtime) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._sample(runtime, max(loop.time() - due, 0.0))
            due = loop.time() + _SAMPLE_SECONDS
            await asyncio.sleep(_SAMPLE_SECONDS)

    def _sample(self, runtime: Runtime, late_seconds: float) -> None:
        cell = self._registry.cell
        self._process.read()
        self._top.turn(self._now().timestamp())
        cell(m.LOOP_LAG).set(late_seconds)
        self._count(m.LOG_LINES_DROPPED, self._lines.dropped)
        self._count(m.DIRECTORY_REFRESH_FAILURES, runtime.directory.stats.refresh_failures)
        self._pool("directory", runtime.directory.pool)
        for shard in runtime.shards:
            self._pool(shard.ref.name, shard.pool)
            cell(m.WRITES_QUEUED, shard.ref.name).set(shard.coalescer.queued)
            for name, (used, seconds, behind) in shard.copies.replicas.states().items():
                cell(m.REPLICA_USED, shard.ref.name, name).set(float(used))
                cell(m.REPLICA_LAG_SECONDS, shard.ref.name, name).set(seconds)
                cell(m.REPLICA_BEHIND_BYTES, shard.ref.name, name).set(behind)
            cell(m.SHARD_OPEN, shard.ref.name).set(not shard.guard.breaker.passes)
            cell(m.SHARD_DISK_FULL, shard.ref.name).set(shard.guard.full_since is not None)
            self._count(m.SHARD_OPENED, shard.guard.breaker.opened, shard.ref.name)
        if self._place is not None:
            data = packed(self._registry.series, self._registry.values, self._top.state())
            self._place.publish(data)

    def _pool(self, name: str, pool: PinnedPool) -> None:
        stats, cell = pool.stats, self._registry.cell
        cell(m.CONNECTIONS, name, "free").set(pool.free)
        cell(m.CONNECTIONS, name, "opening").set(pool.opening)
        cell(m.CONNECTIONS, name, "used").set(pool.size - pool.opening - pool.free)
        self._count(m.CONNECTION_WAITS, stats.waited, name)
        self._count(m.CONNECTION_REFUSALS, stats.refused, name)
        self._count(m.CONNECTIONS_OPENED, stats.opened, name)
        self._count(m.CONNECT_FAILURES, stats.connect_failures, name)

    def _count(self, metric: Metric, value: int, label: str = "") -> None:
        """Add what somebody else has counted since the last time; one who began anew is at less."""
        key = (metric.name, label)
        before = self._counted.get(key, 0)
        self._counted[key] = value
        labels = (label,) if label else ()
        self._registry.cell(metric, *labels).add(value - before if value >= before else value)


# ------------------------------------------------------------------ processes


@contextlib.contextmanager
def shared_metrics(settings: Settings) -> Generator[None]:
    """Show the numbers of the workers that are started in the body, if the settings say where.

    Raises:
        OSError: the port is taken.
    """
    if not settings.metrics_port:
        yield
        return
    numbers = SharedNumbers(settings.workers)
    os.environ[_PLACE] = f"{numbers.count}:{numbers.path}"
    try:
        with _server(settings, numbers.read):
            yield
    finally:
        del os.environ[_PLACE]
        numbers.close()


def given_place() -> Segment | None:
    """Return the place that the parent gives this worker, None if it gives none."""
    given = os.environ.get(_PLACE)
    if given is None:
        return None
    count, _, path = given.partition(":")
    try:
        return Segment(path, int(count))
    except OSError as error:
        _log.warning("this process's numbers are not shown: %s", error)
        return None


def _server(settings: Settings, numbers: Numbers) -> contextlib.AbstractContextManager[int]:
    return metrics_server(
        settings.metrics_host, settings.metrics_port, settings.metrics_token, numbers
    )


# ------------------------------------------------------------------ logs


def server_logging(settings: Settings) -> dict[str, Any]:
    """Return how the HTTP server's own lines are written: as ours are."""
    form = TextFormatter if _as_text(settings, person=False) else JsonFormatter
    handler = {"class": "logging.StreamHandler", "formatter": "ours", "stream": "ext://sys.stderr"}
    logger = {"handlers": ["ours"], "level": settings.log_level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": f"{form.__module__}.{form.__qualname__}"}},
        "handlers": {"ours": handler},
        "loggers": {"_granian": logger, "granian.access": logger},
    }


def _as_text(settings: Settings, *, person: bool) -> bool:
    if settings.log_format == "auto":
        return person or sys.stderr.isatty()
    return settings.log_format == "text"


def _log_to(lines: LineWriter, level: str, *, text: bool) -> None:
    """Send what the program and its libraries log to the writer, and nowhere else."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(LineHandler(lines, TextFormatter() if text else JsonFormatter()))
    root.setLevel(level.upper())
    # What a library says below a warning is about its own inside.
    for noisy in ("asyncio", "opentelemetry", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
