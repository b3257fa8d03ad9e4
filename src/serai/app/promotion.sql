-- What a promotion asks of the old primary and of the replica. No table with org_id is read but serai.org, of every
-- organisation of the shard.

-- name: server
-- no org_id: which server this is; its replicas have the same identifier, and begun another time
SELECT (SELECT system_identifier FROM pg_control_system())::text || ' ' || pg_postmaster_start_time()::text;

-- name: fence
ALTER SYSTEM SET default_transaction_read_only = on;

-- name: reload
SELECT pg_reload_conf();

-- name: end_sessions
-- Those of this database that may still write: what they have in flight is committed or not, and their next transaction is
-- read-only. Whoever connected after this session heard of the fence has heard of it too; no row before that.
SELECT count(pg_terminate_backend(pid)) FILTER (WHERE backend_start < pg_conf_load_time())
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
HAVING current_setting('default_transaction_read_only')::boolean;

-- name: flushed
SELECT pg_current_wal_flush_lsn()::text;

-- name: has_replayed
SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %(position)s::pg_lsn;

-- name: promote
SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(true, %(seconds)s) ELSE true END;

-- name: raise_epochs
-- no org_id: every organisation of the shard, a stretch at a time.
WITH stretch AS (
    SELECT o.org_id FROM serai.org o WHERE o.org_id > %(after)s ORDER BY o.org_id LIMIT %(limit)s FOR UPDATE
), risen AS (
    UPDATE serai.org o SET epoch = o.epoch + 1 FROM stretch s WHERE o.org_id = s.org_id RETURNING o.org_id
)
SELECT count(*), max(org_id) FROM risen;

-- name: open_or_frozen
-- Of every organisation of the shard, a stretch at a time.
SELECT o.org_id, o.state FROM serai.org o
WHERE o.org_id > %(after)s AND o.state <> 'moved' ORDER BY o.org_id LIMIT %(limit)s;

-- name: rows_of
SELECT o.org_id, o.state, o.move_term, o.partial IS TRUE FROM serai.org o WHERE o.org_id = ANY (%(orgs)s);

-- name: leave
-- What is here of organisations that live elsewhere from now on, or are to be opened anew; partial: nothing was here.
INSERT INTO serai.org (org_id, state, partial) SELECT u.org_id, 'moved', true FROM unnest(%(orgs)s::bigint[]) AS u (org_id)
ON CONFLICT (org_id) DO UPDATE SET state = 'moved';

-- name: settle
UPDATE serai.org o SET state = %(state)s WHERE o.org_id = ANY (%(orgs)s);
