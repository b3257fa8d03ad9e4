-- What a promotion that may have lost a tail does in the directory's record of moves.

-- name: seize_moves
-- $1: the shard. no org_id: every move from or to it. A new term, so that whoever was at them changes nothing any more; and
-- none may flip: what it has copied may be lost.
WITH drawn AS MATERIALIZED (SELECT nextval('serai_directory.move_term') AS term)
UPDATE serai_directory.move m
SET term = drawn.term, lease_until = 'epoch', step = CASE m.step WHEN 'copying' THEN 'undoing' ELSE m.step END
FROM drawn
WHERE m.step IN ('copying', 'flipped', 'undoing') AND $1 IN (m.from_shard, m.to_shard);

-- name: moving
SELECT m.org_id FROM serai_directory.move m
WHERE m.step IN ('copying', 'flipped', 'undoing') AND $1 IN (m.from_shard, m.to_shard);
