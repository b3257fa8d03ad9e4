-- The one write path: a batch of writes of any organisations of this shard, in one call and one transaction.
--
-- Arguments are arrays: d_* one element an organisation, ascending; w_* one a write, in order of organisation; r_* one a row of
-- a read set, o_* one a row to change or (op `refuse`) a refusal to record, in order of write. w_head is a position in d_*,
-- r_write and o_write are positions in w_* (all from 1). An array of which no element is needed may be null. p_at: the
-- moment, as the audit record says it. w_author, w_from, w_via: who did it, from which device, by which way; o_diff: of an
-- update, its fields before and after. A row to insert that is no row of the read set is taken to be new: that it is not
-- violates the primary key of serai.row.
-- The answer has a row for each write:
--   committed (version) | replayed (version, reply, same_body) | stale | gap (version = expected number)
--   | fenced (version = epoch here, 0 if the organisation is not here; reply = state) | device | gone | held
-- A violated constraint raises and applies nothing: the caller finds the write by halving the batch.
CREATE FUNCTION serai.commit(
    p_at text, d_org bigint[],
    w_head integer[], w_org bigint[], w_epoch integer[], w_kind text[], w_key text[], w_user uuid[], w_device uuid[], w_number bigint[],
    w_hash bytea[], w_reply text[], w_grants boolean[], w_refusal text[],
    w_author uuid[], w_from uuid[], w_via text[],
    r_write integer[], r_collection smallint[], r_id uuid[], r_version bigint[],
    o_write integer[], o_op text[], o_collection smallint[], o_id uuid[], o_scope uuid[], o_doc text[], o_changed text[],
    o_diff text[]
) RETURNS TABLE (outcome text, version bigint, reply text, same_body boolean)
-- The owner's rights, for whoever may call it: the role of requests writes nowhere else.
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Plans are kept for the life of a connection, and the first are made while tables are empty, when reading a table whole
-- looks cheapest. Every table here is read by its key, so the other ways are switched off: a single write took 3.9 ms
-- of CPU on 20,000 rows before. The order of a join is chosen then too, and an empty table is as good a beginning as an array:
-- so tables are looked into from the array's side by LATERAL with OFFSET 0, which no planner turns around.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(w_org);
    outcomes text[] := array_fill(NULL::text, ARRAY[cardinality(w_org)]);
    versions bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(w_org)]);
    replies text[] := array_fill(NULL::text, ARRAY[cardinality(w_org)]);
    numbers bigint[] := array_fill(0::bigint, ARRAY[cardinality(w_org)]);
    sames boolean[] := array_fill(true, ARRAY[cardinality(w_org)]);
    troubled boolean := false;
    today date := (now() AT TIME ZONE 'UTC')::date;
    found_one record;
    applies record;
    -- By position in o_*.
    entry_numbers bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(o_write)]);
    entry_hashes bytea[] := array_fill(NULL::bytea, ARRAY[cardinality(o_write)]);
    ordinals smallint[] := array_fill(NULL::smallint, ARRAY[cardinality(o_write)]);
    -- By position in d_*: where each organisation stands. All null for one that is not here.
    head_places tid[];
    head_epochs integer[];
    head_states text[];
    head_versions bigint[];
    head_numbers bigint[];
    head_hashes bytea[];
    head_noting boolean[];
    head_helds uuid[];
    head_grants bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(d_org)]);
    -- The positions of those that this batch changes.
    changed integer[] := '{}';
    before_versions bigint[];
    rows_changed integer;
    -- Of the entry at hand.
    w integer;
    last_write integer := 0;
    first_row integer;
    head integer;
    last_head integer := 0;
    last_version bigint;
    last_number bigint;
    last_hash bytea;
