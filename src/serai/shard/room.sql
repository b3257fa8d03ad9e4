-- Whether a server can write to its disk. PostgreSQL does not tell how much space is left, so a sort is made to spill: its file
-- is in the data directory, counts as nothing that is stored, and is gone with the statement. Run in one transaction.

-- name: little_memory
SELECT set_config('work_mem', '64kB', true);

-- name: spill
-- no org_id: reads no table.
SELECT max(length(filler))
FROM (SELECT repeat('x', 1000 + n % 7) AS filler FROM generate_series(1, 1000) AS n ORDER BY random()) AS sorted;
