-- name: create_api_key
INSERT INTO serai_directory.api_key
    (api_key_id, key_sha256, org_id, name, roles, created_by, created_at, expires_at)
SELECT $1, $2, $3, $4, $5::jsonb, $6, $7, $8
WHERE (
    SELECT count(*) FROM serai_directory.api_key
    WHERE org_id = $3 AND revoked_at IS NULL AND coalesce(expires_at, 'infinity') > $7
) < $9
RETURNING api_key_id, org_id, name, roles, created_by, created_at, expires_at, revoked_at,
last_used_at;

-- name: list_api_keys
SELECT api_key_id, org_id, name, roles, created_by, created_at, expires_at, revoked_at, last_used_at
FROM serai_directory.api_key
WHERE org_id = $1
ORDER BY created_at DESC, api_key_id
LIMIT $2;

-- name: revoke_api_key
UPDATE serai_directory.api_key SET revoked_at = coalesce(revoked_at, $3)
WHERE org_id = $1 AND api_key_id = $2
RETURNING api_key_id;

-- name: api_key
SELECT api_key_id, key_sha256, org_id, name, roles, created_by, created_at, expires_at, revoked_at,
last_used_at FROM serai_directory.api_key WHERE api_key_id = $1;

-- name: api_key_used
-- To the minute: a key in use must not become a row that is written with each request.
UPDATE serai_directory.api_key SET last_used_at = $2
WHERE api_key_id = $1 AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute');