BEGIN
    -- Lock in key order: two processes with overlapping batches wait for each other, never in a ring. What the lock shows is
    -- all that is read of the organisations.
    SELECT array_agg(h.place), array_agg(h.epoch), array_agg(h.state), array_agg(h.version), array_agg(h.audit_number),
           array_agg(h.audit_hash), array_agg(h.noting), array_agg(h.held)
    INTO head_places, head_epochs, head_states, head_versions, head_numbers, head_hashes, head_noting, head_helds
    FROM unnest(d_org) AS d (org_id)
    LEFT JOIN LATERAL (
        SELECT o.ctid AS place, o.epoch, o.state, o.version, o.audit_number, o.audit_hash, o.noting, o.held
        FROM serai.org o
        WHERE o.org_id = d.org_id
        FOR NO KEY UPDATE
    ) h ON true;
    before_versions := head_versions;

    -- The fence.
    FOR found_one IN
        SELECT u.w, head_epochs[u.head] AS epoch, head_states[u.head] AS state
        FROM unnest(w_head, w_epoch) WITH ORDINALITY AS u (head, epoch, w)
        WHERE head_states[u.head] IS DISTINCT FROM 'active' OR head_epochs[u.head] <> u.epoch
    LOOP
        outcomes[found_one.w] := 'fenced';
        numbers[found_one.w] := coalesce(found_one.epoch, 0);
        replies[found_one.w] := coalesce(found_one.state, 'moved');
        troubled := true;
    END LOOP;

    -- A property that is being handed over takes no writes but the transfer's, nor does a row that names it.
    IF cardinality(array_remove(head_helds, NULL)) > 0 THEN
        FOR found_one IN
            SELECT DISTINCT o.w
            FROM unnest(o_write, o_op, o_scope, o_doc) AS o (w, op, scope, doc)
            WHERE w_via[o.w] <> 'transfer' AND o.op <> 'refuse' AND (
                o.scope = head_helds[w_head[o.w]]
                OR o.op <> 'delete' AND strpos(o.doc, head_helds[w_head[o.w]]::text) > 0)
        LOOP
            IF outcomes[found_one.w] IS NULL THEN
                outcomes[found_one.w] := 'held';
                troubled := true;
            END IF;
        END LOOP;
    END IF;

    -- What happened before is not done again: keys by their reply, mutations by the device's number.
    IF 'k' = ANY (w_kind) THEN
        FOR found_one IN
            SELECT u.w, p.version, p.reply, p.body_hash = u.hash AS same
            FROM unnest(w_org, w_kind, w_key, w_hash) WITH ORDINALITY AS u (org_id, kind, key, hash, w)
            CROSS JOIN LATERAL (
                SELECT y.version, y.reply, y.body_hash FROM serai.reply y
                -- A key counts for a day at least, also after a clock that was a day ahead was put right: the other days
                -- are not looked into.
                WHERE y.org_id = u.org_id AND y.key = u.key AND y.created_on >= today - 1 AND y.created_on <= today + 1
                OFFSET 0
            ) p
            WHERE u.kind = 'k'
        LOOP
            IF outcomes[found_one.w] IS NULL THEN
                outcomes[found_one.w] := 'replayed';
                numbers[found_one.w] := found_one.version;
                replies[found_one.w] := found_one.reply;
                sames[found_one.w] := found_one.same;
                troubled := true;
            END IF;
        END LOOP;
    END IF;
    IF 'm' = ANY (w_kind) THEN
        FOR found_one IN
            WITH asked AS (
                SELECT u.w, u.org_id, u.key, u.user_id, u.device_id, u.number, u.hash,
                       coalesce(d.number, 0) AS last,
                       -- A device that is new here is its first user's, from this batch on.
                       coalesce(d.user_id, first_value(u.user_id)
                           OVER (PARTITION BY u.org_id, u.device_id ORDER BY u.w)) AS owner
                FROM unnest(w_org, w_kind, w_key, w_user, w_device, w_number, w_hash) WITH ORDINALITY
                     AS u (org_id, kind, key, user_id, device_id, number, hash, w)
                LEFT JOIN LATERAL (
                    SELECT k.user_id, k.number FROM serai.device k
                    WHERE k.org_id = u.org_id AND k.device_id = u.device_id
                    OFFSET 0
                ) d ON true
                WHERE u.kind = 'm'
            ), counted AS (
                SELECT a.*, a.last + count(*) FILTER (WHERE a.number > a.last)
                       OVER (PARTITION BY a.org_id, a.device_id ORDER BY a.w) AS expected
                FROM asked a
            )
            SELECT c.w, c.number, c.last, c.expected, c.user_id <> c.owner AS foreign_device,
                   p.version, p.reply, coalesce(p.body_hash = c.hash, true) AS same
            FROM counted c
            LEFT JOIN LATERAL (
                SELECT y.version, y.reply, y.body_hash FROM serai.reply y
                WHERE c.number <= c.last AND y.org_id = c.org_id AND y.key = c.key
                OFFSET 0
            ) p ON true
            WHERE c.user_id <> c.owner OR c.number <> c.expected OR c.number <= c.last
            ORDER BY c.w
        LOOP
            CONTINUE WHEN outcomes[found_one.w] IS NOT NULL;
            troubled := true;
            IF found_one.foreign_device THEN
                outcomes[found_one.w] := 'device';
            ELSIF found_one.number <= found_one.last THEN
                outcomes[found_one.w] := 'replayed';
                numbers[found_one.w] := coalesce(found_one.version, 0);
                replies[found_one.w] := found_one.reply;
                sames[found_one.w] := found_one.same AND (found_one.version IS NOT NULL OR serai.same_in_past(
                    w_org[found_one.w], w_device[found_one.w], found_one.number, w_hash[found_one.w]));
            ELSE
                outcomes[found_one.w] := 'gap';
                numbers[found_one.w] := found_one.expected;
            END IF;
        END LOOP;
    END IF;

    -- What the decision saw must still hold.
    IF cardinality(r_write) > 0 THEN
        FOR found_one IN
            SELECT DISTINCT r.w
            FROM unnest(r_write, r_collection, r_id, r_version) AS r (w, collection, id, version)
            LEFT JOIN LATERAL (
                SELECT y.version FROM serai.row y
                WHERE y.org_id = w_org[r.w] AND y.collection = r.collection AND y.id = r.id
                OFFSET 0
            ) x ON true
            WHERE coalesce(x.version, 0) <> r.version
        LOOP
            IF outcomes[found_one.w] IS NULL THEN
                outcomes[found_one.w] := 'stale';
                troubled := true;
            END IF;
        END LOOP;
    END IF;
    IF 'insert' = ANY (o_op) THEN
        FOR found_one IN
            SELECT DISTINCT o.w
            FROM unnest(o_write, o_op, o_collection, o_id) AS o (w, op, collection, id)
            CROSS JOIN LATERAL (
                SELECT FROM serai.tombstone t
                WHERE t.org_id = w_org[o.w] AND t.collection = o.collection AND t.id = o.id
                OFFSET 0
            ) gone
            WHERE o.op = 'insert'
        LOOP
            IF outcomes[found_one.w] IS NULL THEN
                outcomes[found_one.w] := 'gone';
                troubled := true;
            END IF;
        END LOOP;
    END IF;

    -- A device's mutations stay in order: after one that was not taken, none of this batch is, whatever was said of it.
    IF troubled AND 'm' = ANY (w_kind) THEN
        FOR found_one IN
            SELECT later.w
            FROM unnest(w_org, w_kind, w_device, w_number) WITH ORDINALITY AS later (org_id, kind, device_id, number, w)
            WHERE later.kind = 'm' AND EXISTS (
                SELECT 1
                FROM unnest(w_org, w_device) WITH ORDINALITY AS earlier (org_id, device_id, w)
                WHERE earlier.w < later.w AND earlier.org_id = later.org_id AND earlier.device_id = later.device_id
                  AND (outcomes[earlier.w] IN ('stale', 'gone', 'gap', 'fenced', 'device', 'held') OR NOT sames[earlier.w])
            )
        LOOP
            outcomes[found_one.w] := 'stale';
        END LOOP;
    END IF;

    -- The next numbers, in order of organisation, write and row: a version for each write that changes rows, an entry of
    -- the audit record for each row and each refusal, and its hash, which covers the one before.
    FOR n IN 1..cardinality(o_write) LOOP
        w := o_write[n];
        CONTINUE WHEN outcomes[w] IS NOT NULL;
        IF w <> last_write THEN
            head := w_head[w];
            IF head <> last_head THEN
                last_version := head_versions[head];
                last_number := head_numbers[head];
                last_hash := head_hashes[head];
                changed := changed || head;
                last_head := head;
            END IF;
            IF o_op[n] <> 'refuse' THEN
                last_version := last_version + 1;
                IF w_grants[w] THEN
                    head_grants[head] := last_version;
                END IF;
            END IF;
            versions[w] := last_version;
            head_versions[head] := last_version;
            last_write := w;
            first_row := n;
        END IF;
        last_number := last_number + 1;
        last_hash := sha256(last_hash || convert_to(concat_ws(E'\n', w_org[w], last_number, last_version, p_at, w_author[w],
            coalesce(w_from[w]::text, ''), w_via[w], o_op[n], o_collection[n], o_id[n], o_scope[n],
            coalesce(o_diff[n], o_doc[n])), 'UTF8'));
        entry_numbers[n] := last_number;
        entry_hashes[n] := last_hash;
        ordinals[n] := n - first_row;
        head_numbers[head] := last_number;
        head_hashes[head] := last_hash;
    END LOOP;
    -- A write without rows has the version of the one before it.
    IF array_position(versions, NULL) IS NOT NULL THEN
        FOR found_one IN
            SELECT u.w, coalesce(max(versions[u.w]) OVER (PARTITION BY u.head ORDER BY u.w), before_versions[u.head]) AS version
            FROM unnest(w_head) WITH ORDINALITY AS u (head, w)
        LOOP
            versions[found_one.w] := found_one.version;
        END LOOP;
    END IF;
    -- By the place where the lock found them: a locked row stays where it is.
    UPDATE serai.org o
    SET version = head_versions[c.head], grants_version = coalesce(head_grants[c.head], o.grants_version),
        audit_number = head_numbers[c.head], audit_hash = head_hashes[c.head]
    FROM unnest(changed) AS c (head)
    WHERE o.ctid = head_places[c.head] AND o.org_id = d_org[c.head];
    GET DIAGNOSTICS rows_changed = ROW_COUNT;
    ASSERT rows_changed = cardinality(changed), 'an organisation that is locked was not found at its place';

    -- Rows: typed tables first (they look at the old row), collection by collection in order of dependency.
    FOR applies IN
        SELECT c.number, c.apply_function FROM serai.collection c WHERE c.number = ANY (o_collection) ORDER BY c.position
    LOOP
        -- A scan of arrays keeps their order.
        SELECT array_agg(w_org[o.w]) AS orgs, array_agg(o.id) AS ids, array_agg(o.doc) AS docs,
               bool_or(o.op = 'update') AS updates
        INTO found_one
        FROM unnest(o_write, o_op, o_collection, o_id, o_doc) AS o (w, op, collection, id, doc)
        WHERE o.collection = applies.number AND o.op IN ('insert', 'update') AND outcomes[o.w] IS NULL;
        IF found_one.orgs IS NOT NULL THEN
            EXECUTE 'SELECT ' || applies.apply_function || '($1, $2, $3, $4)'
            USING found_one.orgs, found_one.ids, found_one.docs, found_one.updates;
        END IF;
    END LOOP;
    IF 'delete' = ANY (o_op) THEN
        FOR applies IN
            SELECT c.remove_function, array_agg(w_org[o.w] ORDER BY o.n) AS orgs, array_agg(o.id ORDER BY o.n) AS ids
            FROM unnest(o_write, o_op, o_collection, o_id) WITH ORDINALITY AS o (w, op, collection, id, n)
            JOIN serai.collection c ON c.number = o.collection
            WHERE outcomes[o.w] IS NULL AND o.op = 'delete'
            GROUP BY c.number
            ORDER BY c.position DESC
        LOOP
            EXECUTE 'SELECT ' || applies.remove_function || '($1, $2)' USING applies.orgs, applies.ids;
        END LOOP;
        DELETE FROM serai.row x
        USING unnest(o_write, o_op, o_collection, o_id) AS o (w, op, collection, id)
        CROSS JOIN LATERAL (
            SELECT r.ctid AS place FROM serai.row r
            WHERE r.org_id = w_org[o.w] AND r.collection = o.collection AND r.id = o.id
            OFFSET 0
        ) old
        WHERE o.op = 'delete' AND outcomes[o.w] IS NULL AND x.ctid = old.place;
        -- left_with: the row did not end, its property went to another organisation.
        INSERT INTO serai.tombstone (org_id, collection, id, version, left_with)
        SELECT w_org[o.w], o.collection, o.id, versions[o.w], CASE WHEN w_via[o.w] = 'transfer' THEN o.scope END
        FROM unnest(o_write, o_op, o_collection, o_id, o_scope) AS o (w, op, collection, id, scope)
        WHERE o.op = 'delete' AND outcomes[o.w] IS NULL;
    END IF;
    IF 'update' = ANY (o_op) THEN
        UPDATE serai.row x
        SET version = versions[o.w], doc = o.doc,
            field_versions = coalesce(x.field_versions, '{}'::jsonb) || (
                SELECT jsonb_object_agg(f.name, versions[o.w]) FROM unnest(string_to_array(o.changed, ',')) AS f (name)
            )
        FROM unnest(o_write, o_op, o_collection, o_id, o_doc, o_changed) AS o (w, op, collection, id, doc, changed)
        -- A row stays where it is while its organisation is locked.
        CROSS JOIN LATERAL (
            SELECT r.ctid AS place FROM serai.row r
            WHERE r.org_id = w_org[o.w] AND r.collection = o.collection AND r.id = o.id
            OFFSET 0
        ) old
        WHERE o.op = 'update' AND outcomes[o.w] IS NULL AND x.ctid = old.place;
    END IF;
    INSERT INTO serai.row (org_id, collection, id, scope, version, created_version, doc)
    SELECT w_org[o.w], o.collection, o.id, o.scope, versions[o.w], versions[o.w], o.doc
    FROM unnest(o_write, o_op, o_collection, o_id, o_scope, o_doc) AS o (w, op, collection, id, scope, doc)
    WHERE o.op = 'insert' AND outcomes[o.w] IS NULL;

    INSERT INTO serai.log (org_id, version, ordinal, collection, scope, id, change)
    SELECT w_org[o.w], versions[o.w], ordinals[o.n], o.collection, o.scope, o.id,
           '{"id":"' || o.id || '","action":"' || o.op || '","version":' || versions[o.w]
           || CASE WHEN o.op = 'delete' THEN '}' ELSE ',"data":' || o.doc || '}' END
    FROM unnest(o_write, o_op, o_collection, o_id, o_scope, o_doc) WITH ORDINALITY
         AS o (w, op, collection, id, scope, doc, n)
    WHERE o.op <> 'refuse' AND outcomes[o.w] IS NULL;

    INSERT INTO serai.audit
        (org_id, number, at, version, user_id, device_id, row_id, scope, collection, op, via, content, hash)
    SELECT w_org[o.w], entry_numbers[o.n], p_at::timestamptz, versions[o.w], w_author[o.w], w_from[o.w], o.id, o.scope,
           o.collection, o.op, w_via[o.w], coalesce(o.diff, o.doc), entry_hashes[o.n]
    FROM unnest(o_write, o_op, o_collection, o_id, o_scope, o_doc, o_diff) WITH ORDINALITY
         AS o (w, op, collection, id, scope, doc, diff, n)
    WHERE outcomes[o.w] IS NULL;

    -- What makes it happen once.
    INSERT INTO serai.reply (org_id, key, created_on, version, body_hash, reply)
    SELECT u.org_id, u.key, today, versions[u.w], u.hash, u.reply
    FROM unnest(w_org, w_kind, w_key, w_hash, w_reply) WITH ORDINALITY AS u (org_id, kind, key, hash, reply, w)
    WHERE u.kind <> 'n' AND outcomes[u.w] IS NULL;
    IF true = ANY (head_noting) THEN
        INSERT INTO serai.move_reply (org_id, key, created_on)
        SELECT u.org_id, u.key, today
        FROM unnest(w_head, w_org, w_kind, w_key) WITH ORDINALITY AS u (head, org_id, kind, key, w)
        WHERE u.kind <> 'n' AND outcomes[u.w] IS NULL AND head_noting[u.head];
    END IF;
    IF 'm' = ANY (w_kind) THEN
        INSERT INTO serai.device AS d (org_id, device_id, user_id, number)
        SELECT u.org_id, u.device_id, (array_agg(u.user_id))[1], max(u.number)
        FROM unnest(w_org, w_kind, w_device, w_user, w_number) WITH ORDINALITY
             AS u (org_id, kind, device_id, user_id, number, w)
        WHERE u.kind = 'm' AND outcomes[u.w] IS NULL
        GROUP BY u.org_id, u.device_id
        ON CONFLICT (org_id, device_id) DO UPDATE SET number = excluded.number;
        INSERT INTO serai.refusal
            (org_id, device_id, number, user_id, outcome, code, reason, collection, row_id, scope, body)
        SELECT u.org_id, u.device_id, u.number, u.user_id,
               f.outcome, f.code, f.reason, f.collection, f.row_id, f.scope, f.body
        FROM unnest(w_org, w_device, w_number, w_user, w_refusal) WITH ORDINALITY
             AS u (org_id, device_id, number, user_id, refusal, w)
        CROSS JOIN LATERAL json_to_record(u.refusal::json)
             AS f (outcome text, code text, reason text, collection smallint, row_id uuid, scope uuid, body text)
        WHERE u.refusal IS NOT NULL AND outcomes[u.w] IS NULL;
    END IF;

    RETURN QUERY
    SELECT coalesce(outcomes[g.w], 'committed'),
           CASE WHEN outcomes[g.w] IS NULL THEN versions[g.w] ELSE numbers[g.w] END,
           replies[g.w], sames[g.w]
    FROM generate_series(1, n) AS g (w)
    ORDER BY g.w;
