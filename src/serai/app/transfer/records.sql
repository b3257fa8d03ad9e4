-- name: claim
SELECT transfer_id, term, busy FROM serai_directory.transfer_claim(
    %(property)s, %(from)s, %(to)s, %(actor)s, %(reason)s, make_interval(secs => %(lease)s));

-- name: busy
SELECT EXISTS (SELECT FROM serai_directory.move m
               WHERE m.org_id = ANY (%(orgs)s) AND m.step IN ('copying', 'flipped', 'undoing')),
       EXISTS (SELECT FROM serai_directory.transferring(%(orgs)s));

-- name: take_over
WITH drawn AS MATERIALIZED (SELECT nextval('serai_directory.move_term') AS term)
UPDATE serai_directory.transfer t
SET term = drawn.term, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM drawn
WHERE t.transfer_id = (
    SELECT s.transfer_id FROM serai_directory.transfer s
    WHERE s.step IN ('copying', 'decided', 'undoing') AND s.lease_until < clock_timestamp()
      AND s.transfer_id <> ALL (%(without)s::bigint[])
    ORDER BY s.from_org LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING t.transfer_id, t.property_id, t.from_org, t.to_org, t.term, t.actor, t.reason, t.step;

-- name: renew
UPDATE serai_directory.transfer SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE transfer_id = %(transfer)s AND term = %(term)s AND step IN ('copying', 'decided', 'undoing');

-- name: advance
UPDATE serai_directory.transfer
SET step = %(after)s, rows = coalesce(%(rows)s, rows),
    decided_at = CASE WHEN %(after)s = 'decided' THEN clock_timestamp() ELSE decided_at END,
    ended_at = CASE WHEN %(after)s IN ('done', 'undone') THEN clock_timestamp() END
WHERE transfer_id = %(transfer)s AND term = %(term)s AND step = ANY (%(before)s)
RETURNING transfer_id;

-- name: step
SELECT step FROM serai_directory.transfer WHERE transfer_id = %(transfer)s AND term = %(term)s;

-- name: past_of
SELECT transfer_id, property_id, from_org, to_org, step,
       step IN ('copying', 'decided', 'undoing') AND lease_until < clock_timestamp(), rows, actor, reason, started_at, ended_at
FROM (
    (SELECT * FROM serai_directory.transfer t WHERE t.from_org = %(org)s ORDER BY t.transfer_id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT * FROM serai_directory.transfer t WHERE t.to_org = %(org)s ORDER BY t.transfer_id DESC LIMIT %(limit)s)
) AS either
ORDER BY transfer_id DESC LIMIT %(limit)s;

-- name: past
SELECT transfer_id, property_id, from_org, to_org, step,
       step IN ('copying', 'decided', 'undoing') AND lease_until < clock_timestamp(), rows, actor, reason, started_at, ended_at
FROM serai_directory.transfer
ORDER BY transfer_id DESC LIMIT %(limit)s;
