-- Months at the target of a move: those that the source has are made there before rows come, so that money lies in its month and
-- the audit record's retention finds what it drops.

-- Every partition by month: of collections, and of the audit record.
CREATE FUNCTION serai.months() RETURNS TABLE (name text, month date)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.name, to_date(right(part.relname, 7), 'YYYY_MM')
    FROM (
        SELECT split_part(c.apply_function, '.', 1) || '.' || c.name AS name FROM serai.collection c
        UNION ALL
        SELECT 'serai.audit'
    ) p
    JOIN pg_inherits i ON i.inhparent = to_regclass(p.name)
    JOIN pg_class part ON part.oid = i.inhrelid
    WHERE part.relname ~ '_\d{4}_\d\d$'
$$;

-- Makes a month of the audit record, unless it is there, or the default partition has entries of it: an entry is never moved.
CREATE FUNCTION serai.make_audit_month(p_month date) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month timestamptz := p_month::timestamp AT TIME ZONE 'UTC';
    after timestamptz := (p_month + interval '1 month') AT TIME ZONE 'UTC';
    part text := 'serai.audit_' || to_char(p_month, 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('serai audit', 0));
    IF to_regclass(part) IS NOT NULL
        -- no org_id: the month of every organisation
        OR EXISTS (SELECT 1 FROM serai.audit_default d WHERE d.at >= month AND d.at < after)
    THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %s (LIKE serai.audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE serai.audit ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', part, month, after);
    EXECUTE format(
        'CREATE TRIGGER never_emptied BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION serai.refuse_change()', part);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', part);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER never_emptied', part);
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION serai.turn_audit(ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
BEGIN
    FOR n IN 0..ahead LOOP
        PERFORM serai.make_audit_month((today + make_interval(months => n))::date);
    END LOOP;
END
$$;

-- Makes one month of a table that `months` names.
CREATE FUNCTION serai.make_month(p_name text, p_month date) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_name = 'serai.audit' THEN
        RETURN serai.make_audit_month(p_month);
    END IF;
    RETURN serai.ensure_months(split_part(p_name, '.', 1), split_part(p_name, '.', 2), a.attname, p_month, p_month) > 0
    FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = p_name::regclass;
END
$$;
