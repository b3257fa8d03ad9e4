-- Replicas: which streaming copies of a shard may answer reads. What one has reached is measured, never stored here.

CREATE TABLE serai_directory.replica (
    shard_id   integer NOT NULL REFERENCES serai_directory.shard ON DELETE CASCADE,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    -- As that of a shard: the owner's user and password before the host and nowhere else.
    url        text NOT NULL CHECK (url !~* '[?&](user|password|passfile|sslpassword)='),
    address    text GENERATED ALWAYS AS (regexp_replace(url, '^([a-z]+://)[^/]*@', '\1')) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard_id, name)
);

CREATE TRIGGER placement_changed AFTER INSERT OR DELETE OR UPDATE ON serai_directory.replica
    FOR EACH ROW EXECUTE FUNCTION serai_directory.placement_changed();