END
$$;

-- Makes the partitions of a table by month from `first` to `last`, both included. Rows that the default partition holds
-- for such a month are moved into it. It works with the owner's rights, so it takes only the table of a registered collection,
-- by the column that this table is partitioned by.
CREATE FUNCTION serai.ensure_months(schema_name text, table_name text, month_column text, first date, last date)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text := format('%I.%I', schema_name, table_name);
    waiting text := format('%I.%I', schema_name, table_name || '_default');
    month date := date_trunc('month', first)::date;
    made integer := 0;
    part text;
    columns text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM serai.collection c
        JOIN pg_partitioned_table p ON p.partrelid = to_regclass(parent) AND p.partstrat = 'r' AND p.partnatts = 1
        JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] AND a.attname = month_column
        WHERE c.name = table_name AND c.apply_function = schema_name || '.apply_' || table_name
    ) THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s is no collection by the month of %I', parent, month_column);
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('serai months ' || parent, 0));
    WHILE month <= last LOOP
        part := format('%I.%I', schema_name, table_name || to_char(month, '_YYYY_MM'));
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
            EXECUTE format(
                'WITH moved AS (DELETE FROM %s WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %s SELECT * FROM moved',
                waiting, month_column, month, month_column, (month + interval '1 month')::date, part);
            EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                parent, part, month, (month + interval '1 month')::date);
            made := made + 1;
        END IF;
        month := (month + interval '1 month')::date;
    END LOOP;
    RETURN made;
