"""The catalogue of metrics: the one place where a metric is declared.

Owns names, types, units, labels and meanings; the registry, the text of `/metrics`, the reference
page and the guard come from it. Promises that names follow the rules of Prometheus (base units,
`_total` on counters), and that every label has a small set of values: none is an organisation, a
user, a row or anything that a client makes up. Organisations are on a page of their own
(`serai.telemetry.top`). Never counts anything itself.
"""

from __future__ import annotations

from typing import Final

from serai.telemetry.declare import (
    BYTES,
    CHANGES,
    COUNTS,
    DECLARED,
    SECONDS,
    counter,
    gauge,
    histogram,
)
from serai.telemetry.metric import Across

# ------------------------------------------------------------------ requests

REQUESTS: Final = counter(
    "serai_http_requests_total",
    "Requests that were answered, by operation and class of status (`gone`: the client left).",
    "Traffic, and the share of failures: alert on 5xx.",
    "operation",
    "status",
)
REQUEST_SECONDS: Final = histogram(
    "serai_http_request_duration_seconds",
    "Time from the request's head to the answer's last byte, by operation.",
    "What users wait for. Alert on a high quantile of writes and of pulls.",
    SECONDS,
    "operation",
)
IN_FLIGHT: Final = gauge(
    "serai_http_requests_in_flight",
    "Requests that are being answered.",
    "A number that climbs says that the processes or the databases are behind.",
)
REQUEST_BODY_BYTES: Final = histogram(
    "serai_http_request_body_bytes",
    "Size of request bodies as received, for requests that have one.",
    "Large pushes, and programs that send more than they need.",
    BYTES,
)
RESPONSE_BODY_BYTES: Final = histogram(
    "serai_http_response_body_bytes",
    "Size of answers as sent, after compression.",
    "The network that sync needs.",
    BYTES,
)
ERRORS: Final = counter(
    "serai_errors_total",
    "Answers that were a problem of the catalogue, by its code.",
    "Which refusal: `internal` is a defect, `overloaded` asks for room, `credentials` for a look.",
    "code",
)

# ------------------------------------------------------------------ the write path

BATCH_WRITES: Final = histogram(
    "serai_write_batch_writes",
    "Writes that went into one transaction.",
    "How well waiting writes are merged; near 1 the machine is idle, near 64 it is full.",
    COUNTS,
)
WRITE_WAIT_SECONDS: Final = histogram(
    "serai_write_wait_seconds",
    "Time from a write's arrival to the start of the transaction that answered it.",
    "Queueing. It grows before writes are refused.",
    SECONDS,
)
COMMIT_SECONDS: Final = histogram(
    "serai_write_commit_duration_seconds",
    "Time of one transaction's call, disk included.",
    "A slow disk or a slow database shows here first.",
    SECONDS,
)
WRITES_QUEUED: Final = gauge(
    "serai_writes_queued",
    "Writes that wait for a transaction, by shard.",
    "At 10,000 further ones are refused as `overloaded`.",
    "shard",
)
WRITES: Final = counter(
    "serai_writes_total",
    "Outcomes of writes in their transaction: committed, replayed, stale (decided again), gap, "
    "fenced, failed (a constraint).",
    "Many `stale` are a hot row; `fenced` is an organisation on the move.",
    "outcome",
)
ROWS_WRITTEN: Final = counter(
    "serai_rows_written_total",
    "Rows changed by committed writes.",
    "The load that the disks carry.",
)
BATCHES_FAILED: Final = counter(
    "serai_write_batches_failed_total",
    "Transactions that ended in an error of the database or of the program: each write in them "
    "failed.",
    "Above zero: look at the log.",
)

# ------------------------------------------------------------------ sync

