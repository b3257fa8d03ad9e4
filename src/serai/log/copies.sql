-- Reads of a replica. Each says which position it needs and compares it with the organisation's in the same statement, so in
-- the same snapshot: what is answered is never older. No record means that the replica is not there yet. As in
-- postgres.sql, each says for which organisation it reads. An organisation that is not `active` is on the move: its home
-- answers, or says where it went.

-- name: row_since
-- $4, $5: epoch and version.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT r.version, r.scope, r.doc, r.field_versions, r.created_version
FROM me CROSS JOIN LATERAL (
    SELECT h.org_id
    FROM serai.org h
    WHERE h.org_id = me.org_id AND h.epoch = $4 AND h.version >= $5 AND h.state = 'active'
    OFFSET 0
) o
LEFT JOIN LATERAL (
    SELECT x.version, x.scope, x.doc, x.field_versions, x.created_version
    FROM serai.row x
    WHERE x.org_id = o.org_id AND x.collection = $2 AND x.id = $3
    LIMIT 1
) r ON true;

-- name: snapshot_page_since
-- $6, $7: epoch and version; the others as in `snapshot_page`.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT p.n, p.collection, p.scope, p.id, p.version, p.change
FROM me CROSS JOIN LATERAL (
    SELECT h.org_id
    FROM serai.org h
    WHERE h.org_id = me.org_id AND h.epoch = $6 AND h.version >= $7 AND h.state = 'active'
    OFFSET 0
) o
LEFT JOIN LATERAL (
    SELECT c.n, r.collection, r.scope, r.id, r.version, r.change
    FROM unnest($2::smallint[], $3::uuid[]) WITH ORDINALITY AS c (collection, scope, n)
    CROSS JOIN LATERAL (
        (
            SELECT x.collection, x.scope, x.id, x.version,
                   '{"id":"' || x.id || '","action":"insert","version":' || x.version || ',"data":' || x.doc || '}' AS change
            FROM serai.row x
            WHERE c.scope <> 'ffffffff-ffff-ffff-ffff-ffffffffffff'
              AND x.org_id = o.org_id AND x.collection = c.collection AND x.scope = c.scope
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
              AND x.org_id = o.org_id AND x.collection = c.collection AND x.scope <> '00000000-0000-0000-0000-000000000000'
              AND x.id > CASE WHEN c.n = 1 THEN $4::uuid ELSE '00000000-0000-0000-0000-000000000000' END
            ORDER BY x.id
            LIMIT $5
        )
    ) r
    LIMIT $5
) p ON true;
