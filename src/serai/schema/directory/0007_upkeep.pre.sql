-- The role of requests sees whether a mover left something: how many, never whose. It changes nothing of a move.

ALTER FUNCTION serai_directory.admit(text) RENAME TO admit_to_tables;

-- As before, and what upkeep looks at.
CREATE FUNCTION serai_directory.admit(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM serai_directory.admit_to_tables(role_name);
    EXECUTE format('GRANT SELECT (step, lease_until, ended_at, swept) ON serai_directory.move TO %I', role_name);
END
$$;
