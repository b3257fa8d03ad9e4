-- What the doctor reads to explain a device or a token. Statements on a shard say for which organisation, as those of
-- `serai.log` do: the policies of the tables compare with `serai.org`.

-- name: device
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT x.user_id, x.number
FROM me CROSS JOIN LATERAL (
    SELECT d.user_id, d.number FROM serai.device d WHERE d.org_id = me.org_id AND d.device_id = $2 OFFSET 0
) x;

-- name: refusals
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT x.number, x.outcome, x.code, x.reason, x.collection, x.row_id, x.at
FROM me CROSS JOIN LATERAL (
    SELECT f.number, f.outcome, f.code, f.reason, f.collection, f.row_id, f.at
    FROM serai.refusal f
    WHERE f.org_id = me.org_id AND f.device_id = $2
    ORDER BY f.number DESC
    LIMIT $3
) x
ORDER BY x.number DESC;

-- name: refusals_count
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT x.refused
FROM me CROSS JOIN LATERAL (
    SELECT count(*) AS refused FROM serai.refusal f WHERE f.org_id = me.org_id AND f.device_id = $2 OFFSET 0
) x;

-- name: log_since
-- Changes after a version, by channel; of a log that is longer than the limit, the first ones.
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT l.collection, l.scope, count(*) AS changes
FROM me CROSS JOIN LATERAL (
    SELECT e.collection, e.scope
    FROM serai.log e
    WHERE e.org_id = me.org_id AND e.version > $2
    ORDER BY e.version, e.ordinal
    LIMIT $3
) l
GROUP BY l.collection, l.scope;

-- name: signed_in
SELECT user_id, name, created_at, last_seen_at, revoked_at FROM serai_directory.device WHERE device_id = $1;

-- name: sessions
-- Of one organisation: a session that has chosen none yet sends nothing to any. A session is used when it gives a new
-- refresh token, and at its start.
SELECT s.user_id, s.created_at, s.expires_at, s.revoked_at, s.revoke_reason,
       coalesce((
           SELECT max(t.issued_at) FROM serai_directory.refresh_token t WHERE t.session_id = s.session_id
       ), s.created_at) AS last_used_at
FROM serai_directory.session s
WHERE s.org_id = $1 AND s.device_id = $2
ORDER BY last_used_at DESC
LIMIT $3;
