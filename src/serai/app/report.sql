-- Run by the owner of a shard and of the directory.

-- name: bounded
SELECT set_config('statement_timeout', %(limit)s, false), set_config('work_mem', '64MB', false);

-- name: not_active
-- no org_id: those of a shard that do not take writes there
SELECT o.org_id, o.state FROM serai.org o WHERE o.state <> 'active';

-- name: keys
SELECT o.org_id, o.key FROM serai_directory.organisation o WHERE o.org_id = ANY (%(org_ids)s);
