-- What an operator asks of the directory and of shards; run by their owner.

-- name: shards
SELECT l.shard_id, l.name, l.state, l.orgs, s.url
FROM serai_directory.shard_load l JOIN serai_directory.shard s USING (shard_id)
ORDER BY l.shard_id;

-- name: load
SELECT l.orgs FROM serai_directory.shard_load l WHERE l.shard_id = %(shard_id)s;

-- name: ranges
SELECT r.shard_id, lower(r.orgs), upper(r.orgs), r.next_org_id - lower(r.orgs)
FROM serai_directory.org_range r
ORDER BY lower(r.orgs);

-- name: history
SELECT a.version, a.at, a.actor, a.reason, a.action, a.subject, coalesce(a.after, a.before)
FROM serai_directory.placement_audit a
ORDER BY a.version DESC
LIMIT %(limit)s;

-- name: known
SELECT o.org_id FROM serai_directory.organisation o WHERE o.org_id > %(after)s ORDER BY o.org_id LIMIT %(limit)s;

-- name: known_count
SELECT count(*) FROM serai_directory.organisation;

-- name: name_of
SELECT o.key FROM serai_directory.organisation o WHERE o.org_id = %(org_id)s;

-- name: size
SELECT pg_database_size(current_database());

-- name: read_only
SELECT current_setting('transaction_read_only')::boolean;

-- name: used
-- no org_id: whether this database is anybody's
SELECT EXISTS (SELECT FROM serai.org);

-- name: present
SELECT o.org_id, o.state, o.epoch, o.version FROM serai.org o WHERE o.org_id = ANY (%(org_ids)s);

-- name: here
SELECT o.org_id, o.state FROM serai.org o
WHERE o.org_id > %(after)s AND o.state <> 'moved'
ORDER BY o.org_id
LIMIT %(limit)s;
