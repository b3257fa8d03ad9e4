-- name: lock
SELECT pg_try_advisory_lock(serai.restore_key(%(org)s)) -- org_id;

-- name: freeze
SELECT serai.restore_freeze(%(org)s, %(actor)s, %(reason)s) -- org_id;

-- name: thaw
SELECT serai.restore_thaw(%(org)s) -- org_id;

-- name: standing
-- Where the organisation and its record stand, and the last entry that retention has dropped.
SELECT o.epoch, o.version, o.state, o.audit_number, o.audit_hash, coalesce(c.number, 0),
       coalesce(c.hash, decode(repeat('00', 32), 'hex'))
FROM serai.org o
LEFT JOIN LATERAL (
    SELECT k.number, k.hash FROM serai.audit_anchor k WHERE k.org_id = o.org_id ORDER BY k.number DESC LIMIT 1
) c ON true
WHERE o.org_id = %(org)s;

-- name: entry
SELECT a.version, a.op, a.hash, a.at FROM serai.audit a WHERE a.org_id = %(org)s AND a.number = %(number)s;

-- name: entries
-- With where the record stands, of one snapshot.
SELECT o.version, o.audit_number, o.audit_hash, a.org_id, a.number, a.at, a.version, a.user_id, a.device_id, a.via, a.op,
       a.collection, a.row_id, a.scope, a.content, a.hash
FROM serai.org o
LEFT JOIN LATERAL (
    SELECT e.* FROM serai.audit e WHERE e.org_id = o.org_id AND e.number > %(after)s ORDER BY e.number LIMIT %(limit)s
) a ON true
WHERE o.org_id = %(org)s
ORDER BY a.number;

-- name: version_at
-- The last entry that is not later than a moment.
SELECT a.version FROM serai.audit a
WHERE a.org_id = %(org)s AND a.at <= %(moment)s ORDER BY a.number DESC LIMIT 1;

-- name: write
SELECT new_version, last_number, last_hash
FROM serai.restore_write(
    %(org)s, %(version)s, %(number)s, %(hash)s, %(now)s, %(author)s, %(typed)s, %(logged)s, %(ops)s::text[],
    %(collections)s::smallint[], %(ids)s::uuid[], %(scopes)s::uuid[], %(docs)s::text[], %(changed)s::text[],
    %(diffs)s::text[]
) -- org_id;

-- name: end
SELECT serai.restore_end(
    %(org)s, %(before)s, %(version)s, %(number)s, %(hash)s, %(grants)s, %(new)s
) -- org_id;

-- name: retype
SELECT serai.move_retype(ARRAY[%(org)s::bigint]) -- org_id;

-- name: rows
SELECT r.id, r.scope, r.doc, r.version FROM serai.row r
WHERE r.org_id = %(org)s AND r.collection = %(collection)s::smallint AND r.id > %(after)s ORDER BY r.id LIMIT %(limit)s;

-- name: users
SELECT DISTINCT r.doc::json ->> %(field)s FROM serai.row r WHERE r.org_id = %(org)s AND r.collection = %(collection)s::smallint;

-- name: make_new
-- It takes no writes and is not served before it is opened.
INSERT INTO serai.org (org_id, state) VALUES (%(org)s, 'moved') ON CONFLICT (org_id) DO NOTHING;

-- name: new_state
SELECT state, version FROM serai.org WHERE org_id = %(org)s;

-- name: open_new
UPDATE serai.org SET state = 'active' WHERE org_id = %(org)s AND state = 'moved';

-- name: sweep_new
-- What a restore that died has left of an organisation that nobody has seen.
SELECT serai.restore_sweep(%(org)s) -- org_id;
