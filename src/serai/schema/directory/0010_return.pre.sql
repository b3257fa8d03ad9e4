-- An organisation whose new home lost it with a tail is brought back to the home that kept a copy.
-- docs/decisions/0025-moves.md says who decides that, and by which facts.

-- first_term: of the claim that began the move. What the target shows as open under it or a later one has arrived.
-- returns: the target kept its copy, and nothing was copied; the move begins with its flip.
ALTER TABLE serai_directory.move
    ADD COLUMN first_term bigint NOT NULL DEFAULT 0,
    ADD COLUMN returns boolean NOT NULL DEFAULT false;

-- As before, and the move keeps the term that it began under.
CREATE OR REPLACE FUNCTION serai_directory.move_claim(p_orgs bigint[], p_to integer, p_actor text, p_reason text, p_lease interval)
RETURNS TABLE (org_id bigint, from_shard integer, term bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    drawn bigint := nextval('serai_directory.move_term');
BEGIN
    -- The reference to organisation takes these locks anyway; taken first, what follows sees every transfer that began before.
    PERFORM FROM serai_directory.organisation o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR KEY SHARE;
    RETURN QUERY
    INSERT INTO serai_directory.move AS m (org_id, from_shard, to_shard, term, first_term, lease_until, actor, reason)
    SELECT o.org_id, coalesce(v.shard_id, r.shard_id), p_to, drawn, drawn, clock_timestamp() + p_lease, p_actor, p_reason
    FROM serai_directory.organisation o
    LEFT JOIN serai_directory.org_override v ON v.org_id = o.org_id
    LEFT JOIN serai_directory.org_range r ON r.orgs @> o.org_id
    WHERE o.org_id = ANY (p_orgs) AND coalesce(v.shard_id, r.shard_id) <> p_to
      AND o.org_id NOT IN (SELECT t.org_id FROM serai_directory.transferring(p_orgs) AS t (org_id))
    ON CONFLICT (org_id) WHERE step IN ('copying', 'flipped', 'undoing') DO NOTHING
    RETURNING m.org_id, m.from_shard, m.term;
END
$$;

-- The last move that made an organisation's home what it is; none if it lives where it was made.
CREATE FUNCTION serai_directory.last_flip(p_org bigint) RETURNS SETOF serai_directory.move LANGUAGE sql STABLE AS $$
    SELECT m.* FROM serai_directory.move m
    WHERE m.org_id = p_org AND m.step IN ('flipped', 'moved') ORDER BY m.move_id DESC LIMIT 1
$$;

-- Places organisations that a shard has lost where a copy was kept, and orders that copy to be opened; or, if they had been
-- brought back to this shard before, to be opened again. Their moves that are under way end here.
-- What was lost is the caller's to judge.
CREATE FUNCTION serai_directory.move_return(p_orgs bigint[], p_shard integer, p_actor text, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    drawn bigint := nextval('serai_directory.move_term');
    again bigint[] := ARRAY(
        SELECT u.org_id FROM unnest(p_orgs) AS u (org_id) CROSS JOIN LATERAL serai_directory.last_flip(u.org_id) h
        WHERE h.returns AND h.to_shard = p_shard);
BEGIN
    PERFORM FROM serai_directory.organisation o WHERE o.org_id = ANY (p_orgs) ORDER BY o.org_id FOR UPDATE;
    UPDATE serai_directory.move m
    SET step = CASE m.step WHEN 'flipped' THEN 'moved' ELSE 'undone' END, ended_at = clock_timestamp()
    WHERE m.org_id = ANY (p_orgs) AND m.step IN ('copying', 'flipped', 'undoing');
    UPDATE serai_directory.move m SET step = 'flipped', term = drawn, lease_until = 'epoch', ended_at = NULL, swept = false
    WHERE m.move_id IN (
        SELECT h.move_id FROM unnest(again) AS u (org_id) CROSS JOIN LATERAL serai_directory.last_flip(u.org_id) h);
    INSERT INTO serai_directory.move
        (org_id, from_shard, to_shard, step, term, first_term, returns, lease_until, actor, reason)
    SELECT u.org_id, p_shard, h.from_shard, 'flipped', drawn, drawn, true, 'epoch', p_actor, p_reason
    FROM unnest(p_orgs) AS u (org_id) CROSS JOIN LATERAL serai_directory.last_flip(u.org_id) h
    WHERE h.to_shard = p_shard AND NOT h.returns AND NOT h.swept;
    DELETE FROM serai_directory.org_override v
    USING serai_directory.move m, serai_directory.org_range r
    WHERE v.org_id = ANY (p_orgs) AND m.org_id = v.org_id AND m.first_term = drawn
      AND r.orgs @> v.org_id AND r.shard_id = m.to_shard;
    INSERT INTO serai_directory.org_override AS v (org_id, shard_id)
    SELECT m.org_id, m.to_shard FROM serai_directory.move m JOIN serai_directory.org_range r ON r.orgs @> m.org_id
    WHERE m.org_id = ANY (p_orgs) AND m.first_term = drawn AND r.shard_id <> m.to_shard
    ON CONFLICT (org_id) DO UPDATE SET shard_id = excluded.shard_id, set_at = now()
        WHERE v.shard_id <> excluded.shard_id;
END
$$;
