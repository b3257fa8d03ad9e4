-- name: use_identity
-- The update holds the row until the session is written: an operator who unlinks it meanwhile waits, and ends the session.
UPDATE serai_directory.external_identity SET last_used_at = $3
WHERE issuer = $1 AND subject = $2
RETURNING user_id;

-- name: link_identity
INSERT INTO serai_directory.external_identity (issuer, subject, user_id, linked_at, last_used_at)
VALUES ($1, $2, $3, $4, $4)
ON CONFLICT DO NOTHING
RETURNING user_id;

-- name: unlink_identities
DELETE FROM serai_directory.external_identity
WHERE user_id = $1
RETURNING issuer;

-- name: create_user
SELECT serai_directory.create_identified_user($1, $2, $3);

-- name: use_token
INSERT INTO serai_directory.used_id_token (token_sha256, expires_at)
VALUES ($1, $2)
ON CONFLICT DO NOTHING
RETURNING token_sha256;

-- name: forget_tokens
WITH over AS (
    SELECT token_sha256 FROM serai_directory.used_id_token
    WHERE expires_at < $1
    LIMIT $2
), deleted AS (
    DELETE FROM serai_directory.used_id_token t USING over
    WHERE t.token_sha256 = over.token_sha256
    RETURNING 1
)
SELECT count(*)::int FROM deleted;
