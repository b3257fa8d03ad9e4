-- What a promotion that may have lost a tail does in the directory's record of moves.

-- name: seize_moves
-- $1: the shard. no org_id: every move from or to it. A new term, so that whoever was at them changes nothing any more; and
-- none may flip: what it has copied may be lost.
WITH drawn AS MATERIALIZED (SELECT nextval('serai_directory.move_term') AS term)
UPDATE serai_directory.move m
SET term = drawn.term, lease_until = 'epoch', step = CASE m.step WHEN 'copying' THEN 'undoing' ELSE m.step END
FROM drawn
WHERE m.step IN ('copying', 'flipped', 'undoing') AND $1 IN (m.from_shard, m.to_shard);

-- name: homed
-- $1: the shard. Those that the directory places there, in pages, with the move that brought each there.
SELECT o.org_id, o.key, coalesce(h.first_term, 0) AS since, coalesce(NOT h.swept, false) AS kept,
       coalesce(h.returns, false) AS returns, h.from_shard
FROM serai_directory.organisation o
LEFT JOIN serai_directory.org_override v ON v.org_id = o.org_id
LEFT JOIN serai_directory.org_range r ON r.orgs @> o.org_id
LEFT JOIN LATERAL serai_directory.last_flip(o.org_id) h ON true
WHERE o.org_id > $2 AND coalesce(v.shard_id, r.shard_id) = $1
ORDER BY o.org_id LIMIT $3;

-- name: moving
SELECT m.org_id FROM serai_directory.move m
WHERE m.step IN ('copying', 'flipped', 'undoing') AND $1 IN (m.from_shard, m.to_shard);
