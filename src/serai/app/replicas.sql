-- What is asked of a shard and of its replica to tell whether one is the copy of the other.

-- name: system
SELECT system_identifier FROM pg_control_system();

-- name: follows
SELECT pg_is_in_recovery();

-- name: flushed
SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint;

-- name: replayed
SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint;
