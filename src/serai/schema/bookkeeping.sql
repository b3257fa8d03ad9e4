-- name: create
CREATE SCHEMA IF NOT EXISTS serai_schema;
CREATE TABLE IF NOT EXISTS serai_schema.state (
    kind    text PRIMARY KEY,
    -- the highest number of a pre file applied here
    version integer NOT NULL,
    -- code below this schema version must not run here
    compat  integer NOT NULL
);
CREATE TABLE IF NOT EXISTS serai_schema.applied (
    kind        text NOT NULL,
    file        text NOT NULL,
    sha256      bytea NOT NULL,
    duration_ms integer NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, file)
);
CREATE TABLE IF NOT EXISTS serai_schema.generated (
    name       text PRIMARY KEY,
    kind       text NOT NULL,
    sha256     bytea NOT NULL,
    drop_sql   text,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: exists
SELECT to_regclass('serai_schema.generated') IS NOT NULL;

-- name: state
SELECT version, compat FROM serai_schema.state WHERE kind = %(kind)s;

-- name: applied
SELECT file, sha256 FROM serai_schema.applied WHERE kind = %(kind)s;

-- name: record
WITH recorded AS (
    INSERT INTO serai_schema.applied (kind, file, sha256, duration_ms)
    VALUES (%(kind)s, %(file)s, %(sha256)s, %(duration_ms)s)
)
INSERT INTO serai_schema.state AS s (kind, version, compat)
VALUES (%(kind)s, %(version)s, %(compat)s)
ON CONFLICT (kind) DO UPDATE
SET version = greatest(s.version, excluded.version), compat = greatest(s.compat, excluded.compat);

-- name: generated
SELECT name, kind, sha256, drop_sql FROM serai_schema.generated;

-- name: record_generated
INSERT INTO serai_schema.generated AS g (name, kind, sha256, drop_sql)
VALUES (%(name)s, %(kind)s, %(sha256)s, %(drop_sql)s)
ON CONFLICT (name) DO UPDATE
SET kind = excluded.kind, sha256 = excluded.sha256, drop_sql = excluded.drop_sql, applied_at = now();

-- name: forget_generated
DELETE FROM serai_schema.generated WHERE name = ANY (%(names)s);

-- name: settings
SELECT set_config('application_name', 'serai migrate', false),
       set_config('statement_timeout', '0', false),
       set_config('idle_in_transaction_session_timeout', '60s', false),
       set_config('client_connection_check_interval', '2s', false);

-- name: lock_timeout
SELECT set_config('lock_timeout', %(lock_timeout)s, true);

-- name: try_lock
SELECT pg_try_advisory_lock(%(key)s);

-- name: try_lock_in_transaction
SELECT pg_try_advisory_xact_lock(%(key)s);

-- name: lock_holder
SELECT 'pid ' || l.pid || ', ' || a.application_name || ', since ' || a.backend_start
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s
LIMIT 1;

-- name: invalid_indexes
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relname
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i';

-- name: shards
SELECT name, url FROM serai_directory.shard ORDER BY shard_id;

-- name: fleet_role
SELECT name, password FROM serai_directory.request_role;

-- name: first_fleet_role
INSERT INTO serai_directory.request_role (name, password) VALUES (%(name)s, %(password)s)
ON CONFLICT (single) DO NOTHING;

-- name: role_exists
SELECT true FROM pg_roles WHERE rolname = %(name)s;

-- name: admit_to_shard
SELECT serai.admit(%(name)s);

-- name: admit_to_directory
SELECT serai_directory.admit(%(name)s);

-- name: powers
-- What a role of requests must not be: any of these could go around the policies.
SELECT current_user::text, r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication
       OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
       OR EXISTS (
           SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname IN ('serai', 'serai_directory') AND c.relowner = r.oid
       )
FROM pg_roles r WHERE r.rolname = current_user;
