-- name: add_replica
INSERT INTO serai_directory.replica (shard_id, name, url) VALUES ($1, $2, $3)
ON CONFLICT (shard_id, name) DO UPDATE SET url = excluded.url
    WHERE replica.url <> excluded.url;

-- name: remove_replica
DELETE FROM serai_directory.replica WHERE shard_id = $1 AND name = $2;

-- name: new_primary
UPDATE serai_directory.shard SET url = $2 WHERE shard_id = $1 AND url <> $2;

-- name: give_back
SELECT serai_directory.move_return($1::bigint[], $2, $3, $4) -- org_id;

-- name: forget_replicas
DELETE FROM serai_directory.replica WHERE shard_id = $1;
