-- The life of the log: what is known of its age, what was folded away, and the segments that stand in for rows in a fill.

-- Upkeep leaves an organisation alone that is frozen or lives elsewhere.

-- One row for each organisation that upkeep has looked at.
CREATE TABLE serai.log_life (
    org_id bigint PRIMARY KEY,
    -- In another epoch nothing of this holds.
    epoch integer NOT NULL,
    -- Every version up to marks[n] was there at times[n]; oldest first.
    marks bigint[] NOT NULL DEFAULT '{}',
    times timestamptz[] NOT NULL DEFAULT '{}',
    -- Changes up to this version may be gone from the log because later ones supersede them.
    folded bigint NOT NULL DEFAULT 0,
    -- Up to this version there is nothing more to fold.
    fold_from bigint NOT NULL DEFAULT 0,
    -- Segments are right as of this version, unless they say otherwise. -1: it was not looked yet which there are to be.
    sealed bigint NOT NULL DEFAULT 0,
    -- There is something to do then, whether somebody writes or not.
    due_at timestamptz
);

-- A part of a channel, as the texts that go to a device: rows with `after` < id <= `last`, as of a version. `body` is one zstd frame;
-- null: the part is not sealed, its rows are read one by one. The last part of a channel reaches to the all-one id.
-- The all-one scope stands for every property.
CREATE TABLE serai.segment (
    org_id bigint NOT NULL,
    collection smallint NOT NULL,
    scope uuid NOT NULL,
    last uuid NOT NULL,
    after uuid NOT NULL,
    epoch integer NOT NULL,
    -- If `stale`: right as of this version and no later one. Else as of serai.log_life.sealed too, if that is later.
    version bigint NOT NULL,
    stale boolean NOT NULL,
    rows integer NOT NULL,
    size integer NOT NULL,
    body bytea,
    PRIMARY KEY (org_id, collection, scope, last)
);
-- It is compressed already.
ALTER TABLE serai.segment ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX segment_stale ON serai.segment (org_id) WHERE stale;

