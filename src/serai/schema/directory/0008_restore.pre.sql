-- Organisations that are made from the past of another one: who wanted it, when, why, and how far it is.

-- Before `made` the organisation is in no list and nobody can reach it, whatever a shard holds of it.
CREATE TABLE serai_directory.restored (
    org_id     bigint PRIMARY KEY,
    key        text NOT NULL UNIQUE CHECK (key ~ '^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$'),
    name       text NOT NULL CHECK (length(name) <= 200),
    shard_id   integer NOT NULL REFERENCES serai_directory.shard,
    source_org bigint NOT NULL,
    at_version bigint NOT NULL,
    actor      text NOT NULL,
    reason     text NOT NULL,
    step       text NOT NULL CHECK (step IN ('copying', 'undone', 'made', 'done')),
    began_at   timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz
);
CREATE INDEX restored_unfinished ON serai_directory.restored (org_id) WHERE step = 'copying';

-- Keeps a number for an organisation that is to come: of the emptiest open range, as for any new one, and (p_shard not null) on
-- another shard. A run that begins again under the same key finds the number it had; `before` says where its copy may lie.
CREATE FUNCTION serai_directory.restore_begin(
    p_key text, p_name text, p_shard integer, p_source bigint, p_at bigint, p_actor text, p_reason text
) RETURNS TABLE (org_id bigint, shard_id integer, before integer, step text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    known record;
    chosen record;
BEGIN
    SELECT r.org_id, r.shard_id, r.step INTO known FROM serai_directory.restored r WHERE r.key = p_key FOR UPDATE;
    IF FOUND AND known.step IN ('made', 'done') THEN
        RETURN QUERY SELECT known.org_id, known.shard_id, NULL::integer, known.step;
        RETURN;
    END IF;
    PERFORM FROM serai_directory.organisation o WHERE o.key = p_key;
    IF FOUND THEN
        RAISE EXCEPTION 'there is an organisation with this key already' USING ERRCODE = 'unique_violation';
    END IF;
    IF known IS NOT NULL THEN
        UPDATE serai_directory.restored r
        SET name = p_name, shard_id = coalesce(p_shard, r.shard_id), source_org = p_source, at_version = p_at,
            actor = p_actor, reason = p_reason, step = 'copying', began_at = now(), ended_at = NULL
        WHERE r.org_id = known.org_id;
        RETURN QUERY SELECT known.org_id, coalesce(p_shard, known.shard_id), known.shard_id, 'copying';
        RETURN;
    END IF;
    SELECT r.range_id, r.next_org_id, r.shard_id INTO chosen
        FROM serai_directory.org_range r JOIN serai_directory.shard_load s USING (shard_id)
        WHERE s.state = 'open' AND r.next_org_id < upper(r.orgs)
        ORDER BY s.orgs, r.next_org_id - lower(r.orgs), r.range_id
        LIMIT 1 FOR UPDATE OF r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no open range has room for another organisation'
            USING ERRCODE = 'SE001', HINT = 'Add a range of organisations to an open shard.';
    END IF;
    UPDATE serai_directory.org_range SET next_org_id = chosen.next_org_id + 1 WHERE range_id = chosen.range_id;
    INSERT INTO serai_directory.restored (org_id, key, name, shard_id, source_org, at_version, actor, reason, step)
    VALUES (chosen.next_org_id, p_key, p_name, coalesce(p_shard, chosen.shard_id), p_source, p_at, p_actor, p_reason, 'copying');
    RETURN QUERY SELECT chosen.next_org_id, coalesce(p_shard, chosen.shard_id), NULL::integer, 'copying';
END
$$;

-- From here on it is an organisation, with a home. False if it was not being copied.
CREATE FUNCTION serai_directory.restore_made(p_org bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    it serai_directory.restored;
BEGIN
    UPDATE serai_directory.restored r SET step = 'made' WHERE r.org_id = p_org AND r.step = 'copying' RETURNING r.* INTO it;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM set_config('serai.actor', it.actor, true), set_config('serai.reason', it.reason, true);
    INSERT INTO serai_directory.organisation (org_id, key, name) VALUES (it.org_id, it.key, it.name);
    INSERT INTO serai_directory.org_override (org_id, shard_id)
    SELECT it.org_id, it.shard_id FROM serai_directory.org_range r
    WHERE r.orgs @> it.org_id AND r.shard_id <> it.shard_id;
    RETURN true;
END
$$;
