-- Run by the owner of a shard and of the directory. Braces are names of the collection that is asked for.

-- name: bounded
SELECT set_config('statement_timeout', %(limit)s, false), set_config('work_mem', '64MB', false);

-- name: one_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: not_active
-- no org_id: those of a shard that do not take writes there
SELECT o.org_id, o.state FROM serai.org o WHERE o.state <> 'active';

-- name: keys
SELECT o.org_id, o.key FROM serai_directory.organisation o WHERE o.org_id = ANY (%(org_ids)s);

-- name: totals
-- no org_id: over every organisation of a shard
SELECT {currency}, count(*), {sum}
FROM {source} t
WHERE NOT EXISTS (SELECT FROM unnest(%(elsewhere)s::bigint[]) e (org_id) WHERE e.org_id = t.org_id)
  AND (%(first)s::date IS NULL OR {day} >= %(first)s::date)
  AND (%(last)s::date IS NULL OR {day} <= %(last)s::date)
GROUP BY 1;

-- name: shares
-- no org_id: over every organisation of a shard
SELECT g.org_id, g.currency, g.rows, g.sum
FROM (
    SELECT s.*, row_number() OVER (PARTITION BY s.currency ORDER BY s.weight DESC, s.org_id) AS place
    FROM (
        SELECT t.org_id, {currency} AS currency, count(*) AS rows, {sum} AS sum, coalesce({sum}, count(*)) AS weight
        FROM {source} t
        WHERE NOT EXISTS (SELECT FROM unnest(%(elsewhere)s::bigint[]) e (org_id) WHERE e.org_id = t.org_id)
          AND (%(first)s::date IS NULL OR {day} >= %(first)s::date)
          AND (%(last)s::date IS NULL OR {day} <= %(last)s::date)
        GROUP BY 1, 2
    ) s
) g
WHERE g.place <= %(top)s;
