-- Moves of organisations between shards: what both ends do, each in one call for a whole batch.
--
-- state says who takes writes: active: this shard; frozen: nobody, for a moment; moved: not this shard, whatever rows are
-- here. move_term is the fence against a mover that lost its turn: a term is drawn from the directory, only rises, and each
-- change of state asks for it. docs/decisions/0025-moves.md has the table of states.

ALTER TABLE serai.org ADD COLUMN move_term bigint NOT NULL DEFAULT 0;

-- The replies that were given while their organisation was copied. A busy organisation has a hundred thousand of two days,
-- and no other way to tell which came last: none of them may be looked at while it is frozen. Empty at all other times.
CREATE TABLE serai.move_reply (
    org_id bigint NOT NULL,
    key text NOT NULL,
    created_on date NOT NULL,
    PRIMARY KEY (org_id, key, created_on)
);

-- As before, but what is left of a record whose organisation lives elsewhere may be removed: the record itself has moved.
CREATE OR REPLACE FUNCTION serai.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_LEVEL = 'ROW' THEN
        IF EXISTS (SELECT FROM serai.org o WHERE o.org_id = OLD.org_id AND o.state = 'moved') THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Every table that holds rows of organisations, in the order in which rows go in. It follows the catalogue, so that a table
-- which was just added moves too. typed_from is the collection of a typed table, whose rows are made from serai.row.
CREATE FUNCTION serai.move_tables()
RETURNS TABLE (name text, typed_from smallint, columns text[], key text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT n.nspname || '.' || t.relname, c.number,
           ARRAY(
               SELECT format('%I', a.attname) FROM pg_attribute a
               WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
               ORDER BY a.attname),
           ARRAY(
               SELECT format('%I', a.attname)
               FROM pg_index i
               CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
               JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
               WHERE i.indrelid = t.oid AND i.indisprimary
               ORDER BY k.place)
    FROM pg_class t
    JOIN pg_namespace n ON n.oid = t.relnamespace
    LEFT JOIN serai.collection c
        ON c.name = t.relname AND c.apply_function = n.nspname || '.apply_' || t.relname
    WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition
      AND t.oid NOT IN ('serai.org'::regclass, 'serai.move_reply'::regclass)
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'org_id' AND NOT a.attisdropped)
      AND (n.nspname = 'serai' OR EXISTS (
          SELECT FROM serai.collection v WHERE split_part(v.apply_function, '.', 1) = n.nspname))
    ORDER BY c.position NULLS FIRST, t.oid
$$;

