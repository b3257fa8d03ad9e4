-- name: version
SELECT version FROM serai_directory.version;

-- name: changes
SELECT version, subject, action,
       (coalesce(after, before) ->> 'org_id')::bigint AS org_id,
       (after ->> 'shard_id')::integer AS shard_id
FROM serai_directory.placement_audit
WHERE version > $1
ORDER BY version
LIMIT $2;

-- name: shards
SELECT shard_id, name, url FROM serai_directory.shard;

-- name: addresses
SELECT shard_id, name, address AS url FROM serai_directory.shard;

-- name: replicas
SELECT shard_id, name, url FROM serai_directory.replica ORDER BY shard_id, name;

-- name: replica_addresses
SELECT shard_id, name, address AS url FROM serai_directory.replica ORDER BY shard_id, name;

-- name: ranges
SELECT lower(orgs) AS first, upper(orgs) AS stop, shard_id FROM serai_directory.org_range;

-- name: overrides
SELECT org_id, shard_id FROM serai_directory.org_override;

-- name: org_by_key
SELECT org_id FROM serai_directory.organisation WHERE key = $1;

-- name: organisations
SELECT org_id, key, name FROM serai_directory.organisation ORDER BY org_id LIMIT $1;

-- name: create_organisation
SELECT org_id, created FROM serai_directory.create_organisation($1, $2, $3);

-- name: who_and_why
SELECT set_config('serai.actor', $1, true), set_config('serai.reason', $2, true);

-- name: add_shard
INSERT INTO serai_directory.shard (name, url) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET url = excluded.url
    WHERE shard.url <> excluded.url
RETURNING shard_id;

-- name: shard_by_name
SELECT shard_id FROM serai_directory.shard WHERE name = $1;

-- name: set_shard_state
UPDATE serai_directory.shard SET state = $2 WHERE shard_id = $1 AND state <> $2;

-- name: add_range
INSERT INTO serai_directory.org_range (orgs, shard_id, next_org_id)
VALUES (int8range($2, $3), $1, $2);

-- name: range_exists
SELECT true FROM serai_directory.org_range WHERE orgs = int8range($2, $3) AND shard_id = $1;

-- name: set_override
INSERT INTO serai_directory.org_override (org_id, shard_id) VALUES ($1, $2)
ON CONFLICT (org_id) DO UPDATE SET shard_id = excluded.shard_id, set_at = now()
    WHERE org_override.shard_id <> excluded.shard_id;

-- name: clear_override
DELETE FROM serai_directory.org_override WHERE org_id = $1;

-- name: secrets
SELECT key_id, material FROM serai_directory.secret
WHERE kind = $1 AND retired_at IS NULL ORDER BY key_id;

-- name: first_secret
INSERT INTO serai_directory.secret (kind, key_id, material) VALUES ($1, 1, $2)
ON CONFLICT (kind, key_id) DO NOTHING;

-- name: next_secret
INSERT INTO serai_directory.secret (kind, key_id, material)
SELECT $1, coalesce(max(key_id), 0) + 1, $2 FROM serai_directory.secret WHERE kind = $1
RETURNING key_id;

-- name: retire_secret
UPDATE serai_directory.secret AS old SET retired_at = now()
WHERE old.kind = $1 AND old.key_id = $2 AND old.retired_at IS NULL AND EXISTS (
    SELECT FROM serai_directory.secret AS newer
    WHERE newer.kind = old.kind AND newer.key_id > old.key_id AND newer.retired_at IS NULL
);
