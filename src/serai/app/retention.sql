-- no org_id: a month of the audit record is dropped of all organisations of a shard

-- name: audit_months
SELECT month, entries, bytes FROM serai.audit_months($1) -- no org_id;

-- name: drop_audit_month
SELECT serai.drop_audit_month($1) -- no org_id;

-- name: keep_audit_months
-- no org_id: one row a shard
INSERT INTO serai.retention AS r (audit_months) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET audit_months = excluded.audit_months;

-- name: kept_audit_months
-- no org_id: one row a shard
SELECT audit_months FROM serai.retention;
