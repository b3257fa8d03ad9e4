-- The outlet: how far each organisation was handed to the bus, and which organisations have something new for it.

-- A note, not a promise about the bus: everything up to this position was accepted by it once, in order. It may lag behind
-- what was sent, never run ahead of it, so a lost note costs messages that come twice. Moves with its organisation.
CREATE TABLE serai.outlet (
    org_id bigint PRIMARY KEY,
    epoch integer NOT NULL,
    version bigint NOT NULL,
    -- Rises when somebody says where to go on: who read the note before cannot write it any more.
    term integer NOT NULL DEFAULT 0,
    -- While all rows of the organisation are being sent: the last of them. Else null.
    fill_collection smallint,
    fill_id uuid
) WITH (fillfactor = 70);

-- Organisations of this shard with something new, one row each. The column is not called org_id because nothing of it
-- moves: the home that an organisation comes to notes it anew, when it becomes active there.
CREATE TABLE serai.outlet_due (
    org bigint PRIMARY KEY,
    -- Nothing that was committed before this moment waits.
    since timestamptz NOT NULL DEFAULT now()
) WITH (
    -- Rows come and go at the rate of writes.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0
);

-- Whether organisations are noted, and how far those were looked through that wrote before they were.
CREATE TABLE serai.outlet_shard (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    since timestamptz,
    -- Organisations up to this number were looked through; null: all of them.
    looked bigint DEFAULT 0,
    -- The last message that the bus said to have stored, by its own count, and which store that was.
    bus text NOT NULL DEFAULT '',
    bus_number bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO serai.outlet_shard DEFAULT VALUES;

-- Runs inside the write's transaction, which holds the lock of the organisation's row. Whoever removes a row of outlet_due holds
-- that lock too and has seen the version: so a row that is there already cannot be on its way out.
CREATE FUNCTION serai.outlet_note() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO serai.outlet_due (org)
    SELECT c.org_id FROM changed c WHERE c.state = 'active' AND c.version > 0
    ON CONFLICT (org) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER outlet_note_new AFTER INSERT ON serai.org
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION serai.outlet_note();
CREATE TRIGGER outlet_note AFTER UPDATE ON serai.org
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION serai.outlet_note();
-- Writes pay for it only where there is an outlet: the first one switches it on.
ALTER TABLE serai.org DISABLE TRIGGER outlet_note_new;
ALTER TABLE serai.org DISABLE TRIGGER outlet_note;

-- Lets organisations be noted from now on. Waits for the writes in flight, so that each is either noted or there to be seen.
CREATE FUNCTION serai.outlet_on() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- Writers wait while this waits; it gives up, and comes back.
SET lock_timeout = '2s' SET enable_seqscan = off AS $$
BEGIN
    PERFORM 1 FROM serai.outlet_shard s WHERE s.single FOR UPDATE;
    IF EXISTS (SELECT FROM serai.outlet_shard s WHERE s.single AND s.since IS NOT NULL) THEN
        RETURN false;
    END IF;
    ALTER TABLE serai.org ENABLE TRIGGER outlet_note_new;
    ALTER TABLE serai.org ENABLE TRIGGER outlet_note;
    UPDATE serai.outlet_shard s SET since = now(), looked = 0 WHERE s.single;
    RETURN true;
END
$$;

-- Lets nobody be noted any more; how far each organisation was sent stays known.
CREATE FUNCTION serai.outlet_off() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s' SET enable_seqscan = off AS $$
BEGIN
    PERFORM 1 FROM serai.outlet_shard s WHERE s.single FOR UPDATE;
    IF EXISTS (SELECT FROM serai.outlet_shard s WHERE s.single AND s.since IS NULL) THEN
        RETURN false;
    END IF;
    ALTER TABLE serai.org DISABLE TRIGGER outlet_note_new;
    ALTER TABLE serai.org DISABLE TRIGGER outlet_note;
    TRUNCATE serai.outlet_due;
    UPDATE serai.outlet_shard s SET since = NULL, looked = 0 WHERE s.single;
    RETURN true;
END
$$;

-- Looks through the next organisations that wrote before they were noted, and notes those that have something new. False after the
-- last one. Locks in order of organisation, as serai.commit does.
CREATE FUNCTION serai.outlet_look(p_limit integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    from_org bigint := (SELECT s.looked FROM serai.outlet_shard s WHERE s.single AND s.since IS NOT NULL FOR UPDATE);
    last_org bigint;
BEGIN
    IF from_org IS NULL THEN
        RETURN false;
    END IF;
    WITH held AS MATERIALIZED (
        SELECT o.org_id, o.epoch, o.version, o.state FROM serai.org o
        WHERE o.org_id > from_org ORDER BY o.org_id LIMIT p_limit FOR SHARE
    ), noted AS (
        INSERT INTO serai.outlet_due (org)
        SELECT h.org_id FROM held h LEFT JOIN serai.outlet c ON c.org_id = h.org_id
        WHERE h.state = 'active' AND h.version > 0
          AND (c.org_id IS NULL OR c.epoch <> h.epoch OR c.version <> h.version OR c.fill_id IS NOT NULL)
        ON CONFLICT (org) DO NOTHING
    )
    SELECT max(h.org_id) INTO last_org FROM held h;
    UPDATE serai.outlet_shard s SET looked = last_org WHERE s.single;
    RETURN last_org IS NOT NULL;
END
$$;

-- Lets organisations be sent again from after a version on; those that were not sent so far stay where they are. Returns how many.
CREATE FUNCTION serai.outlet_rewind(p_orgs bigint[], p_version bigint) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    changed integer;
BEGIN
    PERFORM 1 FROM serai.org o WHERE o.org_id = ANY (p_orgs) AND o.state = 'active' ORDER BY o.org_id FOR SHARE;
    WITH back AS (
        UPDATE serai.outlet c
        SET version = p_version, term = c.term + 1, fill_collection = NULL, fill_id = NULL
        FROM serai.org o
        WHERE c.org_id = ANY (p_orgs) AND o.org_id = c.org_id AND o.state = 'active' AND c.version > p_version
        RETURNING c.org_id
    )
    INSERT INTO serai.outlet_due (org) SELECT b.org_id FROM back b ORDER BY b.org_id
    ON CONFLICT (org) DO UPDATE SET since = least(outlet_due.since, excluded.since);
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
