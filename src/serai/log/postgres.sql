-- Each statement that reads says for which organisation, in itself: the policies of the tables compare with `serai.org`, which
-- ends with the statement's transaction. `me` is read first because what follows is LATERAL to it, and OFFSET 0 or LIMIT keeps
-- the planner from undoing that: otherwise it could look at a table before the setting is there, and see nothing.

-- name: commit
-- Arrays of numbers and texts come as one text each (`_elements`). One empty element and none look alike: neither is
-- read where it may be empty (the reply of a write without a key).
SELECT outcome, version, reply, same_body
FROM serai.commit(
    $1::text,
    string_to_array($2, E'\x1e', E'\x1d')::bigint[],
    string_to_array($3, E'\x1e', E'\x1d')::integer[],
    string_to_array($4, E'\x1e', E'\x1d')::bigint[],
    string_to_array($5, E'\x1e', E'\x1d')::integer[],
    string_to_array($6, E'\x1e', E'\x1d'),
    string_to_array($7, E'\x1e', E'\x1d'),
    $8::uuid[],
    $9::uuid[],
    string_to_array($10, E'\x1e', E'\x1d')::bigint[],
    $11::bytea[],
    string_to_array($12, E'\x1e', E'\x1d'),
    string_to_array($13, E'\x1e', E'\x1d')::boolean[],
    string_to_array($14, E'\x1e', E'\x1d'),
    $15::uuid[],
    $16::uuid[],
    string_to_array($17, E'\x1e', E'\x1d'),
    string_to_array($18, E'\x1e', E'\x1d')::integer[],
    string_to_array($19, E'\x1e', E'\x1d')::smallint[],
    $20::uuid[],
    string_to_array($21, E'\x1e', E'\x1d')::bigint[],
    string_to_array($22, E'\x1e', E'\x1d')::integer[],
    string_to_array($23, E'\x1e', E'\x1d'),
    string_to_array($24, E'\x1e', E'\x1d')::smallint[],
    $25::uuid[],
    $26::uuid[],
    string_to_array($27, E'\x1e', E'\x1d'),
    string_to_array($28, E'\x1e', E'\x1d'),
    string_to_array($29, E'\x1e', E'\x1d')
) -- carries org_id in its first array;

-- name: read
-- Keys of several organisations: the setting follows from key to key.
SELECT k.n, x.version, x.scope, x.doc, x.field_versions, x.created_version
FROM unnest($1::bigint[], $2::smallint[], $3::uuid[]) WITH ORDINALITY AS k (org_id, collection, id, n)
CROSS JOIN LATERAL (SELECT set_config('serai.org', k.org_id::text, true)::bigint AS org_id OFFSET 0) me
CROSS JOIN LATERAL (
    SELECT r.version, r.scope, r.doc, r.field_versions, r.created_version
    FROM serai.row r
    WHERE r.org_id = me.org_id AND r.collection = k.collection AND r.id = k.id
    OFFSET 0
) x;

-- name: replayed
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT p.version, p.reply, p.body_hash = $3 AS same_body
FROM me CROSS JOIN LATERAL (
    SELECT r.version, r.reply, r.body_hash FROM serai.reply r WHERE r.org_id = me.org_id AND r.key = $2 OFFSET 0
) p;

-- name: heads
-- As in `read`: the setting follows from organisation to organisation.
SELECT h.org_id, h.epoch, h.version, h.floor, h.grants_version, h.state
FROM unnest($1::bigint[]) AS k (org_id)
CROSS JOIN LATERAL (SELECT set_config('serai.org', k.org_id::text, true)::bigint AS org_id OFFSET 0) me
CROSS JOIN LATERAL (
    SELECT o.org_id, o.epoch, o.version, o.floor, o.grants_version, o.state
    FROM serai.org o
    WHERE o.org_id = me.org_id
    OFFSET 0
) h;

-- name: log_page
-- The head and the entries in one statement: one snapshot of the database, so every version up to the head is there.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT o.epoch, o.version AS head, o.floor, o.grants_version, o.state, l.version, l.collection, l.scope, l.id, l.change
FROM me CROSS JOIN LATERAL (
    SELECT h.org_id, h.epoch, h.version, h.floor, h.grants_version, h.state
    FROM serai.org h
    WHERE h.org_id = me.org_id
    OFFSET 0
) o
LEFT JOIN LATERAL (
    SELECT e.version, e.ordinal, e.collection, e.scope, e.id, e.change
    FROM serai.log e
    WHERE e.org_id = o.org_id AND e.version > $2
      AND ($4::bigint >> e.collection) & 1 = 1
      AND ($5::uuid[] IS NULL OR e.scope = ANY ($5::uuid[]))
    ORDER BY e.version, e.ordinal
    LIMIT $3
) l ON true
ORDER BY l.version, l.ordinal;

