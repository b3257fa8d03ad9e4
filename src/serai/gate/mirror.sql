-- name: sessions_ended
SELECT session_id, revoked_at
FROM serai_directory.session
WHERE revoked_at > $1;
