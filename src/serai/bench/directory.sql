-- A directory of a large fleet, made without its triggers: what is measured is what a process holds of it.

-- name: quietly
SET session_replication_role = replica;

-- name: shards
INSERT INTO serai_directory.shard (name, url)
SELECT 'shard-' || n, 'postgresql://serai:secret@10.0.0.' || n || ':5432/serai' FROM generate_series(1, $1::integer) n;

-- name: ranges
INSERT INTO serai_directory.org_range (orgs, shard_id, next_org_id)
SELECT int8range(1 + (n - 1) * $2::bigint, 1 + n * $2::bigint), 1 + (n - 1) % $3::integer, 1 + n * $2::bigint
FROM generate_series(1, $1::integer) n;

-- name: organisations
-- Those that were moved, evenly over all numbers; those that were not are numbers of their ranges.
INSERT INTO serai_directory.organisation (org_id, key)
SELECT n * $2::bigint, 'hotel-' || n || '.example' FROM generate_series(1, $1::integer) n;

-- name: overrides
INSERT INTO serai_directory.org_override (org_id, shard_id)
SELECT n * $2::bigint, 1 + n % $3::integer FROM generate_series(1, $1::integer) n;
