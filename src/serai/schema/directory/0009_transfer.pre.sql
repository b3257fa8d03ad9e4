-- The record of transfers: which property goes from which organisation to which, and how far it is. It is what decides: a
-- property belongs to its new organisation from the transaction that says `decided` here, and to its old one before.

CREATE TABLE serai_directory.transfer (
    transfer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    property_id uuid NOT NULL,
    from_org    bigint NOT NULL REFERENCES serai_directory.organisation (org_id),
    to_org      bigint NOT NULL REFERENCES serai_directory.organisation (org_id),
    -- copying, then decided, then done; or copying, then undoing, then undone.
    step        text NOT NULL DEFAULT 'copying' CHECK (step IN ('copying', 'decided', 'done', 'undoing', 'undone')),
    -- Of the process whose turn it is; from the sequence of moves, because both have one fence on a shard.
    term        bigint NOT NULL,
    lease_until timestamptz NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    rows        bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at  timestamptz,
    ended_at    timestamptz,
    CONSTRAINT transfer_goes_somewhere CHECK (from_org <> to_org)
) WITH (fillfactor = 70);
-- An organisation takes part in one transfer at a time. That it is not the one's giver and the other's taker, transfer_claim sees.
CREATE UNIQUE INDEX transfer_from ON serai_directory.transfer (from_org) WHERE step IN ('copying', 'decided', 'undoing');
CREATE UNIQUE INDEX transfer_to ON serai_directory.transfer (to_org) WHERE step IN ('copying', 'decided', 'undoing');
CREATE INDEX transfer_of_giver ON serai_directory.transfer (from_org, transfer_id);
CREATE INDEX transfer_of_taker ON serai_directory.transfer (to_org, transfer_id);

-- Tells which of these organisations take part in a transfer that has not ended.
CREATE FUNCTION serai_directory.transferring(p_orgs bigint[]) RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
    SELECT t.from_org FROM serai_directory.transfer t
    WHERE t.from_org = ANY (p_orgs) AND t.step IN ('copying', 'decided', 'undoing')
    UNION ALL
    SELECT t.to_org FROM serai_directory.transfer t
    WHERE t.to_org = ANY (p_orgs) AND t.step IN ('copying', 'decided', 'undoing')
$$;

-- Begins a transfer under a new term, or tells why not: `moving`, `transferring` or `unknown`. The rows of both organisations are
-- locked first, as move_claim does: of a move and a transfer that begin at once, the second sees the first.
CREATE FUNCTION serai_directory.transfer_claim(
    p_property uuid, p_from bigint, p_to bigint, p_actor text, p_reason text, p_lease interval
) RETURNS TABLE (transfer_id bigint, term bigint, busy text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    pair bigint[] := ARRAY[p_from, p_to];
    locked integer;
BEGIN
    SELECT count(*) INTO locked FROM (
        SELECT FROM serai_directory.organisation o WHERE o.org_id = ANY (pair) ORDER BY o.org_id FOR UPDATE) AS l;
    IF locked <> 2 THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, 'unknown';
    ELSIF EXISTS (SELECT FROM serai_directory.move m
                  WHERE m.org_id = ANY (pair) AND m.step IN ('copying', 'flipped', 'undoing')) THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, 'moving';
    ELSIF EXISTS (SELECT FROM serai_directory.transferring(pair)) THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, 'transferring';
    ELSE
        RETURN QUERY
        INSERT INTO serai_directory.transfer AS t (property_id, from_org, to_org, term, lease_until, actor, reason)
        VALUES (p_property, p_from, p_to, nextval('serai_directory.move_term'), clock_timestamp() + p_lease, p_actor, p_reason)
        RETURNING t.transfer_id, t.term, NULL::text;
    END IF;
END
$$;

-- As before, but an organisation that takes part in a transfer is not moved.
CREATE OR REPLACE FUNCTION serai_directory.move_claim(p_orgs bigint[], p_to integer, p_actor text, p_reason text, p_lease interval)
RETURNS TABLE (org_id bigint, from_shard integer, term bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    drawn bigint := nextval('serai_directory.move_term');
BEGIN
    -- The reference to organisation takes these locks anyway; taken first, what follows sees every transfer that began before.
    PERFORM FROM serai_directory.organisation o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR KEY SHARE;
    RETURN QUERY
    INSERT INTO serai_directory.move AS m (org_id, from_shard, to_shard, term, lease_until, actor, reason)
    SELECT o.org_id, coalesce(v.shard_id, r.shard_id), p_to, drawn, clock_timestamp() + p_lease, p_actor, p_reason
    FROM serai_directory.organisation o
    LEFT JOIN serai_directory.org_override v ON v.org_id = o.org_id
    LEFT JOIN serai_directory.org_range r ON r.orgs @> o.org_id
    WHERE o.org_id = ANY (p_orgs) AND coalesce(v.shard_id, r.shard_id) <> p_to
      AND o.org_id NOT IN (SELECT t.org_id FROM serai_directory.transferring(p_orgs) AS t (org_id))
    ON CONFLICT (org_id) WHERE step IN ('copying', 'flipped', 'undoing') DO NOTHING
    RETURNING m.org_id, m.from_shard, m.term;
END
$$;

ALTER FUNCTION serai_directory.admit(text) RENAME TO admit_without_transfers;

-- As before, and the role of requests sees whether a transfer was left: how many, never whose.
CREATE FUNCTION serai_directory.admit(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM serai_directory.admit_without_transfers(role_name);
    EXECUTE format('GRANT SELECT (step, lease_until) ON serai_directory.transfer TO %I', role_name);
END
$$;
