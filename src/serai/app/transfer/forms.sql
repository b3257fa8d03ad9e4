-- Forms of statements for the collections of a vertical; names come from its checked declaration. {place}: the field that says
-- to which property a row belongs.

-- name: referred
SELECT DISTINCT t.{field} FROM {table} t
WHERE t.org_id = %(org)s AND t.{place} = %(scope)s AND t.{field} IS NOT NULL ORDER BY 1

-- name: same_things
SELECT t.id, ARRAY[{texts}] FROM {table} t WHERE t.org_id = %(org)s AND t.{first} = ANY (%(values)s::{kind}[])

-- name: out_of_place
-- Rows of the property that lead to a row of another one.
SELECT count(*) FROM {table} t JOIN serai.row r ON r.org_id = t.org_id AND r.collection = %(target)s AND r.id = t.{field}
WHERE t.org_id = %(org)s AND t.{place} = %(scope)s AND r.scope <> %(scope)s

-- name: into_place
-- Rows elsewhere that lead to a row of the property.
SELECT count(*) FROM serai.row r JOIN {table} t ON t.org_id = r.org_id AND t.{field} = r.id
WHERE r.org_id = %(org)s AND r.collection = %(target)s AND r.scope = %(scope)s AND {elsewhere}

-- name: count_grants
SELECT count(*) FROM {table} t WHERE t.org_id = %(org)s AND t.{field} = %(scope)s

-- name: grants
SELECT r.id, r.version, r.doc FROM {table} t JOIN serai.row r
    ON r.org_id = t.org_id AND r.collection = %(collection)s AND r.id = t.id
WHERE t.org_id = %(org)s AND t.{field} = %(scope)s LIMIT %(limit)s
