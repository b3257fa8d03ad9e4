-- name: departed
-- The property by itself, or by the row that left with it.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT d.scope
FROM me
LEFT JOIN LATERAL (
    SELECT t.left_with FROM serai.tombstone t
    WHERE t.org_id = me.org_id AND t.collection = $2::smallint AND t.id = $3
    OFFSET 0
) t ON true
CROSS JOIN LATERAL (
    SELECT x.scope FROM serai.departure x
    WHERE x.org_id = me.org_id AND x.scope = ANY (array_append($4::uuid[], t.left_with))
    OFFSET 0
) d
LIMIT 1;
