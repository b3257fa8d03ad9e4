-- A copy of an organisation says by itself whether it is whole, and one that was kept may be opened again.
-- docs/decisions/0025-moves.md says when.

-- True where rows may be missing: a copy is being made, or removed. What is here of one that lives here is whole.
ALTER TABLE serai.org ADD COLUMN partial boolean;

-- As before, and what is made for a copy to come is partial. The copy takes the column from its source when it is complete.
CREATE OR REPLACE FUNCTION serai.move_claim(p_orgs bigint[], p_term bigint, p_home boolean)
RETURNS TABLE (org_id bigint, state text, new boolean) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    made bigint[];
BEGIN
    WITH inserted AS (
        INSERT INTO serai.org (org_id, state, partial)
        SELECT u.org_id, CASE WHEN p_home THEN 'active' ELSE 'moved' END, NOT p_home
        FROM unnest(p_orgs) AS u (org_id) ORDER BY u.org_id
        ON CONFLICT (org_id) DO NOTHING RETURNING org_id
    )
    SELECT array_agg(i.org_id) INTO made FROM inserted i;
    -- A sweep of an earlier move is waited for.
    PERFORM 1 FROM serai.org o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR UPDATE;
    RETURN QUERY
    UPDATE serai.org o SET move_term = p_term, noting = p_home
    WHERE o.org_id = ANY (p_orgs) AND o.move_term < p_term
    RETURNING o.org_id, o.state, coalesce(o.org_id = ANY (made), false);
END
$$;

-- Says of organisations that live elsewhere, under a term, that their rows are going: from here on no copy is left.
CREATE FUNCTION serai.move_forget(p_orgs bigint[], p_term bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM serai.org o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR NO KEY UPDATE;
    UPDATE serai.org o SET partial = true
    WHERE o.org_id = ANY (p_orgs) AND o.move_term = p_term AND o.state = 'moved' AND o.partial IS NOT TRUE;
END
$$;

-- Makes kept copies ready to be opened, under a term and in a new epoch: their home has lost them. Gives those of which there
-- is a whole copy; one that has been opened already stays as it is.
CREATE FUNCTION serai.move_reopen(p_orgs bigint[], p_term bigint, p_epochs integer) RETURNS SETOF bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM serai.org o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR NO KEY UPDATE;
    UPDATE serai.org o SET state = 'frozen', epoch = o.epoch + p_epochs
    WHERE o.org_id = ANY (p_orgs) AND o.move_term = p_term AND o.state IN ('moved', 'frozen') AND o.partial IS NOT TRUE;
    RETURN QUERY
    SELECT o.org_id FROM serai.org o
    WHERE o.org_id = ANY (p_orgs) AND o.move_term = p_term AND o.state <> 'moved';
END
$$;
