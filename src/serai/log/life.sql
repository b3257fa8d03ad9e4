-- As in `postgres.sql`: a statement that reads says for which organisation. What changes something is a function of the schema.

-- name: lives
-- no org_id: it goes through all organisations of the shard
SELECT due, org_id, epoch, version, floor, life_epoch, marks, times, folded, fold_from, sealed
FROM serai.lives($1, $2, $3, $4);

-- name: life
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT o.org_id, o.epoch, o.version, o.floor, l.epoch AS life_epoch, l.marks, l.times, l.folded, l.fold_from, l.sealed
FROM me
CROSS JOIN LATERAL (SELECT h.* FROM serai.org h WHERE h.org_id = me.org_id OFFSET 0) o
LEFT JOIN LATERAL (SELECT x.* FROM serai.log_life x WHERE x.org_id = o.org_id OFFSET 0) l ON true;

-- name: begin_life
SELECT serai.begin_life($1) -- org_id;

-- name: note_life
SELECT serai.note_life($1, $2, $3, $4, $5) -- org_id;

-- name: fold_log
SELECT serai.fold_log($1, $2, $3) -- org_id;

-- name: raise_floor
SELECT serai.raise_floor($1, $2) -- org_id;

-- name: prune_log
SELECT serai.prune_log($1, $2) -- org_id;

-- name: open_channel
SELECT serai.open_channel($1, $2, $3) -- org_id;

-- name: advance_segments
SELECT serai.advance_segments($1, $2, $3, $4, $5, $6, $7) -- org_id;

-- name: put_blocks
SELECT serai.put_blocks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) -- org_id;

-- name: log_keys
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT l.version, l.collection, l.scope, l.id, l.size
FROM me CROSS JOIN LATERAL (
    SELECT e.version, e.ordinal, e.collection, e.scope, e.id, length(e.change) AS size
    FROM serai.log e
    WHERE e.org_id = me.org_id AND e.version > $2
    ORDER BY e.version, e.ordinal
    LIMIT $3
) l
ORDER BY l.version, l.ordinal;

-- name: channels
-- From one channel to the next, by the index: it costs what there are channels, not rows.
WITH RECURSIVE me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id),
found AS (
    (
        SELECT me.org_id, f.collection, f.scope
        FROM me CROSS JOIN LATERAL (
            SELECT r.collection, r.scope FROM serai.row r WHERE r.org_id = me.org_id ORDER BY r.collection, r.scope LIMIT 1
        ) f
    )
    UNION ALL
    SELECT b.org_id, n.collection, n.scope
    FROM found b CROSS JOIN LATERAL (
        SELECT r.collection, r.scope FROM serai.row r
        WHERE r.org_id = b.org_id AND (r.collection, r.scope) > (b.collection, b.scope)
        ORDER BY r.collection, r.scope
        LIMIT 1
    ) n
)
SELECT f.collection, f.scope FROM found f;

-- name: rows_up_to
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT count(*)
FROM me CROSS JOIN LATERAL (
    (
        SELECT 1 FROM serai.row x
        WHERE $3 <> 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
          AND x.org_id = me.org_id AND x.collection = $2 AND x.scope = $3
        LIMIT $4
    )
    UNION ALL
    (
        SELECT 1 FROM serai.row x
        WHERE $3 = 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
          AND x.org_id = me.org_id AND x.collection = $2 AND x.scope > '00000000-0000-0000-0000-000000000000'
        LIMIT $4
    )
) r;

-- name: opened
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT c.n
FROM me CROSS JOIN unnest($2::smallint[], $3::uuid[]) WITH ORDINALITY AS c (collection, scope, n)
CROSS JOIN LATERAL (
    SELECT 1 FROM serai.segment s
    WHERE s.org_id = me.org_id AND s.collection = c.collection AND s.scope = c.scope
    LIMIT 1
) o;

-- name: stale
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT p.collection, p.scope, p.after, p.last
FROM me CROSS JOIN LATERAL (
    SELECT s.collection, s.scope, s.after, s.last FROM serai.segment s WHERE s.org_id = me.org_id AND s.stale LIMIT $2
) p;

