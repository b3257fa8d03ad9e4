-- name: add_replica
INSERT INTO serai_directory.replica (shard_id, name, url) VALUES ($1, $2, $3)
ON CONFLICT (shard_id, name) DO UPDATE SET url = excluded.url
    WHERE replica.url <> excluded.url;

-- name: remove_replica
DELETE FROM serai_directory.replica WHERE shard_id = $1 AND name = $2;
