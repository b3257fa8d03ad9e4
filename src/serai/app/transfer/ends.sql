-- What a transfer asks of the two shards, as their owner.

-- name: standing
SELECT state, held, version, audit_number, audit_hash, epoch FROM serai.org WHERE org_id = %(org)s;

-- name: claim
SELECT serai.transfer_claim(%(org)s, %(term)s) -- org_id;

-- name: hold
SELECT serai.transfer_hold(%(org)s, %(term)s, %(scope)s) -- org_id;

-- name: turn
SELECT serai.transfer_turn(%(org)s, %(term)s, %(scope)s) -- org_id;

-- name: page
SELECT id, version, doc FROM serai.row
WHERE org_id = %(org)s AND collection = %(collection)s AND scope = %(scope)s AND id > %(after)s
ORDER BY id LIMIT %(limit)s;

-- name: count
SELECT count(*) FROM serai.row WHERE org_id = %(org)s AND collection = %(collection)s AND scope = %(scope)s;

-- name: rows_of
SELECT id, doc FROM serai.row WHERE org_id = %(org)s AND collection = %(collection)s AND id = ANY (%(ids)s);

-- name: buried
SELECT id, left_with FROM serai.tombstone WHERE org_id = %(org)s AND collection = %(collection)s AND id = ANY (%(ids)s);

-- name: begin_arrival
-- no org_id: a name for the session, until the transaction ends
SELECT set_config('application_name', 'serai arrival ' || %(org)s::bigint, true);

-- name: end_arrivals
-- no org_id: sessions
-- Whoever had begun one has lost its turn, and what it holds would be waited for.
SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.application_name = 'serai arrival ' || %(org)s::bigint AND a.pid <> pg_backend_pid();

-- name: arrive
SELECT version, number, hash FROM serai.transfer_arrive(
    %(org)s, %(version)s, %(number)s, %(hash)s, %(at)s, %(author)s, %(collection)s::smallint, %(scope)s, %(ids)s, %(docs)s
) -- org_id;

-- name: arrived
SELECT serai.transfer_arrived(
    %(org)s, %(term)s, %(before)s, %(version)s, %(number)s, %(hash)s, %(at)s, %(author)s, %(collection)s::smallint, %(scope)s,
    %(content)s
) -- org_id;

-- name: departed
SELECT serai.transfer_departed(
    %(org)s, %(term)s, %(transfer)s, %(to)s, %(at)s, %(author)s, %(collection)s::smallint, %(scope)s, %(content)s
) -- org_id;
