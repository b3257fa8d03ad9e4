-- name: departed
-- The property by itself, by the row that is in it, or by the row that left with it: `gone`, or it is being handed over. Of
-- several organisations: the setting follows from row to row. $5: a property that is named, or null.
SELECT k.place, bool_or(d.scope IS NOT NULL) AS gone
FROM unnest($1::integer[], $2::bigint[], $3::smallint[], $4::uuid[], $5::uuid[]) WITH ORDINALITY
    AS k (place, org_id, collection, id, named, n)
CROSS JOIN LATERAL (SELECT set_config('serai.org', k.org_id::text, true)::bigint AS org_id OFFSET 0) me
LEFT JOIN LATERAL (
    SELECT t.left_with FROM serai.tombstone t
    WHERE t.org_id = me.org_id AND t.collection = k.collection AND t.id = k.id
    OFFSET 0
) t ON true
LEFT JOIN LATERAL (
    SELECT x.scope FROM serai.departure x
    WHERE x.org_id = me.org_id AND x.scope IN (k.named, t.left_with)
    OFFSET 0
) d ON true
LEFT JOIN LATERAL (
    SELECT r.scope FROM serai.row r
    WHERE r.org_id = me.org_id AND r.collection = k.collection AND r.id = k.id
    OFFSET 0
) r ON true
LEFT JOIN LATERAL (
    SELECT o.held FROM serai.org o
    WHERE o.org_id = me.org_id AND o.held IN (k.named, t.left_with, r.scope)
    OFFSET 0
) h ON true
WHERE d.scope IS NOT NULL OR h.held IS NOT NULL
GROUP BY k.place;
