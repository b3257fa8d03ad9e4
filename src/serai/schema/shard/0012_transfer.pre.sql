-- Transfers of a property between two organisations: what both ends do. docs/decisions/0030-transfers.md has the table of states.
--
-- held: the property that is being handed over. Nobody writes in it, nor a row that names it, but the transfer whose term is
-- move_term; serai.commit asks under the row lock. Moves and transfers of an organisation exclude each other in the directory
-- and draw their terms from one sequence, so one fence serves both.

ALTER TABLE serai.org ADD COLUMN held uuid;
-- The property with which the row went to another organisation: it did not end, and may come back with it.
ALTER TABLE serai.tombstone ADD COLUMN left_with uuid;

-- Properties that an organisation has handed over: what is still meant for one is refused by name.
CREATE TABLE serai.departure (
    org_id bigint NOT NULL,
    scope uuid NOT NULL,
    transfer_id bigint NOT NULL,
    to_org bigint NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (org_id, scope)
);

-- Takes an organisation for a term; one that has nothing yet is made. A move that had it has lost its turn.
CREATE FUNCTION serai.transfer_claim(p_org bigint, p_term bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO serai.org (org_id) VALUES (p_org) ON CONFLICT (org_id) DO NOTHING;
    UPDATE serai.org o SET move_term = p_term WHERE o.org_id = p_org AND o.move_term < p_term;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the transfer of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
END
$$;

-- Holds a property, or (null) lets go of it, under a term. A write in flight is waited for, the next one sees it.
CREATE FUNCTION serai.transfer_hold(p_org bigint, p_term bigint, p_scope uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE serai.org o SET held = p_scope
    WHERE o.org_id = p_org AND o.move_term = p_term AND o.state <> 'moved'
      AND (o.held IS NULL OR p_scope IS NULL OR o.held = p_scope);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the transfer of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
END
$$;

-- Keeps everybody else from the giving organisation to the end of the transaction, if it is this term's turn.
CREATE FUNCTION serai.transfer_turn(p_org bigint, p_term bigint, p_scope uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM serai.org o WHERE o.org_id = p_org AND o.move_term = p_term AND o.held = p_scope FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the transfer of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
END
$$;

-- An entry of the audit record that changes no row. Returns its hash.
CREATE FUNCTION serai.transfer_note(
    p_org bigint, p_number bigint, p_before bytea, p_version bigint, p_at text, p_author uuid, p_collection smallint,
    p_scope uuid, p_content text
) RETURNS bytea LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    hash bytea := sha256(p_before || convert_to(concat_ws(E'\n', p_org, p_number, p_version, p_at, p_author, '', 'transfer',
        'transfer', p_collection, p_scope, p_scope, p_content), 'UTF8'));
BEGIN
    INSERT INTO serai.audit (org_id, number, at, version, user_id, row_id, scope, collection, op, via, content, hash)
    VALUES (p_org, p_number, p_at::timestamptz, p_version, p_author, p_scope, p_scope, p_collection, 'transfer', 'transfer',
        p_content, hash);
    RETURN hash;
END
$$;

-- Rows of one channel arrive: what serai.commit does with inserts, 200 a version, in order, but ahead of serai.org, whose row
-- stays free. All of an arrival is one transaction: with serai.commit it would hold that row's lock for seconds, and the batches
-- of other organisations would wait behind it. Nobody else writes: the organisation is frozen under the transfer's term.
-- p_version, p_number, p_hash: where the organisation stands after what arrived before; returned as it stands then.
CREATE FUNCTION serai.transfer_arrive(
    p_org bigint, p_version bigint, p_number bigint, p_hash bytea, p_at text, p_author uuid, p_collection smallint,
    p_scope uuid, p_ids uuid[], p_docs text[], OUT version bigint, OUT number bigint, OUT hash bytea
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- As serai.commit: plans are kept, and the first are made while tables are empty.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    hashes bytea[] := array_fill(NULL::bytea, ARRAY[cardinality(p_ids)]);
    applies text := (SELECT c.apply_function FROM serai.collection c WHERE c.number = p_collection);
BEGIN
    number := p_number;
    hash := p_hash;
    FOR n IN 1..cardinality(p_ids) LOOP
        number := number + 1;
        hash := sha256(hash || convert_to(concat_ws(E'\n', p_org, number, p_version + 1 + (n - 1) / 200, p_at, p_author, '',
            'transfer', 'insert', p_collection, p_ids[n], p_scope, p_docs[n]), 'UTF8'));
        hashes[n] := hash;
    END LOOP;
    version := p_version + 1 + (cardinality(p_ids) - 1) / 200;

    -- What once left with its property may come back with it; what was deleted does not. Looked up from the side of the ids, by
    -- LATERAL with OFFSET 0, as serai.commit does; a tombstone of an organisation that is frozen stays where it is.
    DELETE FROM serai.tombstone t
    USING unnest(p_ids) AS u (id)
    CROSS JOIN LATERAL (
        SELECT x.ctid AS place FROM serai.tombstone x
        WHERE x.org_id = p_org AND x.collection = p_collection AND x.id = u.id AND x.left_with IS NOT NULL
        OFFSET 0
    ) old
    WHERE t.ctid = old.place;
    PERFORM FROM unnest(p_ids) AS u (id)
    CROSS JOIN LATERAL (
        SELECT FROM serai.tombstone x
        WHERE x.org_id = p_org AND x.collection = p_collection AND x.id = u.id
        OFFSET 0
    ) gone;
    IF FOUND THEN
        RAISE EXCEPTION 'rows of collection % were deleted there', p_collection USING ERRCODE = 'SE003';
    END IF;

    EXECUTE 'SELECT ' || applies || '($1, $2, $3, false)'
    USING array_fill(p_org, ARRAY[cardinality(p_ids)]), p_ids, p_docs;
    INSERT INTO serai.row (org_id, collection, id, scope, version, created_version, doc)
    SELECT p_org, p_collection, u.id, p_scope, p_version + 1 + (u.n - 1) / 200, p_version + 1 + (u.n - 1) / 200, u.doc
    FROM unnest(p_ids, p_docs) WITH ORDINALITY AS u (id, doc, n);
    INSERT INTO serai.log (org_id, version, ordinal, collection, scope, id, change)
    SELECT p_org, p_version + 1 + (u.n - 1) / 200, (u.n - 1) % 200, p_collection, p_scope, u.id,
           '{"id":"' || u.id || '","action":"insert","version":' || p_version + 1 + (u.n - 1) / 200 || ',"data":' || u.doc || '}'
    FROM unnest(p_ids, p_docs) WITH ORDINALITY AS u (id, doc, n);
    INSERT INTO serai.audit (org_id, number, at, version, user_id, row_id, scope, collection, op, via, content, hash)
    SELECT p_org, p_number + u.n, p_at::timestamptz, p_version + 1 + (u.n - 1) / 200, p_author, u.id, p_scope, p_collection,
           'insert', 'transfer', u.doc, hashes[u.n]
    FROM unnest(p_ids, p_docs) WITH ORDINALITY AS u (id, doc, n);
END
$$;

-- The last of an arrival: the organisation stands where its new rows say, and takes writes again. p_before: where it stood.
CREATE FUNCTION serai.transfer_arrived(
    p_org bigint, p_term bigint, p_before bigint, p_version bigint, p_number bigint, p_hash bytea, p_at text, p_author uuid,
    p_collection smallint, p_scope uuid, p_content text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bytea := serai.transfer_note(p_org, p_number + 1, p_hash, p_version, p_at, p_author, p_collection, p_scope, p_content);
BEGIN
    DELETE FROM serai.departure d WHERE d.org_id = p_org AND d.scope = p_scope;
    UPDATE serai.org o SET version = p_version, audit_number = p_number + 1, audit_hash = last, state = 'active'
    WHERE o.org_id = p_org AND o.move_term = p_term AND o.state = 'frozen' AND o.version = p_before;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the transfer of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
END
$$;

-- The last of a departure: the record of the giving organisation says so, and it is let go of what it has not any more.
CREATE FUNCTION serai.transfer_departed(
    p_org bigint, p_term bigint, p_transfer bigint, p_to bigint, p_at text, p_author uuid, p_collection smallint, p_scope uuid,
    p_content text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head record;
    last bytea;
BEGIN
    PERFORM serai.transfer_turn(p_org, p_term, p_scope);
    SELECT o.version, o.audit_number, o.audit_hash INTO head FROM serai.org o WHERE o.org_id = p_org;
    last := serai.transfer_note(
        p_org, head.audit_number + 1, head.audit_hash, head.version, p_at, p_author, p_collection, p_scope, p_content);
    INSERT INTO serai.departure AS d (org_id, scope, transfer_id, to_org, version, at)
    VALUES (p_org, p_scope, p_transfer, p_to, head.version, p_at::timestamptz)
    ON CONFLICT (org_id, scope) DO UPDATE
        SET transfer_id = excluded.transfer_id, to_org = excluded.to_org, version = excluded.version, at = excluded.at;
    UPDATE serai.org o SET audit_number = head.audit_number + 1, audit_hash = last, held = NULL WHERE o.org_id = p_org;
END
$$;
