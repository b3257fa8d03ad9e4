-- What devices wrote before their replies were dropped: 8 bytes a mutation, so that a file restored from an old copy is
-- still told that its numbers were used for other writes.

-- The first 8 bytes of the body hashes of consecutive mutations, from number `first`. `day`: of their replies.
-- By month, so that retention drops partitions; what a move brings of other months waits in the default one.
-- 128 hashes at most: a block stays in its row and is never compressed.
CREATE TABLE serai.device_past (
    org_id bigint NOT NULL,
    device_id uuid NOT NULL,
    first bigint NOT NULL,
    day date NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (org_id, device_id, first, day)
) PARTITION BY RANGE (day);
CREATE TABLE serai.device_past_default PARTITION OF serai.device_past DEFAULT;

-- How many pages of a day's replies are folded, while it is under way.
CREATE TABLE serai.reply_fold (
    day date PRIMARY KEY,
    pages bigint NOT NULL
);

-- Tells whether a mutation that was judged had this body; true also if nothing is known of it any more.
CREATE FUNCTION serai.same_in_past(of_org bigint, of_device uuid, of_number bigint, hash bytea) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    block record;
BEGIN
    -- As a rule it is in the first of them. Blocks meet where a day was moved in the middle of its fold and folded again.
    SELECT n.first, n.hashes INTO block
    FROM (
        SELECT p.first, p.hashes FROM serai.device_past p
        WHERE p.org_id = of_org AND p.device_id = of_device AND p.first <= of_number
        ORDER BY p.first DESC
        LIMIT 4
    ) n
    WHERE n.first + length(n.hashes) / 8 > of_number
    LIMIT 1;
    IF block IS NULL THEN
        RETURN true;
    END IF;
    RETURN substr(block.hashes, (of_number - block.first)::integer * 8 + 1, 8) = substr(hash, 1, 8);
END
$$;

-- Puts the hashes of mutations into their blocks. `source`: a query that gives rows of serai.reply.
CREATE FUNCTION serai.keep_hashes(source text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- no org_id: the replies of every organisation of the shard
    EXECUTE format(
        'WITH dropped AS (%s), mutation AS ('
        ' SELECT d.org_id, substr(d.key, 2, 32)::uuid AS device_id, substr(d.key, 34)::bigint AS number,'
        '        d.created_on AS day, substr(d.body_hash, 1, 8) AS hash'
        ' FROM dropped d WHERE starts_with(d.key, ''m'')'
        '), numbered AS ('
        ' SELECT m.*, m.number - row_number()'
        '     OVER (PARTITION BY m.org_id, m.device_id, m.day ORDER BY m.number) AS run'
        ' FROM mutation m'
        ') INSERT INTO serai.device_past AS p (org_id, device_id, first, day, hashes)'
        ' SELECT n.org_id, n.device_id, min(n.number), n.day, string_agg(n.hash, '''' ORDER BY n.number)'
        ' FROM numbered n GROUP BY n.org_id, n.device_id, n.day, n.run, n.number / 128'
        ' ON CONFLICT (org_id, device_id, first, day) DO UPDATE SET hashes = excluded.hashes'
        ' WHERE length(p.hashes) < length(excluded.hashes)', source);
END
$$;

-- Makes the partition of hashes for the month of a day, if it is not there.
CREATE FUNCTION serai.ensure_past(day date) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month date := date_trunc('month', day)::date;
    part text := 'serai.device_past_' || to_char(day, 'YYYY_MM');
BEGIN
    IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %s (LIKE serai.device_past INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
        EXECUTE format(
            'WITH moved AS (DELETE FROM serai.device_past_default WHERE day >= %L AND day < %L RETURNING *) '
            'INSERT INTO %s SELECT * FROM moved', month, (month + interval '1 month')::date, part);
        EXECUTE format('ALTER TABLE serai.device_past ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
            part, month, (month + interval '1 month')::date);
    END IF;
END
$$;

-- Drops replies that are older than the time keys are kept, and hashes older than `past_days`. The hashes of mutations
-- are kept in the same transaction. One call takes `pages_max` pages of one day at most, and tells whether another has
-- work; ended at any moment, the next one goes on from there. Nobody writes into a day that is over.
CREATE FUNCTION serai.fold_replies(keep_days integer, past_days integer, pages_max integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    old record;
    part text;
    done bigint;
BEGIN
    IF keep_days < 1 OR past_days < keep_days OR pages_max < 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'replies are kept for a day at least, and hashes as long as those';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('serai replies', 0));
    FOR part IN
        SELECT c.oid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'serai.device_past'::regclass AND c.relname ~ '^device_past_\d{4}_\d\d$'
          AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= today - past_days
    LOOP
        EXECUTE 'DROP TABLE ' || part;
    END LOOP;
    -- no org_id: of every organisation of the shard
    DELETE FROM serai.device_past_default d WHERE d.day < today - past_days;

    SELECT d.part, d.day, pg_relation_size(d.part) / current_setting('block_size')::bigint AS pages INTO old
    FROM (
        SELECT c.oid::regclass AS part, to_date(right(c.relname, 10), 'YYYY_MM_DD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'serai.reply'::regclass AND c.relname ~ '^reply_\d{4}_\d\d_\d\d$'
    ) d
    WHERE d.day < today - keep_days
    ORDER BY d.day
    LIMIT 1;
    IF old IS NOT NULL THEN
        done := coalesce((SELECT f.pages FROM serai.reply_fold f WHERE f.day = old.day), 0); -- no org_id: of the shard
        IF old.day < today - past_days THEN
            done := old.pages;
        ELSIF done < old.pages THEN
            PERFORM serai.ensure_past(old.day);
            PERFORM serai.keep_hashes(format('SELECT * FROM %s WHERE ctid >= ''(%s,0)'' AND ctid < ''(%s,0)''',
                old.part, done, done + pages_max));
            done := done + pages_max;
        END IF;
        IF done >= old.pages THEN
            EXECUTE 'DROP TABLE ' || old.part;
            DELETE FROM serai.reply_fold f WHERE f.day = old.day; -- no org_id: of the shard
        ELSE
            INSERT INTO serai.reply_fold AS f (day, pages) VALUES (old.day, done) -- no org_id: of the shard
            ON CONFLICT (day) DO UPDATE SET pages = excluded.pages;
        END IF;
        RETURN true;
    END IF;

    -- What came when no day was made; as a rule nothing.
    PERFORM serai.ensure_past(r.day) FROM (
        -- no org_id: the replies of every organisation of the shard
        SELECT DISTINCT d.created_on AS day FROM serai.reply_default d
        WHERE d.created_on < today - keep_days AND d.created_on >= today - past_days
    ) r;
    -- no org_id: of every organisation of the shard
    DELETE FROM serai.reply_default d WHERE d.created_on < today - past_days;
    PERFORM serai.keep_hashes(format(
        'DELETE FROM serai.reply_default WHERE ctid = ANY (ARRAY('
        ' SELECT ctid FROM serai.reply_default WHERE created_on < %L LIMIT %s)) RETURNING *',
        today - keep_days, pages_max::bigint * 16));
    RETURN EXISTS (SELECT FROM serai.reply_default d WHERE d.created_on < today - keep_days); -- no org_id: as above
END
$$;
