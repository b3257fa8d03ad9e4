-- The second wall: whoever serves requests connects as a role that owns nothing, reads one organisation at a time, and
-- writes through serai.commit alone.

-- Makes an organisation that has nothing yet: epoch 1, version 0.
CREATE FUNCTION serai.create_org(new_org_id bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO serai.org (org_id) VALUES (new_org_id) ON CONFLICT (org_id) DO NOTHING
$$;

-- Gives the role of requests what it needs and nothing else. The migrator calls it at the end of each run. It follows the
-- catalogue, so that a table which was just added has its policy, and changes only what differs, so that nobody waits.
-- A partition is read through its parent, by the parent's policy; by itself nobody but the owner sees anything in it.
CREATE FUNCTION serai.admit(role_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Serai's own, and those of the verticals whose collections are registered.
    schemas name[] := '{serai}'::name[] || ARRAY(SELECT DISTINCT split_part(c.apply_function, '.', 1)::name FROM serai.collection c);
    schema_name name;
    found_one record;
BEGIN
    FOREACH schema_name IN ARRAY schemas LOOP
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM PUBLIC', schema_name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema_name, role_name);
    END LOOP;
    FOR found_one IN
        SELECT format('%I.%I', n.nspname, c.relname) AS name, c.oid, c.relispartition, c.relrowsecurity
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (schemas)
        ORDER BY c.oid
    LOOP
        IF NOT found_one.relrowsecurity THEN
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', found_one.name);
        END IF;
        CONTINUE WHEN found_one.relispartition;
        IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = found_one.oid) THEN
            EXECUTE format(
                'CREATE POLICY one_organisation ON %s FOR SELECT '
                'USING (org_id = nullif(current_setting(''serai.org'', true), '''')::bigint)', found_one.name);
        END IF;
        IF NOT has_table_privilege(role_name, found_one.oid, 'SELECT') THEN
            EXECUTE format('GRANT SELECT ON %s TO %I', found_one.name, role_name);
        END IF;
    END LOOP;
    FOR found_one IN
        SELECT f.oid::regprocedure::text AS name
        FROM pg_proc f
        WHERE f.pronamespace = 'serai'::regnamespace
          AND f.proname IN ('commit', 'create_org', 'ensure_months', 'turn_replies', 'turn_audit', 'fold_replies', 'lives',
                            'begin_life', 'note_life', 'fold_log', 'raise_floor', 'prune_log', 'open_channel',
                            'advance_segments', 'put_blocks', 'turn_retention', 'beat',
                            'thaw_restores')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', found_one.name, role_name);
    END LOOP;
    -- Everybody may make temporary tables in a database, until somebody says no.
    IF has_database_privilege(role_name, current_database(), 'TEMPORARY') THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
    EXECUTE format('GRANT SELECT ON serai.heartbeat TO %I', role_name);
    EXECUTE format('GRANT USAGE ON SCHEMA serai_schema TO %I', role_name);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA serai_schema TO %I', role_name);
END
$$;
