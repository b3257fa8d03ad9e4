-- How full each shard is, kept as organisations move: a new one goes to the emptiest open shard.

-- Organisations moved to the shard, less those moved away. With the numbers given in its ranges this is how many live
-- there, without counting a million rows for each new one.
CREATE TABLE serai_directory.shard_moved (
    shard_id integer PRIMARY KEY REFERENCES serai_directory.shard,
    net      bigint NOT NULL
);

-- Once a statement, however many organisations it moves. The row of serai_directory.version, which placement_changed has
-- locked before, keeps two of these from waiting for each other in a ring.
CREATE FUNCTION serai_directory.count_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO serai_directory.shard_moved AS m (shard_id, net)
        SELECT c.shard_id, sum(c.n) FROM (
            SELECT n.shard_id, 1 AS n FROM new_rows n
            UNION ALL
            SELECT r.shard_id, -1 FROM new_rows n JOIN serai_directory.org_range r ON r.orgs @> n.org_id
        ) c GROUP BY c.shard_id HAVING sum(c.n) <> 0
        ON CONFLICT (shard_id) DO UPDATE SET net = m.net + excluded.net;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO serai_directory.shard_moved AS m (shard_id, net)
        SELECT c.shard_id, sum(c.n) FROM (
            SELECT n.shard_id, 1 AS n FROM new_rows n
            UNION ALL
            SELECT o.shard_id, -1 FROM old_rows o
        ) c GROUP BY c.shard_id HAVING sum(c.n) <> 0
        ON CONFLICT (shard_id) DO UPDATE SET net = m.net + excluded.net;
    ELSE
        INSERT INTO serai_directory.shard_moved AS m (shard_id, net)
        SELECT c.shard_id, sum(c.n) FROM (
            SELECT o.shard_id, -1 AS n FROM old_rows o
            UNION ALL
            SELECT r.shard_id, 1 FROM old_rows o JOIN serai_directory.org_range r ON r.orgs @> o.org_id
        ) c GROUP BY c.shard_id HAVING sum(c.n) <> 0
        ON CONFLICT (shard_id) DO UPDATE SET net = m.net + excluded.net;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_inserted AFTER INSERT ON serai_directory.org_override
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION serai_directory.count_moved();
CREATE TRIGGER count_updated AFTER UPDATE ON serai_directory.org_override
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION serai_directory.count_moved();
CREATE TRIGGER count_deleted AFTER DELETE ON serai_directory.org_override
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION serai_directory.count_moved();

-- Each shard with how many organisations live there.
CREATE VIEW serai_directory.shard_load AS
SELECT s.shard_id, s.name, s.state, coalesce(g.given, 0) + coalesce(m.net, 0) AS orgs
FROM serai_directory.shard s
LEFT JOIN (
    SELECT r.shard_id, sum(r.next_org_id - lower(r.orgs))::bigint AS given FROM serai_directory.org_range r GROUP BY r.shard_id
) g USING (shard_id)
LEFT JOIN serai_directory.shard_moved m USING (shard_id);
