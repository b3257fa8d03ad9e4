-- Run as the owner, whom no policy binds: an outlet reads every organisation of its shard.

-- name: alone
-- no org_id: one process a shard, as long as the connection lives
SELECT pg_try_advisory_lock(hashtextextended('serai outlet', 0));

-- name: switch_on
-- no org_id: of the whole shard
SELECT serai.outlet_on();

-- name: look_through
-- no org_id: it goes through all organisations of the shard
SELECT serai.outlet_look($1);

-- name: due
-- no org_id: which organisations have something new
SELECT d.org, extract(epoch FROM clock_timestamp() - d.since)::float8 AS waited
FROM serai.outlet_due d WHERE d.org > $1 ORDER BY d.org LIMIT $2;

-- name: page
-- How far it was sent, where it stands and what lies between, in one snapshot: whole versions, up to $3 bytes and one version more.
-- `last`: of the versions looked at, of which the last is not whole if there were $2 changes.
SELECT o.epoch, o.version AS head, o.floor, clock_timestamp() AS at,
       c.epoch AS sent_epoch, c.version AS sent, c.term, c.fill_collection, c.fill_id,
       l.version, l.collection, l.scope, l.change, l.looked, l.last
FROM (SELECT h.* FROM serai.org h WHERE h.org_id = $1 AND h.state = 'active' OFFSET 0) o
LEFT JOIN LATERAL (SELECT x.* FROM serai.outlet x WHERE x.org_id = o.org_id OFFSET 0) c ON true
LEFT JOIN LATERAL (
    SELECT s.*
    FROM (
        SELECT e.*, count(*) OVER () AS looked, max(e.version) OVER () AS last,
               sum(length(e.change)) OVER (
                   ORDER BY e.version RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_it
        FROM (
            SELECT g.version, g.ordinal, g.collection, g.scope, g.change
            FROM serai.log g
            WHERE g.org_id = o.org_id AND g.version > coalesce(c.version, 0)
              AND (c.epoch IS NULL OR c.epoch = o.epoch) AND c.fill_id IS NULL AND o.floor <= coalesce(c.version, 0)
            ORDER BY g.version, g.ordinal
            LIMIT $2
        ) e
    ) s
    WHERE coalesce(s.before_it, 0) < $3
) l ON true
ORDER BY l.version, l.ordinal;

-- name: rows
-- Rows of all collections after one, of the epoch that they are sent for: up to $6 bytes and one row more. No record: it is
-- another epoch, or the organisation is elsewhere.
SELECT r.collection, r.scope, r.id, r.change, r.looked
FROM (SELECT h.org_id FROM serai.org h WHERE h.org_id = $1 AND h.state = 'active' AND h.epoch = $2 OFFSET 0) o
LEFT JOIN LATERAL (
    SELECT s.*
    FROM (
        SELECT e.*, count(*) OVER () AS looked,
               sum(length(e.change)) OVER (
                   ORDER BY e.collection, e.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_it
        FROM (
            SELECT x.collection, x.scope, x.id,
                   '{"id":"' || x.id || '","action":"insert","version":' || x.version || ',"data":' || x.doc || '}' AS change
            FROM serai.row x
            WHERE x.org_id = o.org_id AND (x.collection, x.id) > ($3, $4)
            ORDER BY x.collection, x.id
            LIMIT $5
        ) e
    ) s
    WHERE coalesce(s.before_it, 0) < $6
) r ON true
ORDER BY r.collection, r.id;

-- name: note_sent
-- Notes what the bus accepted, and that nothing is due if that was all. Without the disk: a note that is lost costs messages that
-- come twice. $8: a new beginning, which may lie below what was noted. Somebody who writes to the organisation at this moment is
-- not waited for; then it stays due.
WITH quick AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), held AS MATERIALIZED (
    SELECT o.org_id, o.epoch, o.version FROM serai.org o, quick
    WHERE o.org_id = $1 AND o.state = 'active' FOR SHARE OF o SKIP LOCKED
), noted AS (
    INSERT INTO serai.outlet AS c (org_id, epoch, version, fill_collection, fill_id)
    SELECT o.org_id, $2::integer, $3::bigint, $4::smallint, $5::uuid FROM serai.org o, quick WHERE o.org_id = $1 AND o.state = 'active'
    ON CONFLICT (org_id) DO UPDATE
    SET epoch = excluded.epoch, version = excluded.version, fill_collection = excluded.fill_collection, fill_id = excluded.fill_id
    WHERE c.term = $6::integer AND ($8::boolean OR (c.epoch, c.version) <= (excluded.epoch, excluded.version))
    RETURNING c.org_id, c.epoch, c.version, c.fill_id
), over AS (
    DELETE FROM serai.outlet_due d USING held h, noted n
    WHERE d.org = $1 AND h.epoch = n.epoch AND h.version = n.version AND n.fill_id IS NULL
    RETURNING d.org
), later AS (
    UPDATE serai.outlet_due d SET since = $7::timestamptz FROM noted n
    WHERE d.org = $1 AND d.since < $7::timestamptz AND NOT EXISTS (SELECT FROM held h WHERE h.version = n.version)
)
SELECT EXISTS (SELECT FROM noted) AS noted, EXISTS (SELECT FROM over) AS over;

-- name: leave
-- An organisation that is not at home here is not due here. Under its lock, as in `note_sent`: it may be coming home just now.
WITH held AS MATERIALIZED (
    SELECT o.org_id FROM serai.org o WHERE o.org_id = $1 AND o.state = 'moved' FOR SHARE OF o SKIP LOCKED
)
DELETE FROM serai.outlet_due d USING held h WHERE d.org = h.org_id;

-- name: bus
-- no org_id: of the whole shard
SELECT s.bus, s.bus_number FROM serai.outlet_shard s WHERE s.single;

-- name: note_bus
-- no org_id: of the whole shard
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE serai.outlet_shard s SET bus = $1, bus_number = $2 FROM quick WHERE s.single;

-- name: lag
-- no org_id: of the whole shard. At most $1 organisations are looked at.
SELECT count(*) AS orgs, coalesce(max(w.behind), 0) AS versions, coalesce(max(w.waited), 0) AS seconds
FROM (
    SELECT o.version - CASE WHEN c.epoch = o.epoch THEN least(c.version, o.version) ELSE 0 END AS behind,
           extract(epoch FROM clock_timestamp() - d.since)::float8 AS waited
    FROM (SELECT x.org, x.since FROM serai.outlet_due x ORDER BY x.org LIMIT $1) d
    JOIN LATERAL (SELECT h.epoch, h.version FROM serai.org h WHERE h.org_id = d.org AND h.state = 'active' OFFSET 0) o ON true
    LEFT JOIN LATERAL (SELECT s.epoch, s.version FROM serai.outlet s WHERE s.org_id = d.org OFFSET 0) c ON true
) w;

-- name: shard
-- no org_id: of the whole shard. `served`: some process is its outlet. `looking`: not all were looked through yet.
SELECT s.since, s.since IS NOT NULL AND s.looked IS NOT NULL AS looking, s.bus, s.bus_number,
       EXISTS (
           SELECT FROM pg_locks l
           WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
             AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
             AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('serai outlet', 0)
       ) AS served
FROM serai.outlet_shard s WHERE s.single;

-- name: sent_after
-- no org_id: organisations that were sent beyond a version
SELECT c.org_id FROM serai.outlet c WHERE c.org_id > $1 AND c.version > $2 ORDER BY c.org_id LIMIT $3;

-- name: rewind
SELECT serai.outlet_rewind($1, $2) -- org_id;

-- name: switch_off
-- no org_id: of the whole shard
SELECT serai.outlet_off();