-- Takes the organisations for a term and tells their states. An organisation that is not here yet is made: `active` at its
-- home (it has no rows so far), `moved` where it is to come; `new` tells so. Who gets fewer back than asked for has lost its
-- turn. From here on the home notes its replies.
CREATE FUNCTION serai.move_claim(p_orgs bigint[], p_term bigint, p_home boolean)
RETURNS TABLE (org_id bigint, state text, new boolean) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    made bigint[];
BEGIN
    WITH inserted AS (
        INSERT INTO serai.org (org_id, state)
        SELECT u.org_id, CASE WHEN p_home THEN 'active' ELSE 'moved' END FROM unnest(p_orgs) AS u (org_id) ORDER BY u.org_id
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

-- Changes the state of all of them under a term, or of none. Locks in order of organisation, as serai.commit does; a write in
-- flight is waited for, and the next one sees the new state.
CREATE FUNCTION serai.move_state(p_orgs bigint[], p_term bigint, p_from text[], p_to text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed integer;
BEGIN
    PERFORM 1 FROM serai.org o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR NO KEY UPDATE;
    UPDATE serai.org o SET state = p_to, noting = o.noting AND p_to = 'frozen'
    WHERE o.org_id = ANY (p_orgs) AND o.move_term = p_term AND o.state = ANY (p_from);
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF p_to <> 'frozen' THEN
        DELETE FROM serai.move_reply r WHERE r.org_id = ANY (p_orgs);
    END IF;
    IF changed <> cardinality(p_orgs) THEN
        RAISE EXCEPTION 'the mover of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
END
$$;

-- The home has nothing to note any more: the move is undone.
CREATE FUNCTION serai.move_rest(p_orgs bigint[], p_term bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    resting bigint[];
BEGIN
    PERFORM 1 FROM serai.org o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR NO KEY UPDATE;
    WITH rested AS (
        UPDATE serai.org o SET noting = false WHERE o.org_id = ANY (p_orgs) AND o.move_term = p_term RETURNING o.org_id
    )
    SELECT array_agg(r.org_id) INTO resting FROM rested r;
    DELETE FROM serai.move_reply r WHERE r.org_id = ANY (resting);
END
$$;

-- Holds organisations to the end of the transaction: whoever takes their move over waits for it.
CREATE FUNCTION serai.move_hold(p_orgs bigint[], p_term bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held integer;
BEGIN
    SELECT count(*) INTO held FROM (
        SELECT FROM serai.org o
        WHERE o.org_id = ANY (p_orgs) AND o.move_term = p_term AND o.state = 'moved' ORDER BY o.org_id FOR SHARE) AS h;
    IF held <> cardinality(p_orgs) THEN
        RAISE EXCEPTION 'the mover of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
END
$$;

-- Removes what is in a table of organisations that live elsewhere, under a term; their rows of serai.org stay and say so.
-- Table by table: it may take long, and only who claims them again waits for it; a write that comes here by mistake does not.
CREATE FUNCTION serai.move_sweep(p_orgs bigint[], p_term bigint, p_table text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    gone bigint[] := ARRAY(
        SELECT o.org_id FROM serai.org o
        WHERE o.org_id = ANY (p_orgs) AND o.move_term = p_term AND o.state = 'moved'
        ORDER BY o.org_id FOR KEY SHARE);
    listed text := (SELECT t.name FROM serai.move_tables() AS t WHERE t.name = p_table);
BEGIN
    EXECUTE format('DELETE FROM %s WHERE org_id = ANY ($1)', listed) USING gone;
END
$$;

-- Makes the typed rows of organisations anew, from serai.row.
CREATE FUNCTION serai.move_retype(p_orgs bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    found_one record;
BEGIN
    FOR found_one IN SELECT t.name FROM serai.move_tables() AS t WHERE t.typed_from IS NOT NULL
        ORDER BY (SELECT c.position FROM serai.collection c WHERE c.number = t.typed_from) DESC
    LOOP
        EXECUTE format('DELETE FROM %s WHERE org_id = ANY ($1)', found_one.name) USING p_orgs;
    END LOOP;
    FOR found_one IN
        SELECT c.apply_function, array_agg(x.org_id) AS orgs, array_agg(x.id) AS ids, array_agg(x.doc) AS docs
        FROM serai.row x JOIN serai.collection c ON c.number = x.collection
        WHERE x.org_id = ANY (p_orgs)
        GROUP BY c.number ORDER BY c.position
    LOOP
        EXECUTE 'SELECT ' || found_one.apply_function || '($1, $2, $3, false)'
        USING found_one.orgs, found_one.ids, found_one.docs;
    END LOOP;
END
$$;

-- Brings changed and deleted rows into the typed tables. What is in between two states of the source need not satisfy its
-- constraints in this order (two rows that swapped a unique value): then the organisations are typed anew.
CREATE FUNCTION serai.move_rows(p_orgs bigint[], p_rows json, p_gone json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    applies record;
    fits boolean := true;
BEGIN
    BEGIN
        FOR applies IN
            SELECT c.remove_function, array_agg(g.org_id) AS orgs, array_agg(g.id) AS ids
            FROM json_populate_recordset(NULL::serai.tombstone, p_gone) g JOIN serai.collection c ON c.number = g.collection
            GROUP BY c.number ORDER BY c.position DESC
        LOOP
            EXECUTE 'SELECT ' || applies.remove_function || '($1, $2)' USING applies.orgs, applies.ids;
        END LOOP;
        FOR applies IN
            SELECT c.apply_function, array_agg(r.org_id ORDER BY r.version) AS orgs, array_agg(r.id ORDER BY r.version) AS ids,
                   array_agg(r.doc ORDER BY r.version) AS docs
            FROM json_populate_recordset(NULL::serai.row, p_rows) r JOIN serai.collection c ON c.number = r.collection
            GROUP BY c.number ORDER BY c.position
        LOOP
            EXECUTE 'SELECT ' || applies.apply_function || '($1, $2, $3, true)'
            USING applies.orgs, applies.ids, applies.docs;
        END LOOP;
    EXCEPTION WHEN unique_violation OR foreign_key_violation THEN
        fits := false;
    END;
    -- Found first, row by row: an empty target would otherwise have its whole table read (decision 23).
    DELETE FROM serai.row x
    USING json_populate_recordset(NULL::serai.tombstone, p_gone) g
    CROSS JOIN LATERAL (
        SELECT y.ctid AS place FROM serai.row y
        WHERE y.org_id = g.org_id AND y.collection = g.collection AND y.id = g.id
        OFFSET 0
    ) old
    WHERE x.ctid = old.place;
    DELETE FROM serai.row x
    USING json_populate_recordset(NULL::serai.row, p_rows) r
    CROSS JOIN LATERAL (
        SELECT y.ctid AS place FROM serai.row y
        WHERE y.org_id = r.org_id AND y.collection = r.collection AND y.id = r.id
        OFFSET 0
    ) old
    WHERE x.ctid = old.place;
    INSERT INTO serai.row SELECT r.* FROM json_populate_recordset(NULL::serai.row, p_rows) r;
    IF NOT fits THEN
        PERFORM serai.move_retype(p_orgs);
    END IF;
END
$$;

-- The last of a copy, under a term: where the organisations stand is as at the source, and everything is here.
CREATE FUNCTION serai.move_ready(p_orgs bigint[], p_term bigint, p_heads json) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    -- All that serai.org has, so that a column which was just added moves too; but not whose turn it is, and the state.
    listed text := (
        SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = 'serai.org'::regclass AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attname NOT IN ('org_id', 'state', 'move_term', 'noting'));
    last_refusal bigint := (SELECT max(r.refusal_id) FROM serai.refusal r WHERE r.org_id = ANY (p_orgs));
    changed integer;
BEGIN
    -- Refusals are listed by this number, so new ones must come after those that moved in.
    IF last_refusal >= (SELECT s.last_value FROM serai.refusal_refusal_id_seq s) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('serai refusals', 0));
        PERFORM setval('serai.refusal_refusal_id_seq', greatest(last_refusal, s.last_value) + 1000)
            FROM serai.refusal_refusal_id_seq s;
    END IF;
    EXECUTE format(
        'UPDATE serai.org AS o SET (%s) = (SELECT %s FROM json_populate_recordset(NULL::serai.org, $3) AS h '
        'WHERE h.org_id = o.org_id), state = $4 '
        'WHERE o.org_id = ANY ($1) AND o.move_term = $2 AND o.state = $5', listed, listed)
        USING p_orgs, p_term, p_heads, 'frozen', 'moved';
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(p_orgs) THEN
        RAISE EXCEPTION 'the mover of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
END
$$;