PULLS: Final = counter(
    "serai_sync_pulls_total",
    "Pages answered: changes, unchanged (nothing new), filling (a first download is on its way), "
    "must_refetch (the token is of no use any more).",
    "Mostly `unchanged` is health. `must_refetch` of many devices at once follows a restore.",
    "result",
)
PULL_CHANGES: Final = histogram(
    "serai_sync_page_changes",
    "Changes in one page.",
    "How far devices are behind when they come.",
    CHANGES,
)
MUTATIONS: Final = counter(
    "serai_sync_mutations_total",
    "Offline writes judged: applied, merged, conflict, rejected, replayed (sent again).",
    "Conflicts and rejections are work that somebody lost until they look.",
    "outcome",
)
REFUSALS: Final = counter(
    "serai_sync_refusals_total",
    "Offline writes that were not applied, by code; `vertical` stands for rules of the vertical.",
    "One code that jumps is a release of an app, or a rule, that is wrong.",
    "code",
)

# ------------------------------------------------------------------ identity

SIGN_INS: Final = counter(
    "serai_sign_ins_total",
    "Sign-ins, by outcome: `ok` or the error's code. A wrong old password at a change of it, and"
    " one try too many there, count as well.",
    "`credentials` and `rate_limited` that jump are somebody guessing passwords.",
    "outcome",
)
REFRESHES: Final = counter(
    "serai_token_refreshes_total",
    "Refreshes of a session, by outcome: `ok` or the error's code.",
    "`refresh_reused` is a copied token.",
    "outcome",
)

# ------------------------------------------------------------------ databases

CONNECTIONS: Final = gauge(
    "serai_postgres_connections",
    "Connections to PostgreSQL, by database and state: free, used, opening.",
    "`used` at the maximum: raise SERAI_POOL_MAX, or find the slow statement.",
    "database",
    "state",
)
CONNECTION_WAITS: Final = counter(
    "serai_postgres_connection_waits_total",
    "Callers that found no free connection and waited, by database.",
    "A pool that is too small.",
    "database",
)
CONNECTION_REFUSALS: Final = counter(
    "serai_postgres_connection_refusals_total",
    "Callers that got no connection in time and were refused, by database.",
    "Each is a request that failed as `overloaded` or `unavailable`.",
    "database",
)
CONNECTIONS_OPENED: Final = counter(
    "serai_postgres_connections_opened_total",
    "Connections opened, by database.",
    "A steady rate says that something closes them.",
    "database",
)
CONNECT_FAILURES: Final = counter(
    "serai_postgres_connect_failures_total",
    "Attempts to connect that failed, by database.",
    "The database is away, full, or refuses us.",
    "database",
)
DIRECTORY_REFRESH_FAILURES: Final = counter(
    "serai_directory_refresh_failures_total",
    "Attempts to read the directory that failed.",
    "Known organisations are served on; new ones and moves are not seen.",
)

REPLICA_READS: Final = counter(
    "serai_replica_reads_total",
    "Reads that a replica could answer, by who did: replica; primary_none (no replica is well), "
    "primary_behind (it lacked the version and did not get it in time), primary_failed (it did not "
    "answer).",
    "The share of `replica` is the load that the primary is spared.",
    "result",
)
REPLICA_WAIT_SECONDS: Final = histogram(
    "serai_replica_wait_seconds",
    "How long reads that waited for a replica to reach the version they need did so.",
    "At the bound of 20 ms they went to the primary.",
    SECONDS,
)
REPLICA_LAG_SECONDS: Final = gauge(
    "serai_replica_lag_seconds",
    "How far behind a replica was when last seen; infinite for what is no copy of its shard.",
    "Beyond 1 s it gets no reads until it has caught up.",
    "shard",
    "replica",
    across=Across.MAX,
)
REPLICA_BEHIND_BYTES: Final = gauge(
    "serai_replica_behind_bytes",
    "How much of the primary's log a replica had not replayed at the last look.",
    "One that only grows: the replica is slower than the writes.",
    "shard",
    "replica",
    across=Across.MAX,
)
REPLICA_USED: Final = gauge(
    "serai_replica_used",
    "1 if the replica gets reads, by shard and replica; the least of the processes.",
    "Alert on 0 for minutes.",
    "shard",
    "replica",
    across=Across.MIN,
)
SHARD_OPEN: Final = gauge(
    "serai_shard_breaker_open",
    "1 while requests for the shard are refused at once because it does not answer, else 0.",
    "Its organisations get 503; those of other shards notice nothing. Look at that PostgreSQL.",
    "shard",
)
SHARD_OPENED: Final = counter(
    "serai_shard_breaker_opened_total",
    "How often a shard was found not to answer.",
    "Many: it comes and goes, or is overloaded.",
    "shard",
)
SHARD_DISK_FULL: Final = gauge(
    "serai_shard_disk_full",
    "1 from a write that found the disk of the shard full until there is room again, else 0.",
    "Alert on 1: its organisations' writes get 503 `disk_full`. Make room on that disk.",
    "shard",
    across=Across.MAX,
)

