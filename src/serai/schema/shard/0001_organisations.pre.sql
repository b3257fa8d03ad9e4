-- The tables of a shard: organisations, their rows, their log, and what makes a write happen once.
-- Every table begins with org_id: an organisation is one range of every index, and moves as such.

CREATE SCHEMA IF NOT EXISTS serai;

-- One number per organisation. The row lock is held to commit, so versions are in order of commit, without gaps.
CREATE TABLE serai.org (
    org_id bigint PRIMARY KEY,
    epoch integer NOT NULL DEFAULT 1 CHECK (epoch >= 1),
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    -- Deltas from below this version are not complete any more.
    floor bigint NOT NULL DEFAULT 0 CHECK (floor >= 0 AND floor <= version),
    -- Rises with each change of who may see what.
    grants_version bigint NOT NULL DEFAULT 0,
    -- The last entry of the audit record, and its hash.
    audit_number bigint NOT NULL DEFAULT 0,
    audit_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'frozen', 'moved')),
    -- While it is copied to another shard: each new reply is noted in serai.move_reply.
    noting boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
-- Those that are on their way or have gone: few, and looked for by reports over all.
CREATE INDEX org_not_active ON serai.org (org_id, state) WHERE state <> 'active';

-- Every live row of every collection as finished JSON. The typed tables of the vertical are made from the same
-- text in the same transaction; this one gives rows by id, and channels in order of id.
CREATE TABLE serai.row (
    org_id bigint NOT NULL,
    collection smallint NOT NULL,
    id uuid NOT NULL,
    scope uuid NOT NULL,
    version bigint NOT NULL,
    created_version bigint NOT NULL,
    -- Field -> version of its last change; null: every field is as it was inserted.
    field_versions jsonb,
    doc text NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX row_by_channel ON serai.row (org_id, collection, scope, id);
-- The last index: of those that look equally good while the table is empty, the last one is taken.
ALTER TABLE serai.row ADD PRIMARY KEY (org_id, collection, id);

-- A deleted row does not come back: its id is kept for good.
CREATE TABLE serai.tombstone (
    org_id bigint NOT NULL,
    collection smallint NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (org_id, collection, id)
);

-- The log: one change per row and version, as the text that goes to devices.
CREATE TABLE serai.log (
    org_id bigint NOT NULL,
    version bigint NOT NULL,
    ordinal smallint NOT NULL,
    collection smallint NOT NULL,
    scope uuid NOT NULL,
    id uuid NOT NULL,
    change text NOT NULL,
    PRIMARY KEY (org_id, version, ordinal)
);

-- First answers, for repetitions. Partitions are made a few days ahead and dropped after the time that keys are kept;
-- the default partition takes what comes when none was made.
CREATE TABLE serai.reply (
    org_id bigint NOT NULL,
    key text NOT NULL,
    created_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    version bigint NOT NULL,
    body_hash bytea NOT NULL,
    reply text NOT NULL,
    PRIMARY KEY (org_id, key, created_on)
) PARTITION BY RANGE (created_on);
CREATE TABLE serai.reply_default PARTITION OF serai.reply DEFAULT;

-- All that is kept of a device: the number of its last mutation.
CREATE TABLE serai.device (
    org_id bigint NOT NULL,
    device_id uuid NOT NULL,
    user_id uuid NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (org_id, device_id)
) WITH (fillfactor = 70);

-- Mutations that were not applied, kept for the people concerned.
CREATE TABLE serai.refusal (
    org_id bigint NOT NULL,
    device_id uuid NOT NULL,
    number bigint NOT NULL,
    refusal_id bigint GENERATED ALWAYS AS IDENTITY,
    user_id uuid NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('conflict', 'rejected')),
    code text NOT NULL,
    reason text NOT NULL,
    collection smallint NOT NULL,
    row_id uuid NOT NULL,
    scope uuid NOT NULL,
    body text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, device_id, number)
);
CREATE INDEX refusal_by_id ON serai.refusal (org_id, refusal_id);
CREATE INDEX refusal_by_user ON serai.refusal (org_id, user_id, refusal_id);

-- Who did what, before and after, from where; refusals too. Entries of an organisation are numbered without gaps, and each
-- holds the hash of itself and the one before: serai.log.audit says of which text. By month, so that retention drops
-- partitions and no row is ever deleted.
CREATE TABLE serai.audit (
    org_id bigint NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    version bigint NOT NULL,
    user_id uuid NOT NULL,
    device_id uuid,
    row_id uuid NOT NULL,
    scope uuid NOT NULL,
    collection smallint NOT NULL,
    op text NOT NULL,
    via text NOT NULL,
    content text NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (org_id, number, at)
) PARTITION BY RANGE (at);
CREATE TABLE serai.audit_default PARTITION OF serai.audit DEFAULT;

-- The last entry of each organisation in the months that were dropped: the chain goes on from there.
CREATE TABLE serai.audit_anchor (
    org_id bigint NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (org_id, number)
);

-- Nobody changes the record, its owner neither. Who may drop the trigger could; then the chain tells it.
CREATE FUNCTION serai.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON serai.audit FOR EACH ROW EXECUTE FUNCTION serai.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON serai.audit_anchor
    FOR EACH ROW EXECUTE FUNCTION serai.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON serai.audit FOR EACH STATEMENT EXECUTE FUNCTION serai.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON serai.audit_default
    FOR EACH STATEMENT EXECUTE FUNCTION serai.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON serai.audit_anchor
    FOR EACH STATEMENT EXECUTE FUNCTION serai.refuse_change();
-- Also where triggers are switched off for a session (session_replication_role).
ALTER TABLE serai.audit ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE serai.audit ENABLE ALWAYS TRIGGER never_emptied;
ALTER TABLE serai.audit_default ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE serai.audit_default ENABLE ALWAYS TRIGGER never_emptied;
ALTER TABLE serai.audit_anchor ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE serai.audit_anchor ENABLE ALWAYS TRIGGER never_emptied;

-- Which function applies a collection's rows to its typed table; written from the vertical's declaration.
CREATE TABLE serai.collection (
    number smallint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    -- Order of dependency: inserts go up, deletes go down.
    position smallint NOT NULL,
    apply_function text NOT NULL,
    remove_function text NOT NULL
);
