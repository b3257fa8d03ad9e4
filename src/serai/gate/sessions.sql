-- name: open_session
-- The share lock waits for a new password or a disabling under way, and then sees it.
INSERT INTO serai_directory.session (user_id, org_id, device_id, created_at, expires_at)
SELECT u.user_id, $3, $4, $5, $6
FROM serai_directory.users u
WHERE u.user_id = $1 AND u.password_hash = $2 AND u.state = 'active'
FOR SHARE
RETURNING session_id, user_id, org_id;

-- name: open_session_of_identity
INSERT INTO serai_directory.session (user_id, org_id, device_id, created_at, expires_at)
SELECT u.user_id, $2, $3, $4, $5
FROM serai_directory.users u
WHERE u.user_id = $1 AND u.state = 'active'
FOR SHARE
RETURNING session_id, user_id, org_id;

-- name: succeed_session
INSERT INTO serai_directory.session (user_id, device_id, org_id, created_at, expires_at)
SELECT s.user_id, s.device_id, $2, $3, $4
FROM serai_directory.session s
WHERE s.session_id = $1
RETURNING session_id, user_id, org_id;

-- name: first_token
INSERT INTO serai_directory.refresh_token (token_sha256, session_id, generation, issued_at,
expires_at) VALUES ($1, $2, 1, $3, $4);

-- name: lock_session_of
SELECT s.session_id
FROM serai_directory.refresh_token t JOIN serai_directory.session s USING (session_id)
WHERE t.token_sha256 = $1
FOR UPDATE OF s;

-- name: presented
SELECT
    t.session_id, t.generation, t.expires_at, t.used_at, t.successor_salt,
    s.user_id, s.org_id, s.expires_at AS session_expires_at, s.revoked_at, s.revoke_reason, u.state,
    (SELECT max(n.generation) FROM serai_directory.refresh_token n WHERE n.session_id =
    t.session_id) AS newest, (SELECT n.expires_at FROM serai_directory.refresh_token n
        WHERE n.session_id = t.session_id AND n.generation = t.generation + 1) AS next_expires_at
FROM serai_directory.refresh_token t
JOIN serai_directory.session s USING (session_id)
JOIN serai_directory.users u USING (user_id)
WHERE t.token_sha256 = $1;

-- name: rotate
-- The token before this one has seen its successor used: its salt goes, and it can only mean theft
-- from now on.
WITH used AS (
    UPDATE serai_directory.refresh_token SET used_at = $5, successor_salt = $3
    WHERE session_id = $1 AND generation = $2
), followed AS (
    UPDATE serai_directory.refresh_token SET successor_salt = NULL
    WHERE session_id = $1 AND generation = $2 - 1
), forgotten AS (
    DELETE FROM serai_directory.refresh_token
    WHERE session_id = $1 AND generation <= $2 - $7
)
INSERT INTO serai_directory.refresh_token (token_sha256, session_id, generation, issued_at,
expires_at) VALUES ($4, $1, $2 + 1, $5, $6);

-- name: choose_organisation
UPDATE serai_directory.session SET org_id = $2
WHERE session_id = $1;

-- name: end_session
UPDATE serai_directory.session SET revoked_at = $3, revoke_reason = $2
WHERE session_id = $1 AND revoked_at IS NULL;

-- name: user_of_token
SELECT s.user_id
FROM serai_directory.refresh_token t JOIN serai_directory.session s USING (session_id)
WHERE t.token_sha256 = $1;

-- name: sign_out
UPDATE serai_directory.session s
SET revoked_at = coalesce(s.revoked_at, $2), revoke_reason = coalesce(s.revoke_reason, 'sign-out')
FROM serai_directory.refresh_token t
WHERE t.token_sha256 = $1 AND s.session_id = t.session_id
RETURNING s.session_id;

-- name: prune_sessions
WITH over AS (
    SELECT session_id FROM serai_directory.session
    WHERE expires_at < $1 OR revoked_at < $1
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM serai_directory.session s USING over WHERE s.session_id = over.session_id
    RETURNING 1
)
SELECT count(*)::int FROM deleted;
