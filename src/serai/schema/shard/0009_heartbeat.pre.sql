-- The heartbeat: a number that rises on the primary while somebody has replicas to judge. A copy that shows an old one
-- lags, is cut off, or is a copy of something else.

CREATE TABLE serai.heartbeat (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    beat   bigint NOT NULL,
    at     timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO serai.heartbeat (beat, at) VALUES (0, now());

-- Beats unless somebody did within that time, so that many processes write no more than one; returns the number and how
-- much of the log is on disk. Does not wait for the disk or for a synchronous replica: a beat that is lost is no harm, and
-- one that waited for a replica which is gone could not tell that it is gone.
CREATE FUNCTION serai.beat(apart_ms integer, OUT beat bigint, OUT position_bytes bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    time_now timestamptz := clock_timestamp();
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    -- A time that lies ahead was told by a clock that was set back since.
    UPDATE serai.heartbeat h SET beat = h.beat + 1, at = time_now
    WHERE h.single AND h.at NOT BETWEEN time_now - make_interval(secs => apart_ms / 1000.0) AND time_now;
    SELECT h.beat, (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint INTO beat, position_bytes
    FROM serai.heartbeat h WHERE h.single;
END
$$;
