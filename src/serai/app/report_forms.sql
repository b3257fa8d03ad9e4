-- Forms of the statements of a report, run by a shard's owner. Braces are names of the collection that is asked for.

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
