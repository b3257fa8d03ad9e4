-- name: moves_left
-- no org_id: of all organisations
SELECT
    (SELECT count(*) FROM serai_directory.move m
     WHERE m.step IN ('copying', 'flipped', 'undoing') AND m.lease_until < clock_timestamp()) AS moves,
    EXISTS (
        SELECT FROM serai_directory.move m
        WHERE m.step = 'moved' AND NOT m.swept AND m.ended_at < clock_timestamp() - make_interval(secs => $1::float8)
    ) AS copies,
    (SELECT count(*) FROM serai_directory.transfer t
     WHERE t.step IN ('copying', 'decided', 'undoing') AND t.lease_until < clock_timestamp()) AS transfers;
