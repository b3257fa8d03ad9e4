-- name: lock_key
-- no org_id: it has no number yet
SELECT pg_try_advisory_lock(hashtextextended('serai restore into ' || %(key)s, 0));

-- name: unlock_key
-- no org_id: as above
SELECT pg_advisory_unlock(hashtextextended('serai restore into ' || %(key)s, 0));

-- name: under_way
-- Moves and transfers of properties.
SELECT count(*) FROM (
    SELECT FROM serai_directory.move WHERE org_id = %(org)s AND step IN ('copying', 'flipped', 'undoing')
    UNION ALL
    SELECT FROM serai_directory.transferring(ARRAY[%(org)s::bigint])
) AS u;

-- name: begin
SELECT org_id, shard_id, before, step
FROM serai_directory.restore_begin(
    %(key)s, %(name)s, %(shard)s::integer, %(source)s, %(at)s, %(actor)s, %(reason)s);

-- name: made
SELECT serai_directory.restore_made(%(org)s) -- org_id;

-- name: done
UPDATE serai_directory.restored SET step = 'done', ended_at = clock_timestamp() WHERE org_id = %(org)s AND step = 'made';

-- name: undone
UPDATE serai_directory.restored SET step = 'undone', ended_at = clock_timestamp() WHERE org_id = %(org)s AND step = 'copying'
RETURNING org_id;

-- name: list_people
INSERT INTO serai_directory.user_org (user_id, org_id)
SELECT u.user_id, %(org)s FROM serai_directory.users u WHERE u.user_id = ANY (%(users)s::uuid[])
ON CONFLICT DO NOTHING;

-- name: unfinished
SELECT org_id, key, shard_id FROM serai_directory.restored WHERE step = 'copying' ORDER BY org_id LIMIT 100;
