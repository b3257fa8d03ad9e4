-- name: progress
CREATE SCHEMA IF NOT EXISTS seeding;
CREATE TABLE IF NOT EXISTS seeding.begun (single boolean PRIMARY KEY DEFAULT true CHECK (single), organisations bigint NOT NULL);
CREATE TABLE IF NOT EXISTS seeding.filled (name text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS seeding.taken (
    name text PRIMARY KEY, statement text NOT NULL, stage integer NOT NULL, made boolean NOT NULL DEFAULT false
);

-- Writes down how the keys, references and indexes of these tables are made, and drops them: references first, for they
-- need the keys. What an earlier run took is not there to be taken again.
CREATE OR REPLACE FUNCTION seeding.take(names text[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    found_one record;
BEGIN
    FOR found_one IN
        SELECT c.conrelid::regclass::text AS owner, c.conname AS name, c.contype IN ('p', 'u') AS is_key,
               format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) AS made
        FROM pg_constraint c
        WHERE c.conparentid = 0 AND c.contype IN ('f', 'p', 'u')
          AND (c.conrelid = ANY (names::regclass[]) OR c.confrelid = ANY (names::regclass[]))
        ORDER BY c.contype
    LOOP
        INSERT INTO seeding.taken (name, statement, stage)
        VALUES (found_one.owner || '.' || found_one.name, found_one.made, CASE WHEN found_one.is_key THEN 1 ELSE 3 END);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found_one.owner, found_one.name);
    END LOOP;
    FOR found_one IN
        SELECT i.indexrelid::regclass::text AS name, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS made
        FROM pg_index i
        WHERE i.indrelid = ANY (names::regclass[])
    LOOP
        INSERT INTO seeding.taken (name, statement, stage) VALUES (found_one.name, found_one.made, 2);
        EXECUTE format('DROP INDEX %s', found_one.name);
    END LOOP;
END
$$;

-- name: begin
-- no org_id: how many there are to be
WITH made AS (INSERT INTO seeding.begun (organisations) VALUES (%s) ON CONFLICT (single) DO NOTHING RETURNING organisations)
SELECT organisations FROM made UNION ALL SELECT organisations FROM seeding.begun LIMIT 1;

-- name: full
-- no org_id: how far the seeding is
SELECT name FROM seeding.filled;

-- name: filled
-- no org_id: how far the seeding is
INSERT INTO seeding.filled (name) VALUES (%s);

-- name: target
-- The table itself, or the partition of the day.
SELECT coalesce((
    SELECT i.inhrelid::regclass::text FROM pg_inherits i
    WHERE i.inhparent = t.name::regclass AND i.inhrelid::regclass::text = t.name || to_char(t.day, '_YYYY_MM')
), t.name)
FROM (SELECT %s::text AS name, %s::date AS day) t;

-- name: take
SELECT seeding.take(%s);

-- name: taken
-- no org_id: how far the seeding is
SELECT name, statement, stage FROM seeding.taken WHERE NOT made ORDER BY stage, name;

-- name: given_back
-- no org_id: how far the seeding is
UPDATE seeding.taken SET made = true WHERE name = %s;

-- name: name_organisations
-- no org_id: all of them
INSERT INTO serai_directory.organisation (org_id, key, name)
SELECT n, 'org-' || n, 'Organisation ' || n FROM generate_series(1, %s::bigint) n ON CONFLICT DO NOTHING;

-- name: go_on_after
UPDATE serai_directory.org_range SET next_org_id = greatest(next_org_id, %s::bigint + 1);

-- name: size
SELECT pg_database_size(current_database());
