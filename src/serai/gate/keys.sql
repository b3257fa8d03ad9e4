-- name: read_signing_keys
SELECT key_id, material, created_at, retired_at
FROM serai_directory.secret
WHERE kind = 'jwt'
ORDER BY key_id;

-- name: ensure_signing_key
-- Two processes that start at once both try number 1; one wins.
INSERT INTO serai_directory.secret (kind, key_id, material, created_at)
SELECT 'jwt', coalesce((SELECT max(key_id) FROM serai_directory.secret WHERE kind = 'jwt'), 0) + 1,
$1, $2 WHERE NOT EXISTS (SELECT FROM serai_directory.secret WHERE kind = 'jwt' AND retired_at IS
NULL) ON CONFLICT (kind, key_id) DO NOTHING;

-- name: rotate_signing_key
INSERT INTO serai_directory.secret (kind, key_id, material, created_at)
SELECT 'jwt', coalesce(max(key_id), 0) + 1, $1, $2 FROM serai_directory.secret WHERE kind = 'jwt'
RETURNING key_id;

-- name: retire_signing_keys
WITH retired AS (
    UPDATE serai_directory.secret SET retired_at = $2
    WHERE kind = 'jwt' AND key_id < $1 AND (retired_at IS NULL OR retired_at > $2)
    RETURNING 1
)
SELECT count(*)::int FROM retired;
