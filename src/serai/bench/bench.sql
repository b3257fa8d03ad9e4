-- name: floor_table
CREATE TABLE public.floor (org_id bigint, id uuid, doc text, PRIMARY KEY (org_id, id));

-- name: floor_insert
INSERT INTO public.floor (org_id, id, doc) VALUES ($1, $2, $3);

-- name: floor_copy
COPY public.floor (org_id, id, doc) FROM STDIN;

-- name: floor_texts
SELECT doc FROM public.floor WHERE org_id = $1 ORDER BY id LIMIT $2;

-- name: floor_by_key
SELECT version FROM serai.org WHERE org_id = $1;

-- name: organisations
INSERT INTO serai.org (org_id) SELECT * FROM generate_series(1, $1::bigint);

-- name: texts
SELECT org_id, id, doc FROM serai.row WHERE org_id = %s;

-- name: inserted
-- no org_id: every organisation of a shard that a benchmark made.
SELECT id FROM serai.log WHERE change::json ->> 'action' = 'insert';

-- name: sealed_rows
SELECT coalesce(sum(rows), 0)::bigint FROM serai.segment WHERE org_id = $1;

-- name: sealed_blocks
WITH me AS MATERIALIZED (SELECT set_config('serai.org', $1::bigint::text, true)::bigint AS org_id)
SELECT b.rows, b.body FROM me CROSS JOIN LATERAL (
    SELECT s.rows, s.body FROM serai.segment s
    WHERE s.org_id = me.org_id AND s.collection = $2 AND s.scope = $3 AND s.body IS NOT NULL
    ORDER BY s.last
    OFFSET 0
) b;

-- name: second_shard
CREATE DATABASE serai_shard_2;

-- name: count_statements
CREATE EXTENSION pg_stat_statements;

-- name: count_from_now
SELECT pg_stat_statements_reset();

-- name: counted
-- no org_id: statements of all databases of the server are counted
SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query NOT ILIKE '%pg_stat_statements%';

-- name: sqlite_table
-- no org_id: a file of SQLite, with nothing else in it
CREATE TABLE floor (id TEXT PRIMARY KEY, doc TEXT) WITHOUT ROWID;

-- name: sqlite_insert
-- no org_id: a file of SQLite, with nothing else in it
INSERT INTO floor (id, doc) VALUES (?, ?);

-- name: known_organisations
INSERT INTO serai_directory.organisation (org_id, key)
SELECT g, 'o' || g FROM generate_series(1, %s::bigint) AS g (g);

-- name: active_log
SELECT l.org_id, l.id, l.version FROM serai.log l JOIN serai.org o USING (org_id) WHERE o.state = 'active';

-- name: gaps
SELECT o.org_id FROM serai.org o LEFT JOIN serai.log l USING (org_id)
WHERE o.state = 'active' GROUP BY o.org_id
HAVING count(DISTINCT l.version) <> o.version;
