-- name: tables
-- no org_id: the catalogue
SELECT name, typed_from, columns, key FROM serai.move_tables();

-- name: months
-- no org_id: the catalogue
SELECT name, month FROM serai.months();

-- name: make_month
-- no org_id: a partition, of every organisation
SELECT serai.make_month(%(table)s, %(month)s::date);

-- name: claim_end
SELECT org_id, state, new FROM serai.move_claim(%(orgs)s, %(term)s, %(home)s) -- org_id;

-- name: change_state
SELECT serai.move_state(%(orgs)s, %(term)s, %(before)s, %(after)s) -- org_id;

-- name: sweep
SELECT serai.move_sweep(%(orgs)s, %(term)s, %(table)s) -- org_id;

-- name: forget
SELECT serai.move_forget(%(orgs)s, %(term)s) -- org_id;

-- name: reopen
SELECT org_id FROM serai.move_reopen(%(orgs)s, %(term)s, %(epochs)s) AS r (org_id);

-- name: open_since
SELECT org_id FROM serai.org
WHERE org_id = ANY (%(orgs)s) AND state IN ('active', 'frozen') AND move_term >= %(term)s;

-- name: rest
SELECT serai.move_rest(%(orgs)s, %(term)s) -- org_id;

-- name: states
SELECT org_id, state FROM serai.org WHERE org_id = ANY (%(orgs)s);

-- name: heads
-- With the oldest transaction that this snapshot does not see: what is younger was not copied.
SELECT org_id, version, audit_number, floor, pg_snapshot_xmin(pg_current_snapshot())::text AS since
FROM serai.org WHERE org_id = ANY (%(orgs)s);

-- name: export_snapshot
-- no org_id: of the whole database
SELECT pg_export_snapshot();

-- name: hold_target
SELECT serai.move_hold(%(orgs)s, %(term)s) -- org_id;

-- name: move_rows
SELECT serai.move_rows(%(orgs)s, %(rows)s::json, %(gone)s::json) -- org_id;

-- name: ready
SELECT serai.move_ready(%(orgs)s, %(term)s, %(heads)s::json) -- org_id;

-- name: claim
SELECT org_id, from_shard, term
FROM serai_directory.move_claim(%(orgs)s, %(to)s, %(actor)s, %(reason)s, make_interval(secs => %(lease)s));

-- name: take_over
WITH drawn AS MATERIALIZED (SELECT nextval('serai_directory.move_term') AS term)
UPDATE serai_directory.move m
SET term = drawn.term, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM drawn
WHERE m.move_id IN (
    SELECT s.move_id FROM serai_directory.move s
    WHERE s.step IN ('copying', 'flipped', 'undoing') AND s.lease_until < clock_timestamp()
      AND (%(orgs)s::bigint[] IS NULL OR s.org_id = ANY (%(orgs)s))
    ORDER BY s.move_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING m.org_id, m.from_shard, m.to_shard, m.step, m.term, m.returns;

-- name: renew_term
WITH drawn AS MATERIALIZED (SELECT nextval('serai_directory.move_term') AS term)
UPDATE serai_directory.move m
SET term = drawn.term, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM drawn
WHERE m.org_id = ANY (%(orgs)s) AND m.term = %(term)s AND m.step IN ('copying', 'flipped', 'undoing')
RETURNING m.org_id, m.from_shard, m.to_shard, m.step, m.term, m.returns;

-- name: renew
UPDATE serai_directory.move SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE org_id = ANY (%(orgs)s) AND term = %(term)s AND step IN ('copying', 'flipped', 'undoing');

-- name: advance
UPDATE serai_directory.move
SET step = %(after)s, ended_at = CASE WHEN %(after)s IN ('moved', 'undone') THEN clock_timestamp() END
WHERE org_id = ANY (%(orgs)s) AND term = %(term)s AND step = ANY (%(before)s)
RETURNING org_id;

-- name: flip
SELECT serai_directory.move_flip(%(orgs)s, %(term)s) -- org_id;

-- name: steps
SELECT DISTINCT step FROM serai_directory.move WHERE org_id = ANY (%(orgs)s) AND term = %(term)s;

-- name: under_way
SELECT org_id, step, from_shard, to_shard, actor, lease_until < clock_timestamp() AS lapsed
FROM serai_directory.move
WHERE step IN ('copying', 'flipped', 'undoing') AND (%(orgs)s::bigint[] IS NULL OR org_id = ANY (%(orgs)s))
ORDER BY move_id LIMIT %(limit)s;

-- name: transferring
SELECT org_id FROM serai_directory.transferring(%(orgs)s) AS t (org_id);

-- name: to_sweep
-- With the home that each has now, since which term, and that home's servers: all as of one moment.
SELECT m.org_id, m.from_shard, m.term, h.first_term, h.to_shard,
       ARRAY[s.url] || ARRAY(SELECT p.url FROM serai_directory.replica p WHERE p.shard_id = s.shard_id ORDER BY p.name)
FROM serai_directory.move m
CROSS JOIN LATERAL serai_directory.last_flip(m.org_id) h
JOIN serai_directory.shard s ON s.shard_id = h.to_shard
WHERE m.step = 'moved' AND NOT m.swept AND m.ended_at < clock_timestamp() - make_interval(secs => %(grace)s)
  AND h.step = 'moved' AND m.from_shard <> ALL (%(away)s::integer[]) AND h.to_shard <> ALL (%(unsafe)s::integer[])
ORDER BY m.ended_at LIMIT %(limit)s;

-- name: swept
UPDATE serai_directory.move SET swept = true WHERE org_id = ANY (%(orgs)s) AND term = %(term)s AND step = 'moved';

-- name: head
SELECT to_jsonb(o) FROM serai.org o WHERE o.org_id = %(org)s;

-- name: collections
SELECT collection, count(*) FROM serai.row WHERE org_id = %(org)s GROUP BY collection;

-- name: homed
-- A share is the numbers whose hash falls into it: the same ones each time, and spread over all ranges.
SELECT o.org_id
FROM serai_directory.organisation o
LEFT JOIN serai_directory.org_override v ON v.org_id = o.org_id
LEFT JOIN serai_directory.org_range r ON r.orgs @> o.org_id
WHERE o.org_id > %(after)s AND coalesce(v.shard_id, r.shard_id) = %(shard)s
  AND mod(hashint8extended(o.org_id, 0) & 9223372036854775807, 10000) < %(percent)s::float8 * 100
ORDER BY o.org_id LIMIT %(limit)s;

-- name: count_homed
SELECT count(*)
FROM serai_directory.organisation o
LEFT JOIN serai_directory.org_override v ON v.org_id = o.org_id
LEFT JOIN serai_directory.org_range r ON r.orgs @> o.org_id
WHERE coalesce(v.shard_id, r.shard_id) = %(shard)s
  AND mod(hashint8extended(o.org_id, 0) & 9223372036854775807, 10000) < %(percent)s::float8 * 100;

-- name: emptiest
-- no org_id: of all organisations of a shard
SELECT l.shard_id FROM serai_directory.shard_load l
WHERE l.state = 'open' AND l.shard_id <> %(leaving)s ORDER BY l.orgs, l.shard_id LIMIT 1;
