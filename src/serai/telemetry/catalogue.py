"""The catalogue of metrics: the one place where a metric is declared.

Owns names, types, units, labels and meanings; the registry, the text of `/metrics`, the reference
page and the guard come from it. Promises that names follow the rules of Prometheus (base units,
`_total` on counters), and that every label has a small set of values: none is an organisation, a
user, a row or anything that a client makes up. Organisations are on a page of their own
(`serai.telemetry.top`). Never counts anything itself.
"""

from __future__ import annotations

from typing import Final

from serai.telemetry.metric import Across, Kind, Metric

_MILLISECONDS: Final = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)
SECONDS: Final = tuple(each / 1000 for each in _MILLISECONDS)
"""From a pull with nothing new to the deadline of a request."""
BYTES: Final = tuple(float(4**n) for n in range(3, 14))
"""64 B to 64 MiB: above the largest body."""
COUNTS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
CHANGES: Final = (0.0, 1.0, 10.0, 100.0, 1000.0, 5000.0)

_all: list[Metric] = []


def _metric(kind: Kind, name: str, meaning: str, why: str, *labels: str) -> Metric:
    metric = Metric(name, kind, meaning, why, labels)
    _all.append(metric)
    return metric


def _counter(name: str, meaning: str, why: str, *labels: str) -> Metric:
    return _metric(Kind.COUNTER, name, meaning, why, *labels)


def _gauge(name: str, meaning: str, why: str, *labels: str, across: Across = Across.SUM) -> Metric:
    metric = Metric(name, Kind.GAUGE, meaning, why, labels, across=across)
    _all.append(metric)
    return metric


def _histogram(
    name: str, meaning: str, why: str, buckets: tuple[float, ...], *labels: str
) -> Metric:
    metric = Metric(name, Kind.HISTOGRAM, meaning, why, labels, buckets)
    _all.append(metric)
    return metric


# ------------------------------------------------------------------ requests

REQUESTS: Final = _counter(
    "serai_http_requests_total",
    "Requests that were answered, by operation and class of status (`gone`: the client left).",
    "Traffic, and the share of failures: alert on 5xx.",
    "operation",
    "status",
)
REQUEST_SECONDS: Final = _histogram(
    "serai_http_request_duration_seconds",
    "Time from the request's head to the answer's last byte, by operation.",
    "What users wait for. Alert on a high quantile of writes and of pulls.",
    SECONDS,
    "operation",
)
IN_FLIGHT: Final = _gauge(
    "serai_http_requests_in_flight",
    "Requests that are being answered.",
    "A number that climbs says that the processes or the databases are behind.",
)
REQUEST_BODY_BYTES: Final = _histogram(
    "serai_http_request_body_bytes",
    "Size of request bodies as received, for requests that have one.",
    "Large pushes, and programs that send more than they need.",
    BYTES,
)
RESPONSE_BODY_BYTES: Final = _histogram(
    "serai_http_response_body_bytes",
    "Size of answers as sent, after compression.",
    "The network that sync needs.",
    BYTES,
)
ERRORS: Final = _counter(
    "serai_errors_total",
    "Answers that were a problem of the catalogue, by its code.",
    "Which refusal: `internal` is a defect, `overloaded` asks for room, `credentials` for a look.",
    "code",
)

# ------------------------------------------------------------------ the write path

BATCH_WRITES: Final = _histogram(
    "serai_write_batch_writes",
    "Writes that went into one transaction.",
    "How well waiting writes are merged; near 1 the machine is idle, near 64 it is full.",
    COUNTS,
)
WRITE_WAIT_SECONDS: Final = _histogram(
    "serai_write_wait_seconds",
    "Time from a write's arrival to the start of the transaction that answered it.",
    "Queueing. It grows before writes are refused.",
    SECONDS,
)
COMMIT_SECONDS: Final = _histogram(
    "serai_write_commit_duration_seconds",
    "Time of one transaction's call, disk included.",
    "A slow disk or a slow database shows here first.",
    SECONDS,
)
WRITES_QUEUED: Final = _gauge(
    "serai_writes_queued",
    "Writes that wait for a transaction, by shard.",
    "At 10,000 further ones are refused as `overloaded`.",
    "shard",
)
WRITES: Final = _counter(
    "serai_writes_total",
    "Outcomes of writes in their transaction: committed, replayed, stale (decided again), gap, "
    "fenced, failed (a constraint).",
    "Many `stale` are a hot row; `fenced` is an organisation on the move.",
    "outcome",
)
ROWS_WRITTEN: Final = _counter(
    "serai_rows_written_total",
    "Rows changed by committed writes.",
    "The load that the disks carry.",
)
BATCHES_FAILED: Final = _counter(
    "serai_write_batches_failed_total",
    "Transactions that ended in an error of the database or of the program: each write in them "
    "failed.",
    "Above zero: look at the log.",
)

# ------------------------------------------------------------------ sync