-- name: part_rows
-- The head and the rows in one statement: one snapshot of the database, so these are the rows as of that version.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT o.epoch, o.version, r.id, r.change
FROM me
CROSS JOIN LATERAL (SELECT h.org_id, h.epoch, h.version FROM serai.org h WHERE h.org_id = me.org_id OFFSET 0) o
LEFT JOIN LATERAL (
    (
        SELECT x.id, '{"id":"' || x.id || '","action":"insert","version":' || x.version || ',"data":' || x.doc || '}' AS change
        FROM serai.row x
        WHERE $3 <> 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
          AND x.org_id = o.org_id AND x.collection = $2 AND x.scope = $3 AND x.id > $4 AND x.id <= $5
        ORDER BY x.id
        LIMIT $6
    )
    UNION ALL
    (
        SELECT x.id, '{"id":"' || x.id || '","action":"insert","version":' || x.version || ',"data":' || x.doc || '}' AS change
        FROM serai.row x
        WHERE $3 = 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
          AND x.org_id = o.org_id AND x.collection = $2 AND x.scope <> '00000000-0000-0000-0000-000000000000'
          AND x.id > $4 AND x.id <= $5
        ORDER BY x.id
        LIMIT $6
    )
) r ON true
ORDER BY r.id;

-- name: segment_blocks
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT b.after, b.last, b.epoch, b.rows, b.size, b.body,
       CASE WHEN b.stale THEN b.version ELSE greatest(b.version, l.sealed) END AS version
FROM me
CROSS JOIN LATERAL (SELECT x.sealed FROM serai.log_life x WHERE x.org_id = me.org_id OFFSET 0) l
CROSS JOIN LATERAL (
    SELECT s.*, sum(s.rows) OVER (ORDER BY s.last) AS rows_so_far, sum(s.size) OVER (ORDER BY s.last) AS size_so_far
    FROM (
        SELECT p.* FROM serai.segment p
        WHERE p.org_id = me.org_id AND p.collection = $2 AND p.scope = $3 AND p.last > $4
        ORDER BY p.last
        LIMIT 32
    ) s
) b
WHERE b.rows_so_far <= $5 AND b.size_so_far <= $6
ORDER BY b.last;

-- name: segment_changes
-- What changed in a stretch of a channel since its blocks, of at most $8 changes of the whole organisation; with what makes it
-- whole, in one snapshot.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT o.epoch, o.version AS head, o.floor, l.folded, e.id, e.change, n.looked_at
FROM me
CROSS JOIN LATERAL (SELECT h.org_id, h.epoch, h.version, h.floor FROM serai.org h WHERE h.org_id = me.org_id OFFSET 0) o
CROSS JOIN LATERAL (SELECT x.folded FROM serai.log_life x WHERE x.org_id = o.org_id OFFSET 0) l
CROSS JOIN LATERAL (
    SELECT count(*) AS looked_at
    FROM (SELECT 1 FROM serai.log c WHERE c.org_id = o.org_id AND c.version > $2 AND c.version <= $3 LIMIT $8) k
    OFFSET 0
) n
LEFT JOIN LATERAL (
    SELECT r.*
    FROM (
        SELECT g.version, g.ordinal, g.collection, g.scope, g.id, g.change
        FROM serai.log g
        WHERE g.org_id = o.org_id AND g.version > $2 AND g.version <= $3
        ORDER BY g.version, g.ordinal
        LIMIT $8
    ) r
    WHERE r.collection = $4 AND r.id > $6 AND r.id <= $7
      AND (r.scope = $5 OR ($5 = 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
                            AND r.scope <> '00000000-0000-0000-0000-000000000000'))
) e ON true
ORDER BY e.version, e.ordinal;

-- name: only_keeper
-- no org_id: one process a shard
SELECT pg_try_advisory_xact_lock(hashtextextended('serai log life', 0));

-- name: thaw_restores
-- no org_id: those of the shard whose restore has died
SELECT serai.thaw_restores();