END
$$;

-- Makes the days of replies from today to `ahead` days from now.
CREATE FUNCTION serai.turn_replies(ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day date := today;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('serai replies', 0));
    WHILE day <= today + ahead LOOP
        part := 'serai.reply_' || to_char(day, 'YYYY_MM_DD');
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %s (LIKE serai.reply INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
            EXECUTE format(
                'WITH moved AS (DELETE FROM serai.reply_default WHERE created_on = %L RETURNING *) '
                'INSERT INTO %s SELECT * FROM moved', day, part);
            EXECUTE format('ALTER TABLE serai.reply ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', part, day, day + 1);
        END IF;
        day := day + 1;
    END LOOP;
END
$$;

-- Makes the partitions of the audit record from this month to `ahead` months from now. A month that the default partition
-- has entries of stays there: an entry is never moved.
CREATE FUNCTION serai.turn_audit(ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month timestamptz := date_trunc('month', now(), 'UTC');
    after timestamptz;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('serai audit', 0));
    FOR n IN 0..ahead LOOP
        after := date_trunc('month', month + interval '32 days', 'UTC');
        part := 'serai.audit_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass(part) IS NULL
            -- no org_id: the month of every organisation
            AND NOT EXISTS (SELECT 1 FROM serai.audit_default d WHERE d.at >= month AND d.at < after)
        THEN
            EXECUTE format('CREATE TABLE %s (LIKE serai.audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE serai.audit ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', part, month, after);
            EXECUTE format(
                'CREATE TRIGGER never_emptied BEFORE TRUNCATE ON %s FOR EACH STATEMENT '
                'EXECUTE FUNCTION serai.refuse_change()', part);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', part);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER never_emptied', part);
        END IF;
        month := after;
    END LOOP;
END
$$;
