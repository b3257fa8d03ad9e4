-- no org_id: a month of the audit record is dropped of all organisations of a shard

-- name: audit_months
-- no org_id: months; the present one and the one before are not dropped
SELECT month, entries, bytes
FROM serai.audit_months(least($1, (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')::date));

-- name: drop_audit_month
SELECT serai.drop_audit_month($1) -- no org_id;

-- name: keep_audit_months
-- no org_id: one row a shard
INSERT INTO serai.retention AS r (audit_months) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET audit_months = excluded.audit_months;

-- name: kept_audit_months
-- no org_id: one row a shard
SELECT audit_months FROM serai.retention;
