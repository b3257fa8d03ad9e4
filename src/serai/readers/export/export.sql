-- name: standing
SELECT o.epoch, o.version, o.state, o.audit_number, o.audit_hash, coalesce(c.number, 0),
       coalesce(c.hash, decode(repeat('00', 32), 'hex'))
FROM serai.org o
LEFT JOIN LATERAL (
    SELECT k.number, k.hash FROM serai.audit_anchor k WHERE k.org_id = o.org_id ORDER BY k.number DESC LIMIT 1
) c ON true
WHERE o.org_id = %(org)s;

-- name: count_rows
SELECT count(*) FROM serai.row WHERE org_id = %(org)s;

-- name: rows
SELECT r.id, r.version, r.doc FROM serai.row r
WHERE r.org_id = %(org)s AND r.collection = %(collection)s::smallint AND r.id > %(after)s ORDER BY r.id LIMIT %(limit)s;

-- name: refusals
SELECT f.refusal_id, f.user_id, f.device_id, f.number, f.outcome, f.code, f.reason, f.collection, f.row_id, f.body, f.at
FROM serai.refusal f WHERE f.org_id = %(org)s AND f.refusal_id > %(after)s ORDER BY f.refusal_id LIMIT %(limit)s;

-- name: entries
SELECT a.org_id, a.number, a.at, a.version, a.user_id, a.device_id, a.via, a.op, a.collection, a.row_id, a.scope, a.content,
       a.hash
FROM serai.audit a WHERE a.org_id = %(org)s AND a.number > %(after)s ORDER BY a.number LIMIT %(limit)s;
