-- An organisation brought back to an earlier version: what a command does on its shard, as the owner.
-- docs/decisions/0028-restore-and-export.md says why it writes new versions on top.

-- An organisation that takes no writes while it is being restored. Who restores it holds the advisory lock of
-- serai.restore_key; a row whose lock nobody holds was left by a command that died, and goes with the next look.
CREATE TABLE serai.restore_hold (
    org_id bigint PRIMARY KEY,
    actor text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION serai.restore_key(p_org bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT hashtextextended('serai restore ' || p_org, 0)
$$;

-- Takes no more writes; one in flight is waited for. False if the organisation is not active here, or hands a property over.
CREATE FUNCTION serai.restore_freeze(p_org bigint, p_actor text, p_reason text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE serai.org o SET state = 'frozen' WHERE o.org_id = p_org AND o.state = 'active' AND o.held IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO serai.restore_hold (org_id, actor, reason) VALUES (p_org, p_actor, p_reason);
    RETURN true;
END
$$;

-- Takes writes again, if it was a restore that held them up.
CREATE FUNCTION serai.restore_thaw(p_org bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM serai.restore_hold h WHERE h.org_id = p_org;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE serai.org o SET state = 'active' WHERE o.org_id = p_org AND o.state = 'frozen';
    RETURN true;
END
$$;

-- Lets those take writes again whose restore has died: its transaction has left nothing else. Returns of how many.
-- no org_id: it looks at every hold of the shard, of which there are few
CREATE FUNCTION serai.thaw_restores() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held bigint;
    thawed integer := 0;
BEGIN
    FOR held IN SELECT h.org_id FROM serai.restore_hold h ORDER BY h.org_id LOOP
        IF pg_try_advisory_xact_lock(serai.restore_key(held)) THEN
            thawed := thawed + serai.restore_thaw(held)::integer;
        END IF;
    END LOOP;
    RETURN thawed;
END
$$;

-- Writes one version of an organisation that takes no writes by itself: o_* one element a row, in order. Beside `insert`,
-- `update` and `delete` an element may be `restore`: an entry of the audit record that changes no row. What it does is what
-- serai.commit does, but that an id which was deleted may come back; that nothing is asked for and nothing refused; that
-- typed tables may wait (p_typed false) until all is there; and that the row of serai.org is not touched: whoever locks it
-- keeps all writes waiting that come in one batch with this organisation's. So where the organisation stands is given and
-- returned, and said by serai.restore_end. p_logged false: for an organisation that nobody has seen yet.
CREATE FUNCTION serai.restore_write(
    p_org bigint, p_version bigint, p_number bigint, p_hash bytea,
    p_at text, p_author uuid, p_typed boolean, p_logged boolean,
    o_op text[], o_collection smallint[], o_id uuid[], o_scope uuid[], o_doc text[], o_changed text[], o_diff text[],
    OUT new_version bigint, OUT last_number bigint, OUT last_hash bytea
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
AS $$
DECLARE
    applies record;
    numbers bigint[] := '{}';
    hashes bytea[] := '{}';
BEGIN
    last_number := p_number;
    last_hash := p_hash;
    new_version := p_version + (o_op && '{insert,update,delete}'::text[])::integer;
    FOR n IN 1..cardinality(o_op) LOOP
        last_number := last_number + 1;
        last_hash := sha256(last_hash || convert_to(concat_ws(E'\n', p_org, last_number, new_version, p_at, p_author,
            '', 'system', o_op[n], o_collection[n], o_id[n], o_scope[n], coalesce(o_diff[n], o_doc[n])), 'UTF8'));
        numbers := numbers || last_number;
        hashes := hashes || last_hash;
    END LOOP;

    IF p_typed THEN
        FOR applies IN
            SELECT c.apply_function, array_agg(p_org) AS orgs, array_agg(o.id) AS ids, array_agg(o.doc) AS docs
            FROM unnest(o_op, o_collection, o_id, o_doc) AS o (op, collection, id, doc)
            JOIN serai.collection c ON c.number = o.collection
            WHERE o.op IN ('insert', 'update')
            GROUP BY c.number ORDER BY c.position
        LOOP
            EXECUTE 'SELECT ' || applies.apply_function || '($1, $2, $3, true)' USING applies.orgs, applies.ids, applies.docs;
        END LOOP;
        FOR applies IN
            SELECT c.remove_function, array_agg(p_org) AS orgs, array_agg(o.id) AS ids
            FROM unnest(o_op, o_collection, o_id) AS o (op, collection, id)
            JOIN serai.collection c ON c.number = o.collection
            WHERE o.op = 'delete'
            GROUP BY c.number ORDER BY c.position DESC
        LOOP
            EXECUTE 'SELECT ' || applies.remove_function || '($1, $2)' USING applies.orgs, applies.ids;
        END LOOP;
    END IF;
    -- Looked into from the array's side, as in serai.commit.
    DELETE FROM serai.row x
    USING unnest(o_op, o_collection, o_id) AS o (op, collection, id)
    CROSS JOIN LATERAL (
        SELECT r.ctid AS place FROM serai.row r
        WHERE r.org_id = p_org AND r.collection = o.collection AND r.id = o.id
        OFFSET 0
    ) old
    WHERE o.op = 'delete' AND x.ctid = old.place;
    INSERT INTO serai.tombstone (org_id, collection, id, version)
    SELECT p_org, o.collection, o.id, new_version FROM unnest(o_op, o_collection, o_id) AS o (op, collection, id)
    WHERE o.op = 'delete';
    UPDATE serai.row x
    SET version = new_version, doc = o.doc,
        field_versions = coalesce(x.field_versions, '{}'::jsonb) || (
            SELECT jsonb_object_agg(f.name, new_version) FROM unnest(string_to_array(o.changed, ',')) AS f (name))
    FROM unnest(o_op, o_collection, o_id, o_doc, o_changed) AS o (op, collection, id, doc, changed)
    CROSS JOIN LATERAL (
        SELECT r.ctid AS place FROM serai.row r
        WHERE r.org_id = p_org AND r.collection = o.collection AND r.id = o.id
        OFFSET 0
    ) old
    WHERE o.op = 'update' AND x.ctid = old.place;
    DELETE FROM serai.tombstone t
    USING unnest(o_op, o_collection, o_id) AS o (op, collection, id)
    CROSS JOIN LATERAL (
        SELECT d.ctid AS place FROM serai.tombstone d
        WHERE d.org_id = p_org AND d.collection = o.collection AND d.id = o.id
        OFFSET 0
    ) old
    WHERE o.op = 'insert' AND t.ctid = old.place;
    INSERT INTO serai.row (org_id, collection, id, scope, version, created_version, doc)
    SELECT p_org, o.collection, o.id, o.scope, new_version, new_version, o.doc
    FROM unnest(o_op, o_collection, o_id, o_scope, o_doc) AS o (op, collection, id, scope, doc)
    WHERE o.op = 'insert';

    INSERT INTO serai.log (org_id, version, ordinal, collection, scope, id, change)
    SELECT p_org, new_version, o.n - 1, o.collection, o.scope, o.id,
           '{"id":"' || o.id || '","action":"' || o.op || '","version":' || new_version
           || CASE WHEN o.op = 'delete' THEN '}' ELSE ',"data":' || o.doc || '}' END
    FROM unnest(o_op, o_collection, o_id, o_scope, o_doc) WITH ORDINALITY AS o (op, collection, id, scope, doc, n)
    WHERE p_logged AND o.op <> 'restore';
    INSERT INTO serai.audit
        (org_id, number, at, version, user_id, device_id, row_id, scope, collection, op, via, content, hash)
    SELECT p_org, numbers[o.n], p_at::timestamptz, new_version, p_author, NULL, o.id, o.scope, o.collection, o.op, 'system',
           coalesce(o.diff, o.doc), hashes[o.n]
    FROM unnest(o_op, o_collection, o_id, o_scope, o_doc, o_diff) WITH ORDINALITY
         AS o (op, collection, id, scope, doc, diff, n);
END
$$;

-- Says where an organisation stands after the writes of a restore: the last of its transaction, so that nobody waits for the
-- row. p_grants: who may see what has changed; p_new: it has no log, deltas begin here. False if somebody else was there.
CREATE FUNCTION serai.restore_end(
    p_org bigint, p_before bigint, p_version bigint, p_number bigint, p_hash bytea, p_grants boolean, p_new boolean
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE serai.org o
    SET version = p_version, audit_number = p_number, audit_hash = p_hash,
        floor = CASE WHEN p_new THEN p_version ELSE o.floor END,
        grants_version = CASE WHEN p_grants THEN p_version ELSE o.grants_version END
    WHERE o.org_id = p_org AND o.version = p_before AND o.held IS NULL
      AND o.state = CASE WHEN p_new THEN 'moved' ELSE 'frozen' END;
    RETURN FOUND;
END
$$;

-- Removes what was copied of an organisation that was never opened; its row of serai.org stays and says `moved`.
CREATE FUNCTION serai.restore_sweep(p_org bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    found_one record;
BEGIN
    PERFORM FROM serai.org o WHERE o.org_id = p_org AND o.state = 'moved' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOR found_one IN SELECT t.name FROM serai.move_tables() WITH ORDINALITY AS t (name, typed_from, columns, key, place)
        ORDER BY t.place DESC
    LOOP
        EXECUTE format('DELETE FROM %s WHERE org_id = $1', found_one.name) USING p_org;
    END LOOP;
    UPDATE serai.org o
    SET version = 0, floor = 0, grants_version = 0, audit_number = 0, audit_hash = decode(repeat('00', 32), 'hex')
    WHERE o.org_id = p_org AND o.state = 'moved';
END
$$;
