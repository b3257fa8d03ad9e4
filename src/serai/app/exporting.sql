-- name: people
SELECT u.user_id, u.email, u.name
FROM serai_directory.user_org o JOIN serai_directory.users u USING (user_id)
WHERE o.org_id = %(org)s ORDER BY u.user_id;