-- name: snapshot_page
-- Channel after channel, each by its own range of an index; the outer limit stops the loop. $4: after this id, in the first
-- channel. The all-one scope reads every property, by the primary key.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT c.n, r.collection, r.scope, r.id, r.version, r.change
FROM me CROSS JOIN unnest($2::smallint[], $3::uuid[]) WITH ORDINALITY AS c (collection, scope, n)
CROSS JOIN LATERAL (
    (
        SELECT x.collection, x.scope, x.id, x.version,
               '{"id":"' || x.id || '","action":"insert","version":' || x.version || ',"data":' || x.doc || '}' AS change
        FROM serai.row x
        WHERE c.scope <> 'ffffffff-ffff-ffff-ffff-ffffffffffff'
          AND x.org_id = me.org_id AND x.collection = c.collection AND x.scope = c.scope
          AND x.id > CASE WHEN c.n = 1 THEN $4::uuid ELSE '00000000-0000-0000-0000-000000000000' END
        ORDER BY x.id
        LIMIT $5
    )
    UNION ALL
    (
        SELECT x.collection, x.scope, x.id, x.version,
               '{"id":"' || x.id || '","action":"insert","version":' || x.version || ',"data":' || x.doc || '}' AS change
        FROM serai.row x
        WHERE c.scope = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
          AND x.org_id = me.org_id AND x.collection = c.collection AND x.scope <> '00000000-0000-0000-0000-000000000000'
          AND x.id > CASE WHEN c.n = 1 THEN $4::uuid ELSE '00000000-0000-0000-0000-000000000000' END
        ORDER BY x.id
        LIMIT $5
    )
) r
LIMIT $5;

-- name: refusals
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT r.refusal_id, r.user_id, r.device_id, r.number, r.outcome, r.code, r.reason, r.collection, r.row_id, r.scope, r.body,
       to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
FROM me CROSS JOIN LATERAL (
    SELECT f.* FROM serai.refusal f
    WHERE f.org_id = me.org_id AND f.refusal_id > $2
    ORDER BY f.refusal_id
    LIMIT $3
) r
ORDER BY r.refusal_id;

-- name: refusals_of
-- A statement of its own, for an index of its own: someone who has none must not read everybody's.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT r.refusal_id, r.user_id, r.device_id, r.number, r.outcome, r.code, r.reason, r.collection, r.row_id, r.scope, r.body,
       to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
FROM me CROSS JOIN LATERAL (
    SELECT f.* FROM serai.refusal f
    WHERE f.org_id = me.org_id AND f.user_id = $2 AND f.refusal_id > $3
    ORDER BY f.refusal_id
    LIMIT $4
) r
ORDER BY r.refusal_id;

-- name: refusal
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT r.refusal_id, r.user_id, r.device_id, r.number, r.outcome, r.code, r.reason, r.collection, r.row_id, r.scope, r.body,
       to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
FROM me CROSS JOIN LATERAL (
    SELECT f.* FROM serai.refusal f
    WHERE f.org_id = me.org_id AND f.device_id = $2 AND f.number = $3
    OFFSET 0
) r;

-- name: audit_page
-- Where the record stands and its entries in one statement: one snapshot of the database.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT o.epoch, o.version AS head, o.floor, o.grants_version, o.state, o.audit_number, o.audit_hash,
       coalesce(f.folded, 0) AS folded, coalesce(c.number, 0) AS anchor_number, coalesce(c.hash, decode(repeat('00', 32), 'hex')) AS anchor_hash,
       a.org_id, a.number, a.at, a.version, a.user_id, a.device_id, a.via, a.op, a.collection, a.row_id, a.scope,
       a.content, a.hash, l.change
FROM me CROSS JOIN LATERAL (SELECT h.* FROM serai.org h WHERE h.org_id = me.org_id OFFSET 0) o
LEFT JOIN LATERAL (
    SELECT k.number, k.hash FROM serai.audit_anchor k WHERE k.org_id = o.org_id ORDER BY k.number DESC LIMIT 1
) c ON true
LEFT JOIN LATERAL (SELECT x.folded FROM serai.log_life x WHERE x.org_id = o.org_id OFFSET 0) f ON true
LEFT JOIN LATERAL (
    SELECT e.* FROM serai.audit e WHERE e.org_id = o.org_id AND e.number > $2 ORDER BY e.number LIMIT $3
) a ON true
LEFT JOIN LATERAL (
    SELECT g.change
    FROM serai.log g
    WHERE g.org_id = o.org_id AND g.version = a.version AND g.id = a.row_id AND g.collection = a.collection
      AND a.op NOT IN ('refuse', 'transfer')
    LIMIT 1
) l ON true
ORDER BY a.number;

-- name: audit_list
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT a.org_id, a.number, a.at, a.version, a.user_id, a.device_id, a.via, a.op, a.collection, a.row_id, a.scope,
       a.content, a.hash
FROM me CROSS JOIN LATERAL (
    SELECT e.*
    FROM serai.audit e
    WHERE e.org_id = me.org_id AND ($2::bigint IS NULL OR e.number < $2) AND ($3::uuid IS NULL OR e.row_id = $3)
      AND ($4::uuid IS NULL OR e.user_id = $4)
    ORDER BY e.number DESC
    LIMIT $5
) a
ORDER BY a.number DESC;

-- name: create_org
SELECT serai.create_org($1) -- org_id;
