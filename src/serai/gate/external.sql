-- name: use_identity
-- The locks hold user and identity until the session is written: an operator who unlinks it meanwhile waits, and ends the
-- session. First the user, as everywhere: the session, which comes later, locks it as well.
WITH owner AS MATERIALIZED (
    SELECT u.user_id
    FROM serai_directory.external_identity e JOIN serai_directory.users u USING (user_id)
    WHERE e.issuer = $1 AND e.subject = $2
    FOR KEY SHARE OF u
)
UPDATE serai_directory.external_identity e SET last_used_at = $3
FROM owner
WHERE e.issuer = $1 AND e.subject = $2 AND e.user_id = owner.user_id
RETURNING e.user_id;

-- name: link_identity
INSERT INTO serai_directory.external_identity (issuer, subject, user_id, linked_at, last_used_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING user_id;

-- name: user_of_identity
SELECT user_id
FROM serai_directory.external_identity
WHERE issuer = $1 AND subject = $2;

-- name: identities_of_user
SELECT issuer
FROM serai_directory.external_identity
WHERE user_id = $1
ORDER BY issuer;

-- name: lock_user
-- Waits for every link and every sign-in of the user that has begun: what refers to a user holds FOR KEY SHARE.
SELECT user_id
FROM serai_directory.users
WHERE user_id = $1
FOR UPDATE;

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
