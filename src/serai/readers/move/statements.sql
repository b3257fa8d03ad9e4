-- Forms of statements for each table of the catalogue; names come from there.

-- name: marks
-- What each organisation is copied up to, and the rows that its log names after that. First, where they stand now.
WITH m AS MATERIALIZED (
    SELECT * FROM unnest(%(orgs)s::bigint[], %(versions)s::bigint[], %(numbers)s::bigint[]) AS u (org_id, version, number)
), c AS MATERIALIZED (
    SELECT DISTINCT l.org_id, l.collection, l.id FROM m JOIN serai.log l
        ON l.org_id = m.org_id AND l.version > m.version AND l.version <= m.version + %(limit)s
)
SELECT 'serai.org', json_agg(o)::text, NULL::bigint, pg_snapshot_xmin(pg_current_snapshot())::text
FROM serai.org o WHERE o.org_id = ANY (%(orgs)s)

-- name: of_log
SELECT '{table}', json_agg(r)::text, NULL, NULL FROM (
    SELECT {columns} FROM m JOIN {table} x
        ON x.org_id = m.org_id AND x.version > m.version AND x.version <= m.version + %(limit)s
) AS r

-- name: of_record
SELECT '{table}', json_agg(r)::text, NULL, NULL FROM (
    SELECT {columns} FROM m JOIN {table} x
        ON x.org_id = m.org_id AND x.number > m.number AND x.number <= m.number + %(limit)s
) AS r

-- name: of_rows
SELECT '{table}', json_agg(r)::text, NULL, NULL FROM (
    SELECT {columns} FROM c JOIN {table} x USING (org_id, collection, id)
) AS r

-- name: of_replies
SELECT '{table}', json_agg(r)::text, NULL, NULL FROM (
    SELECT {columns} FROM serai.move_reply n CROSS JOIN LATERAL (
        SELECT y.* FROM {table} y WHERE y.org_id = n.org_id AND y.key = n.key AND y.created_on = n.created_on OFFSET 0
    ) x
    WHERE n.org_id = ANY (%(orgs)s) AND age(n.xmin) <= age(%(since)s::xid8::xid)
) AS r

-- name: of_others
SELECT '{table}', (json_agg(x) FILTER (WHERE age(x.xmin) <= age(%(since)s::xid8::xid)))::text, count(*), NULL
FROM {table} AS x WHERE x.org_id = ANY (%(orgs)s)

-- name: remove
-- Found first, row by row, with org_id: an empty target would otherwise have its whole table read. A table may have partitions.
DELETE FROM {table} AS x
USING json_populate_recordset(NULL::{table}, %(rows)s::json) AS r
CROSS JOIN LATERAL (SELECT y.ctid AS place, y.tableoid AS part FROM {table} AS y WHERE {same} OFFSET 0) AS old
WHERE x.ctid = old.place AND x.tableoid = old.part

-- name: insert
INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {columns} FROM json_populate_recordset(NULL::{table}, %(rows)s::json) -- with org_id
ON CONFLICT DO NOTHING

-- name: clear
DELETE FROM {table} WHERE org_id = ANY (%(orgs)s)

-- name: count
SELECT '{table}', count(*) FROM {table} WHERE org_id = ANY (%(orgs)s)
