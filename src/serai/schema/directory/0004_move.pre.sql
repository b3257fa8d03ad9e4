-- The record of moves: who moves which organisation from where to where, and how far it is. It is what decides: an
-- organisation is at its new home from the transaction that says `flipped` here, and at its old one before.

CREATE SEQUENCE serai_directory.move_term;

CREATE TABLE serai_directory.move (
    move_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id      bigint NOT NULL REFERENCES serai_directory.organisation,
    from_shard  integer NOT NULL REFERENCES serai_directory.shard,
    to_shard    integer NOT NULL REFERENCES serai_directory.shard,
    -- copying, then flipped, then moved; or copying, then undoing, then undone.
    step        text NOT NULL DEFAULT 'copying' CHECK (step IN ('copying', 'flipped', 'moved', 'undoing', 'undone')),
    -- Of the mover whose turn it is; a successor draws a higher one, here and on both shards.
    term        bigint NOT NULL,
    -- Until then nobody else takes the move over. Only who is asked to wait depends on it, never what is right.
    lease_until timestamptz NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    -- What the shard that it is not on any more still had of it is removed.
    swept       boolean NOT NULL DEFAULT false,
    CONSTRAINT move_goes_somewhere CHECK (from_shard <> to_shard)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX move_under_way ON serai_directory.move (org_id) WHERE step IN ('copying', 'flipped', 'undoing');
-- A mover finds its own; the flip does so while writes wait.
CREATE INDEX move_of_mover ON serai_directory.move (org_id, term);
CREATE INDEX move_to_sweep ON serai_directory.move (ended_at) WHERE step = 'moved' AND NOT swept;

-- Claims moves of organisations to a shard, under a new term. Left out: those that are there, those that somebody moves, and
-- numbers that nobody has.
CREATE FUNCTION serai_directory.move_claim(p_orgs bigint[], p_to integer, p_actor text, p_reason text, p_lease interval)
RETURNS TABLE (org_id bigint, from_shard integer, term bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    drawn bigint := nextval('serai_directory.move_term');
BEGIN
    RETURN QUERY
    INSERT INTO serai_directory.move AS m (org_id, from_shard, to_shard, term, lease_until, actor, reason)
    SELECT o.org_id, coalesce(v.shard_id, r.shard_id), p_to, drawn, clock_timestamp() + p_lease, p_actor, p_reason
    FROM serai_directory.organisation o
    LEFT JOIN serai_directory.org_override v ON v.org_id = o.org_id
    LEFT JOIN serai_directory.org_range r ON r.orgs @> o.org_id
    WHERE o.org_id = ANY (p_orgs) AND coalesce(v.shard_id, r.shard_id) <> p_to
    ON CONFLICT (org_id) WHERE step IN ('copying', 'flipped', 'undoing') DO NOTHING
    RETURNING m.org_id, m.from_shard, m.term;
END
$$;

-- The moment at which organisations change their home: their moves say so, and the placement, in one transaction.
CREATE FUNCTION serai_directory.move_flip(p_orgs bigint[], p_term bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    flipped integer;
    target integer;
BEGIN
    UPDATE serai_directory.move m SET step = 'flipped'
    WHERE m.org_id = ANY (p_orgs) AND m.term = p_term AND m.step = 'copying';
    GET DIAGNOSTICS flipped = ROW_COUNT;
    IF flipped <> cardinality(p_orgs) THEN
        RAISE EXCEPTION 'the mover of term % has lost its turn', p_term USING ERRCODE = 'SE002';
    END IF;
    SELECT m.to_shard, set_config('serai.actor', m.actor, true), set_config('serai.reason', m.reason, true)
    INTO target
    FROM serai_directory.move m WHERE m.org_id = p_orgs[1] AND m.term = p_term;
    -- Back to the shard of its range: no override says that better than none.
    DELETE FROM serai_directory.org_override v
    USING serai_directory.org_range r
    WHERE v.org_id = ANY (p_orgs) AND r.orgs @> v.org_id AND r.shard_id = target;
    INSERT INTO serai_directory.org_override AS v (org_id, shard_id)
    SELECT u.org_id, target FROM unnest(p_orgs) AS u (org_id)
    JOIN serai_directory.org_range r ON r.orgs @> u.org_id
    WHERE r.shard_id <> target
    ON CONFLICT (org_id) DO UPDATE SET shard_id = excluded.shard_id, set_at = now()
        WHERE v.shard_id <> excluded.shard_id;
END
$$;

-- As placement_changed, an entry and a version for each override, but for all overrides of a statement at once: many
-- organisations move in one transaction, and a row that is written once for each of them is read through all of them.
CREATE FUNCTION serai_directory.overrides_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    befores jsonb[];
    afters jsonb[];
    last bigint;
    n integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(to_jsonb(a) ORDER BY a.org_id) INTO afters FROM after_rows a;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(to_jsonb(b) ORDER BY b.org_id) INTO befores FROM before_rows b;
    ELSE
        SELECT array_agg(to_jsonb(b) ORDER BY b.org_id), array_agg(to_jsonb(a) ORDER BY b.org_id) INTO befores, afters
        FROM before_rows b JOIN after_rows a USING (org_id);
    END IF;
    n := coalesce(cardinality(coalesce(afters, befores)), 0);
    IF n > 0 THEN
        UPDATE serai_directory.version SET version = version.version + n RETURNING version.version INTO last;
        INSERT INTO serai_directory.placement_audit (version, actor, reason, action, subject, before, after)
        SELECT last - n + i,
               coalesce(nullif(current_setting('serai.actor', true), ''), session_user),
               coalesce(nullif(current_setting('serai.reason', true), ''), 'not given'),
               lower(TG_OP), TG_TABLE_NAME, befores[i], afters[i]
        FROM generate_series(1, n) AS i;
        PERFORM pg_notify('serai_placement', '');
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER placement_changed ON serai_directory.org_override;
CREATE TRIGGER change_inserted AFTER INSERT ON serai_directory.org_override
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION serai_directory.overrides_changed();
CREATE TRIGGER change_updated AFTER UPDATE ON serai_directory.org_override
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION serai_directory.overrides_changed();
CREATE TRIGGER change_deleted AFTER DELETE ON serai_directory.org_override
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION serai_directory.overrides_changed();
