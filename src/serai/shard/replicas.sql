-- What is asked of a primary and of its replicas to tell how far behind they are. No table with org_id is read.

-- name: beat
SELECT b.beat, b.position_bytes FROM serai.beat($1) AS b;

-- name: seen
-- no org_id: the heartbeat is the shard's own.
SELECT h.beat, pg_is_in_recovery() AS follows,
       coalesce((pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint, 0) AS position_bytes
FROM serai.heartbeat h
WHERE h.single;
