-- What the doctor reads of a database; run by the owner, or by the role of requests as far as that one may.

-- name: server
SELECT current_setting('server_version'), current_setting('server_version_num')::integer, pg_is_in_recovery(),
       clock_timestamp(), coalesce((SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()), false);

-- name: parameters
SELECT name, setting FROM pg_settings WHERE name = ANY (%(names)s);

-- name: free_numbers
SELECT coalesce(sum(upper(r.orgs) - r.next_org_id), 0)::bigint
FROM serai_directory.org_range r JOIN serai_directory.shard s USING (shard_id)
WHERE s.state = 'open';

-- name: partitions
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(%(table)s);

-- name: guards
-- Each table of organisations, and whether the role could go around the policy: no row security, a policy that does not ask
-- for the organisation, or a right to write.
SELECT n.nspname || '.' || c.relname,
       NOT c.relrowsecurity
       OR EXISTS (
           SELECT FROM pg_policy p
           WHERE p.polrelid = c.oid AND p.polpermissive
             AND coalesce(pg_get_expr(p.polqual, p.polrelid), '') NOT LIKE '%%current_setting(''serai.org''%%'
       )
       OR has_table_privilege(%(role)s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p')
  AND n.nspname = ANY (%(schemas)s);

-- name: sees
-- What the role sees without naming an organisation: nothing, if the policies hold.
-- no org_id: that is the point
SELECT EXISTS (SELECT FROM serai.row) OR EXISTS (SELECT FROM serai.org) OR EXISTS (SELECT FROM serai.audit);
