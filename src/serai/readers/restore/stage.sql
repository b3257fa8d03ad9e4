-- Tables of the session that restores: gone with it, and so without org_id: they hold one organisation.

-- name: make_stage
-- no org_id: of the session; what is known of each row that changed since, and what is to be written
CREATE TEMPORARY TABLE restore_past (
    collection smallint NOT NULL, id uuid NOT NULL, scope uuid NOT NULL, past bytea NOT NULL, PRIMARY KEY (collection, id)
);
CREATE TEMPORARY TABLE restore_op (
    place integer NOT NULL, collection smallint NOT NULL, id uuid NOT NULL, scope uuid NOT NULL, op text NOT NULL,
    doc text NOT NULL, changed text, diff text, PRIMARY KEY (place, id)
);

-- name: pasts
-- no org_id: of the session
SELECT p.collection, p.id, p.past
FROM unnest(%(collections)s::smallint[], %(ids)s::uuid[]) AS k (collection, id)
CROSS JOIN LATERAL (
    SELECT s.collection, s.id, s.past FROM restore_past s WHERE s.collection = k.collection AND s.id = k.id OFFSET 0
) p;

-- name: put_pasts
-- no org_id: of the session
INSERT INTO restore_past (collection, id, scope, past)
SELECT * FROM unnest(%(collections)s::smallint[], %(ids)s::uuid[], %(scopes)s::uuid[], %(pasts)s::bytea[])
ON CONFLICT (collection, id) DO UPDATE SET past = excluded.past;

-- name: count_pasts
-- no org_id: of the session
SELECT count(*) FROM restore_past;

-- name: beside
-- The rows that changed since, beside what they are now.
SELECT p.collection, p.id, p.scope, p.past, r.doc, r.version
FROM restore_past p
LEFT JOIN LATERAL (
    SELECT x.doc, x.version FROM serai.row x
    WHERE x.org_id = %(org)s AND x.collection = p.collection AND x.id = p.id
    OFFSET 0
) r ON true
WHERE (p.collection, p.id) > (%(collection)s::smallint, %(after)s::uuid)
ORDER BY p.collection, p.id LIMIT %(limit)s;

-- name: put_ops
-- no org_id: of the session
INSERT INTO restore_op (place, collection, id, scope, op, doc, changed, diff)
SELECT * FROM unnest(
    %(places)s::integer[], %(collections)s::smallint[], %(ids)s::uuid[], %(scopes)s::uuid[], %(ops)s::text[],
    %(docs)s::text[], %(changed)s::text[], %(diffs)s::text[]);

-- name: put_orphans
-- Rows that are kept, but for one that goes: they go too.
INSERT INTO restore_op (place, collection, id, scope, op, doc)
SELECT DISTINCT %(place)s::integer, r.collection, r.id, r.scope, 'delete', r.doc
FROM restore_op d
JOIN serai.row r ON r.org_id = %(org)s AND r.collection = %(kept)s::smallint AND r.doc::json ->> %(field)s = d.id::text
WHERE d.op = 'delete' AND d.collection = %(target)s::smallint
ON CONFLICT DO NOTHING;

-- name: count_ops
-- no org_id: of the session
SELECT collection, op, count(*) FROM restore_op GROUP BY collection, op;

-- name: ops
-- no org_id: of the session
SELECT place, collection, id, scope, op, doc, changed, diff FROM restore_op
WHERE (place, id) > (%(place)s::integer, %(after)s::uuid) ORDER BY place, id LIMIT %(limit)s;

-- name: gone_rows
-- Rows of a collection that are not there any more; what they were is known whole.
SELECT p.id, p.scope, p.past FROM restore_past p
WHERE p.collection = %(collection)s::smallint AND p.id > %(after)s
  AND NOT EXISTS (SELECT FROM serai.row r WHERE r.org_id = %(org)s AND r.collection = p.collection AND r.id = p.id)
ORDER BY p.id LIMIT %(limit)s;