# ------------------------------------------------------------------ the outlet

OUTLET_SERVES: Final = gauge(
    "serai_outlet_serves",
    "1 if this process is the outlet of the shard; the others wait for its end.",
    "Over all processes it is 1 for each shard. 0: nothing of that shard goes to the bus.",
    "shard",
)
OUTLET_MESSAGES: Final = counter(
    "serai_outlet_messages_total",
    "Messages that the bus has accepted, by shard.",
    "The traffic to other systems.",
    "shard",
)
OUTLET_BYTES: Final = counter(
    "serai_outlet_message_bytes_total",
    "Bytes of those messages.",
    "What the bus has to store.",
    "shard",
)
OUTLET_BEGUN: Final = counter(
    "serai_outlet_begun_again_total",
    "Organisations of which all rows were sent anew: the log did not reach back, or the epoch "
    "rose.",
    "Many at once follow a restore or a failover; a few, a bus that was away for a month.",
    "shard",
)
OUTLET_ERRORS: Final = counter(
    "serai_outlet_errors_total",
    "What the outlet tries again: `bus` (it does not answer), `refused` (it does not take a "
    "message), `shard` (the database), `task` (a mistake of the outlet itself), by shard.",
    "`refused` never goes away by itself: the log names the organisation. `task` has a traceback "
    "in the log: report it.",
    "shard",
    "result",
)
OUTLET_LAG_VERSIONS: Final = gauge(
    "serai_outlet_behind_versions",
    "By how many versions the organisation that is furthest behind is behind, of 1,000 that wait.",
    "One organisation that writes more than the bus takes.",
    "shard",
    across=Across.MAX,
)
OUTLET_LAG_SECONDS: Final = gauge(
    "serai_outlet_lag_seconds",
    "For how long the oldest change that was not accepted has waited, of 1,000 organisations.",
    "The delay of other systems. Alert on minutes.",
    "shard",
    across=Across.MAX,
)
OUTLET_BUS_WENT_BACK: Final = counter(
    "serai_outlet_bus_went_back_total",
    "How often the bus was found to have fewer messages than it had accepted.",
    "Above zero: rewind, as the runbook of a bus that lost its tail says.",
    "shard",
)

# ------------------------------------------------------------------ the process

