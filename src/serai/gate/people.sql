-- name: create_user
INSERT INTO serai_directory.users (email, name, password_hash, password_changed_at, created_at)
VALUES ($1, $2, $3, CASE WHEN $3::text IS NOT NULL THEN $4::timestamptz END, $4)
ON CONFLICT (email) DO NOTHING
RETURNING user_id;

-- name: user_of_email
SELECT user_id, email, name, state, password_hash
FROM serai_directory.users
WHERE email = $1;

-- name: user_of_id
SELECT user_id, email, name, state
FROM serai_directory.users
WHERE user_id = $1;

-- name: set_password
UPDATE serai_directory.users SET password_hash = $2, password_changed_at = $3
WHERE user_id = $1
RETURNING user_id;

-- name: password_hash_of
SELECT password_hash
FROM serai_directory.users
WHERE user_id = $1;

-- name: replace_password
-- A second change that waits for the first finds another hash than the one that it has checked.
UPDATE serai_directory.users SET password_hash = $3, password_changed_at = $4
WHERE user_id = $1 AND password_hash = $2 AND state = 'active'
RETURNING user_id;

-- name: replace_hash
UPDATE serai_directory.users SET password_hash = $3
WHERE user_id = $1 AND password_hash = $2
RETURNING user_id;

-- name: set_state
UPDATE serai_directory.users SET state = $2
WHERE user_id = $1
RETURNING user_id;

-- name: end_sessions_of_user
UPDATE serai_directory.session SET revoked_at = $3, revoke_reason = $2
WHERE user_id = $1 AND revoked_at IS NULL
RETURNING session_id;

-- name: end_sessions_of_device
UPDATE serai_directory.session SET revoked_at = $2, revoke_reason = 'device'
WHERE device_id = $1 AND revoked_at IS NULL
RETURNING session_id;

-- name: add_to_organisation
-- The update changes nothing; it makes a row that was there come back as well.
INSERT INTO serai_directory.user_org (user_id, org_id, created_at)
SELECT u.user_id, o.org_id, $3
FROM serai_directory.users u CROSS JOIN serai_directory.organisation o
WHERE u.user_id = $1 AND o.org_id = $2
ON CONFLICT (user_id, org_id) DO UPDATE SET created_at = user_org.created_at
RETURNING org_id;

-- name: remove_from_organisation
DELETE FROM serai_directory.user_org
WHERE user_id = $1 AND org_id = $2
RETURNING org_id;

-- name: organisations_of
SELECT o.org_id, o.key, o.name
FROM serai_directory.user_org u JOIN serai_directory.organisation o USING (org_id)
WHERE u.user_id = $1
ORDER BY o.name, o.org_id
LIMIT $2;

-- name: organisation_named
SELECT o.org_id, o.key, o.name
FROM serai_directory.user_org u JOIN serai_directory.organisation o USING (org_id)
WHERE u.user_id = $1 AND (o.org_id = $2::bigint OR o.key = $3::text);

-- name: organisation_of_id
SELECT org_id, key, name
FROM serai_directory.organisation
WHERE org_id = $1;

-- name: register_device
INSERT INTO serai_directory.device (device_id, user_id, name, created_at, last_seen_at)
VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (device_id) DO UPDATE
    SET last_seen_at = excluded.last_seen_at,
        name = CASE WHEN excluded.name = '' THEN device.name ELSE excluded.name END
    WHERE device.user_id = excluded.user_id AND device.revoked_at IS NULL
RETURNING device_id;

-- name: revoke_device
UPDATE serai_directory.device SET revoked_at = $2
WHERE device_id = $1 AND revoked_at IS NULL;