PULLS: Final = _counter(
    "serai_sync_pulls_total",
    "Pages answered: changes, unchanged (nothing new), filling (a first download is on its way), "
    "must_refetch (the token is of no use any more).",
    "Mostly `unchanged` is health. `must_refetch` of many devices at once follows a restore.",
    "result",
)
PULL_CHANGES: Final = _histogram(
    "serai_sync_page_changes",
    "Changes in one page.",
    "How far devices are behind when they come.",
    CHANGES,
)
MUTATIONS: Final = _counter(
    "serai_sync_mutations_total",
    "Offline writes judged: applied, merged, conflict, rejected, replayed (sent again).",
    "Conflicts and rejections are work that somebody lost until they look.",
    "outcome",
)
REFUSALS: Final = _counter(
    "serai_sync_refusals_total",
    "Offline writes that were not applied, by code; `vertical` stands for rules of the vertical.",
    "One code that jumps is a release of an app, or a rule, that is wrong.",
    "code",
)

# ------------------------------------------------------------------ identity

SIGN_INS: Final = _counter(
    "serai_sign_ins_total",
    "Sign-ins, by outcome: `ok` or the error's code. A wrong old password at a change of it, and"
    " one try too many there, count as well.",
    "`credentials` and `rate_limited` that jump are somebody guessing passwords.",
    "outcome",
)
REFRESHES: Final = _counter(
    "serai_token_refreshes_total",
    "Refreshes of a session, by outcome: `ok` or the error's code.",
    "`refresh_reused` is a copied token.",
    "outcome",
)

# ------------------------------------------------------------------ databases

CONNECTIONS: Final = _gauge(
    "serai_postgres_connections",
    "Connections to PostgreSQL, by database and state: free, used, opening.",
    "`used` at the maximum: raise SERAI_POOL_MAX, or find the slow statement.",
    "database",
    "state",
)
CONNECTION_WAITS: Final = _counter(
    "serai_postgres_connection_waits_total",
    "Callers that found no free connection and waited, by database.",
    "A pool that is too small.",
    "database",
)
CONNECTION_REFUSALS: Final = _counter(
    "serai_postgres_connection_refusals_total",
    "Callers that got no connection in time and were refused, by database.",
    "Each is a request that failed as `overloaded` or `unavailable`.",
    "database",
)
CONNECTIONS_OPENED: Final = _counter(
    "serai_postgres_connections_opened_total",
    "Connections opened, by database.",
    "A steady rate says that something closes them.",
    "database",
)
CONNECT_FAILURES: Final = _counter(
    "serai_postgres_connect_failures_total",
    "Attempts to connect that failed, by database.",
    "The database is away, full, or refuses us.",
    "database",
)
DIRECTORY_REFRESH_FAILURES: Final = _counter(
    "serai_directory_refresh_failures_total",
    "Attempts to read the directory that failed.",
    "Known organisations are served on; new ones and moves are not seen.",
)

# ------------------------------------------------------------------ the process

UPKEEP: Final = _counter(
    "serai_upkeep_runs_total",
    "Rounds of upkeep, by task (sessions, partitions, logs) and outcome (ok, failed).",
    "Partitions that are not made ahead end in a default partition.",
    "task",
    "outcome",
)
UPKEEP_SUCCESS: Final = _gauge(
    "serai_upkeep_last_success_timestamp_seconds",
    "When upkeep last ended well, by task.",
    "Alert when it is older than a day.",
    "task",
    across=Across.MAX,
)
LOOP_LAG: Final = _gauge(
    "serai_event_loop_lag_seconds",
    "By how much the process's event loop was late at its last tick; of several processes the "
    "worst.",
    "Above 0.1: the processor is full, or something blocks the loop.",
    across=Across.MAX,
)
PROCESSES: Final = _gauge(
    "serai_processes",
    "Processes that serve.",
    "Fewer than SERAI_WORKERS: one ends again and again.",
)
LOG_LINES_DROPPED: Final = _counter(
    "serai_log_lines_dropped_total",
    "Log lines that nobody read in time and that were dropped.",
    "The reader of standard error stands still.",
)
SERIES_REFUSED: Final = _counter(
    "serai_metric_series_refused_total",
    "Series that were not made because there are too many.",
    "Above zero: a label has values that it should not have. Report it.",
)
BUILD: Final = _gauge(
    "serai_build_info",
    "1, with the version as a label.",
    "Which release runs.",
    "version",
    across=Across.MAX,
)
CPU_SECONDS: Final = _counter(
    "process_cpu_seconds_total",
    "Processor time, user and system.",
    "The usual one.",
)
RESIDENT_BYTES: Final = _gauge(
    "process_resident_memory_bytes", "Resident memory.", "The usual one."
)
OPEN_FDS: Final = _gauge("process_open_fds", "Open file descriptors.", "The usual one.")
MAX_FDS: Final = _gauge(
    "process_max_fds",
    "File descriptors that one process may open.",
    "The usual one.",
    across=Across.MIN,
)
START_TIME: Final = _gauge(
    "process_start_time_seconds",
    "When the process started; of several the oldest.",
    "Restarts.",
    across=Across.MIN,
)

CATALOGUE: Final = tuple(_all)
BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
assert len(BY_NAME) == len(CATALOGUE), "metric names are unique"