-- Looks at the next `p_scan` organisations after `p_after` and tells those with something to do, and the last one in any case
-- (`due` false if it has nothing): the caller goes on from there.
-- no org_id: it goes through all of them, and tells numbers only.
CREATE FUNCTION serai.lives(p_after bigint, p_scan integer, p_now timestamptz, p_behind bigint)
RETURNS TABLE (
    due boolean, org_id bigint, epoch integer, version bigint, floor bigint, life_epoch integer,
    marks bigint[], times timestamptz[], folded bigint, fold_from bigint, sealed bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
    WITH looked AS (
        SELECT o.org_id, o.epoch, o.version, o.floor, o.state FROM serai.org o
        WHERE o.org_id > p_after ORDER BY o.org_id LIMIT p_scan
    ), told AS (
        SELECT k.*, l.epoch AS life_epoch, l.marks, l.times, l.folded, l.fold_from, l.sealed,
               k.state = 'active' AND k.version > 0 AND (
                   l.org_id IS NULL OR l.epoch <> k.epoch OR l.due_at <= p_now OR k.version - l.sealed >= p_behind
                   OR (k.version > l.marks[cardinality(l.marks)]
                       AND l.times[cardinality(l.times)] <= p_now - interval '1 day')
               ) AS due
        FROM looked k LEFT JOIN serai.log_life l ON l.org_id = k.org_id
    )
    SELECT t.due, t.org_id, t.epoch, t.version, t.floor, t.life_epoch, t.marks, t.times, t.folded, t.fold_from, t.sealed
    FROM told t
    WHERE t.due OR t.org_id = (SELECT max(k.org_id) FROM looked k)
    ORDER BY t.org_id
$$;

-- Begins the life of an organisation's log, or begins it anew: without segments, and in another epoch without marks.
CREATE FUNCTION serai.begin_life(p_org bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM serai.segment s WHERE s.org_id = p_org;
    INSERT INTO serai.log_life AS l (org_id, epoch, sealed, due_at)
    SELECT o.org_id, o.epoch, -1, '-infinity' FROM serai.org o WHERE o.org_id = p_org AND o.state = 'active'
    ON CONFLICT (org_id) DO UPDATE
    SET epoch = excluded.epoch, sealed = excluded.sealed, due_at = excluded.due_at,
        marks = CASE WHEN l.epoch = excluded.epoch THEN l.marks ELSE '{}' END,
        times = CASE WHEN l.epoch = excluded.epoch THEN l.times ELSE '{}' END,
        folded = CASE WHEN l.epoch = excluded.epoch THEN l.folded
            ELSE (SELECT o.version FROM serai.org o WHERE o.org_id = p_org) END,
        fold_from = CASE WHEN l.epoch = excluded.epoch THEN l.fold_from ELSE 0 END
$$;

-- Ends a look at an organisation.
CREATE FUNCTION serai.note_life(p_org bigint, p_marks bigint[], p_times timestamptz[], p_fold bigint, p_due timestamptz)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE serai.log_life l SET marks = p_marks, times = p_times, fold_from = p_fold, due_at = p_due WHERE l.org_id = p_org
$$;

-- Makes one version of the versions from `p_first` to `p_last`: of each row its last change, all of them under `p_last`, as if
-- they had been one write. Returns how many changes went.
CREATE FUNCTION serai.fold_log(p_org bigint, p_first bigint, p_last bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    taken integer;
    put integer;
BEGIN
    -- One at a time; and readers of segments learn of it in the same transaction.
    UPDATE serai.log_life l SET folded = greatest(l.folded, p_last)
    FROM serai.org o
    WHERE l.org_id = p_org AND o.org_id = p_org AND o.state = 'active' AND p_first <= p_last AND p_last <= o.version;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'versions % to % of % cannot be folded', p_first, p_last, p_org;
    END IF;
    WITH entries AS (
        DELETE FROM serai.log e WHERE e.org_id = p_org AND e.version >= p_first AND e.version <= p_last RETURNING e.*
    ), kept AS (
        SELECT DISTINCT ON (e.collection, e.id) e.* FROM entries e
        ORDER BY e.collection, e.id, e.version DESC, e.ordinal DESC
    ), placed AS (
        INSERT INTO serai.log (org_id, version, ordinal, collection, scope, id, change)
        SELECT p_org, p_last, row_number() OVER (ORDER BY k.version, k.ordinal) - 1, k.collection, k.scope, k.id, k.change
        FROM kept k
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM placed) INTO taken, put;
    RETURN taken - put;
END
$$;

-- From now on deltas begin at this version or later. Never goes back.
CREATE FUNCTION serai.raise_floor(p_org bigint, p_floor bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE serai.org o SET floor = p_floor WHERE o.org_id = p_org AND o.state = 'active' AND o.floor < p_floor AND o.version >= p_floor
$$;

-- Deletes at most `p_limit` changes at or below the floor, oldest first. The ids of deleted rows stay.
CREATE FUNCTION serai.prune_log(p_org bigint, p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    gone integer;
BEGIN
    DELETE FROM serai.log e
    USING (
        SELECT x.version, x.ordinal FROM serai.org o
        JOIN LATERAL (
            SELECT g.version, g.ordinal FROM serai.log g
            WHERE g.org_id = o.org_id AND g.version <= o.floor
            ORDER BY g.version, g.ordinal LIMIT p_limit
        ) x ON true
        WHERE o.org_id = p_org AND o.state = 'active'
    ) old
    WHERE e.org_id = p_org AND e.version = old.version AND e.ordinal = old.ordinal;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;

-- Begins the segments of a channel: one part, not sealed, from the first id to the last.
CREATE FUNCTION serai.open_channel(p_org bigint, p_collection smallint, p_scope uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO serai.segment (org_id, collection, scope, last, after, epoch, version, stale, rows, size)
    SELECT p_org, p_collection, p_scope, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000',
           o.epoch, o.version, true, 0, 0
    FROM serai.org o WHERE o.org_id = p_org AND o.state = 'active'
    ON CONFLICT DO NOTHING
$$;

-- Segments were right as of `p_from`; from now on as of `p_through`, but for the parts in which rows changed in between: t_* one
-- element a row, with the version of its last change. False if they are not at `p_from` (somebody else went on), or below the floor.
CREATE FUNCTION serai.advance_segments(
    p_org bigint, p_from bigint, p_through bigint,
    t_collection smallint[], t_scope uuid[], t_id uuid[], t_version bigint[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    UPDATE serai.log_life l SET sealed = p_through
    WHERE l.org_id = p_org AND l.sealed = p_from
      AND (p_from < 0 OR NOT EXISTS (SELECT FROM serai.org o WHERE o.org_id = p_org AND o.floor > p_from));
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE serai.segment s SET stale = true, version = greatest(s.version, p_from)
    FROM (
        SELECT DISTINCT p.collection, p.scope, p.last
        FROM unnest(t_collection, t_scope, t_id, t_version) AS t (collection, scope, id, version)
        CROSS JOIN LATERAL (
            SELECT t.scope AS channel
            UNION ALL
            SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff' WHERE t.scope <> '00000000-0000-0000-0000-000000000000'
        ) c
        CROSS JOIN LATERAL (
            SELECT x.collection, x.scope, x.last, x.version, x.stale FROM serai.segment x
            WHERE x.org_id = p_org AND x.collection = t.collection AND x.scope = c.channel AND x.last >= t.id
            ORDER BY x.last LIMIT 1
        ) p
        WHERE NOT p.stale AND t.version > p.version
    ) touched
    WHERE s.org_id = p_org AND s.collection = touched.collection AND s.scope = touched.scope AND s.last = touched.last;
    RETURN true;
END
$$;

-- Puts parts, made of rows as of `p_version`, in the place of one part. b_* one element a part, the last of which ends where the old
-- one did; without a body it is left open, to be looked at again if `p_again`. False if the old part is not there any more.
CREATE FUNCTION serai.put_blocks(
    p_org bigint, p_collection smallint, p_scope uuid, p_after uuid, p_last uuid, p_epoch integer, p_version bigint, p_again boolean,
    b_last uuid[], b_rows integer[], b_size integer[], b_body bytea[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sealed_through bigint;
BEGIN
    -- Nobody marks parts as stale meanwhile.
    SELECT l.sealed INTO sealed_through FROM serai.log_life l
    WHERE l.org_id = p_org AND l.epoch = p_epoch FOR NO KEY UPDATE;
    IF NOT FOUND OR b_last[cardinality(b_last)] <> p_last THEN
        RETURN false;
    END IF;
    DELETE FROM serai.segment s
    WHERE s.org_id = p_org AND s.collection = p_collection AND s.scope = p_scope AND s.last = p_last AND s.after = p_after;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO serai.segment (org_id, collection, scope, last, after, epoch, version, stale, rows, size, body)
    SELECT p_org, p_collection, p_scope, b.last, coalesce(b_last[b.n - 1], p_after), p_epoch, p_version,
           -- Rows older than what segments are said to be right as of: somebody else went on meanwhile.
           p_version < sealed_through OR (b.body IS NULL AND p_again), b.rows, b.size, b.body
    FROM unnest(b_last, b_rows, b_size, b_body) WITH ORDINALITY AS b (last, rows, size, body, n);
    RETURN true;
END
$$;

-- How long the audit record is kept, if not for ever. Whoever serves requests cannot change it.
-- no org_id: a month is dropped of all organisations
CREATE TABLE serai.retention (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Whole months beside the present one; null: for ever.
    audit_months integer CHECK (audit_months >= 2)
);

-- The months of the audit record that lie wholly before a day, oldest first.
CREATE FUNCTION serai.audit_months(p_before date) RETURNS TABLE (month date, entries bigint, bytes bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.month, m.entries, m.bytes
    FROM (
        SELECT to_date(right(c.relname, 7), 'YYYY_MM') AS month, greatest(c.reltuples, 0)::bigint AS entries,
               pg_total_relation_size(c.oid) AS bytes
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'serai.audit'::regclass AND c.relname ~ '^audit_\d{4}_\d\d$'
    ) m
    WHERE m.month + interval '1 month' <= p_before
    ORDER BY m.month
$$;

-- Drops a month of the audit record. Of each organisation its last entry there stays as an anchor, from which the chain goes on: in
-- the same transaction, so that no record ever begins nowhere. Returns how many organisations had entries.
CREATE FUNCTION serai.drop_audit_month(p_month date) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- Writers wait while this waits; it gives up, and comes back.
SET lock_timeout = '2s' AS $$
DECLARE
    part text := 'serai.audit_' || to_char(p_month, 'YYYY_MM');
    anchored integer;
BEGIN
    IF p_month + interval '1 month' > date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month' THEN
        RAISE EXCEPTION 'the audit record of % is too new to be dropped', to_char(p_month, 'YYYY-MM');
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('serai audit', 0));
    IF to_regclass(part) IS NULL THEN
        RETURN 0;
    END IF;
    -- What a clock that is wrong would still add to it.
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', part);
    EXECUTE format(
        'INSERT INTO serai.audit_anchor (org_id, number, at, hash) '
        'SELECT DISTINCT ON (a.org_id) a.org_id, a.number, a.at, a.hash FROM %s a ORDER BY a.org_id, a.number DESC '
        'ON CONFLICT DO NOTHING', part);
    GET DIAGNOSTICS anchored = ROW_COUNT;
    EXECUTE 'DROP TABLE ' || part;
    RETURN anchored;
END
$$;

-- Drops the oldest month that is not to be kept any more, if there is one.
CREATE FUNCTION serai.turn_retention() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    oldest date;
BEGIN
    SELECT m.month INTO oldest
    FROM serai.retention r
    CROSS JOIN LATERAL serai.audit_months(
        (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => r.audit_months))::date) m
    WHERE r.audit_months IS NOT NULL
    ORDER BY m.month
    LIMIT 1;
    IF oldest IS NOT NULL THEN
        PERFORM serai.drop_audit_month(oldest);
    END IF;
END
$$;