UPKEEP: Final = counter(
    "serai_upkeep_runs_total",
    "Rounds of upkeep, by task (sessions, partitions, logs, moves) and outcome (ok, failed).",
    "Partitions that are not made ahead end in a default partition.",
    "task",
    "outcome",
)
UPKEEP_SUCCESS: Final = gauge(
    "serai_upkeep_last_success_timestamp_seconds",
    "When upkeep last ended well, by task.",
    "Alert when it is older than a day.",
    "task",
    across=Across.MAX,
)
LOG_LOOKS: Final = counter(
    "serai_log_looks_total",
    "Looks of upkeep at the log of one organisation, by outcome: ok, failed (tried again).",
    "`failed` that grows: the log lines name the organisation and why.",
    "outcome",
)
LOG_PASSES: Final = counter(
    "serai_log_passes_total",
    "Passes of upkeep over the organisations of a shard that came to the last one.",
    "None for an hour: there is more to do than upkeep may take, or it does not run.",
)
LOG_FOLDED: Final = counter(
    "serai_log_folded_changes_total",
    "Changes of logs that a later one had superseded and that were folded away.",
    "What the log would have grown by.",
)
LOG_PRUNED: Final = counter(
    "serai_log_pruned_changes_total",
    "Changes of logs, deletes among them, that were older than SERAI_TOMBSTONE_DAYS and were"
    " removed. Deleted ids stay.",
    "A device that was away longer begins anew.",
)
SEALED_ROWS: Final = counter(
    "serai_segment_sealed_rows_total",
    "Rows that were sealed into blocks for new devices.",
    "Much more than rows are written: changes all over large collections seal blocks anew.",
)
SEALED_BLOCKS: Final = counter(
    "serai_segment_sealed_blocks_total",
    "Blocks that were sealed for new devices.",
    "The work of sealing: 2 ms of processor each.",
)
LOGS_WAIT: Final = gauge(
    "serai_log_upkeep_wait_seconds",
    "For how long at most something has waited for upkeep of logs, by shard: since the last pass"
    " began that left nothing undone; of several processes the least.",
    "Minutes are well. Alert on a day: something cannot be done, or there is too much of it.",
    "shard",
    across=Across.MIN,
)
MOVES_LEFT: Final = gauge(
    "serai_moves_left",
    "Moves of organisations whose mover is gone and that have no end yet, at the last look.",
    "Writes of these organisations may wait. Alert when it stays above 0 for a minute.",
    across=Across.MAX,
)
MOVES_ENDED: Final = counter(
    "serai_moves_ended_total",
    "What upkeep did with moves that a mover left, by outcome: finished, undone, stuck (not now: it"
    " is tried again), swept (an old copy was removed).",
    "`stuck` that grows: a shard is away, or somebody holds the organisation's row.",
    "outcome",
)
LOOP_LAG: Final = gauge(
    "serai_event_loop_lag_seconds",
    "By how much the process's event loop was late at its last tick; of several processes the "
    "worst.",
    "Above 0.1: the processor is full, or something blocks the loop.",
    across=Across.MAX,
)
PROCESSES: Final = gauge(
    "serai_processes",
    "Processes that serve.",
    "Fewer than SERAI_WORKERS: one ends again and again.",
)
LOG_LINES_DROPPED: Final = counter(
    "serai_log_lines_dropped_total",
    "Log lines that nobody read in time and that were dropped.",
    "The reader of standard error stands still.",
)
SERIES_REFUSED: Final = counter(
    "serai_metric_series_refused_total",
    "Series that were not made because there are too many.",
    "Above zero: a label has values that it should not have. Report it.",
)
BUILD: Final = gauge(
    "serai_build_info",
    "1, with the version as a label.",
    "Which release runs.",
    "version",
    across=Across.MAX,
)
CPU_SECONDS: Final = counter(
    "process_cpu_seconds_total",
    "Processor time, user and system.",
    "The usual one.",
)
RESIDENT_BYTES: Final = gauge("process_resident_memory_bytes", "Resident memory.", "The usual one.")
OPEN_FDS: Final = gauge("process_open_fds", "Open file descriptors.", "The usual one.")
MAX_FDS: Final = gauge(
    "process_max_fds",
    "File descriptors that one process may open.",
    "The usual one.",
    across=Across.MIN,
)
START_TIME: Final = gauge(
    "process_start_time_seconds",
    "When the process started; of several the oldest.",
    "Restarts.",
    across=Across.MIN,
)

CATALOGUE: Final = tuple(DECLARED)
BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
assert len(BY_NAME) == len(CATALOGUE), "metric names are unique"
