-- Sign-in by OpenID Connect: which identity of which issuer is which user, and which ID tokens were used.

-- One identity of an issuer is one user, and a user has one identity of each issuer: an address that the issuer gives to
-- somebody else does not lead to the account of who had it before.
CREATE TABLE serai_directory.external_identity (
    issuer       text NOT NULL CHECK (length(issuer) BETWEEN 1 AND 500),
    subject      text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    user_id      uuid NOT NULL REFERENCES serai_directory.users ON DELETE CASCADE,
    linked_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    PRIMARY KEY (issuer, subject),
    UNIQUE (user_id, issuer)
);

-- An ID token opens one session. The hash is of what is signed, not of the whole text: of one signed text some algorithms
-- have several good signatures. Kept until the token has expired.
CREATE TABLE serai_directory.used_id_token (
    token_sha256 bytea PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX used_id_token_by_expiry ON serai_directory.used_id_token (expires_at);

-- What a first sign-in may make, if the settings say so: a user whom nobody has, without a password and without an
-- organisation. A function, because the role of requests writes no users.
CREATE FUNCTION serai_directory.create_identified_user(p_email text, p_name text, p_at timestamptz) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO serai_directory.users (email, name, created_at) VALUES (p_email, p_name, p_at)
    ON CONFLICT (email) DO NOTHING
    RETURNING user_id
$$;

-- As before, and what this sign-in needs.
CREATE OR REPLACE FUNCTION serai_directory.admit(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA serai_directory FROM PUBLIC;
    EXECUTE format('GRANT USAGE ON SCHEMA serai_directory, serai_schema TO %I', role_name);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA serai_schema TO %I', role_name);
    EXECUTE format('GRANT SELECT (shard_id, name, address, state) ON serai_directory.shard TO %I', role_name);
    EXECUTE format('GRANT SELECT (shard_id, name, address) ON serai_directory.replica TO %I', role_name);
    EXECUTE format(
        'GRANT SELECT ON serai_directory.version, serai_directory.placement_audit, serai_directory.org_range, '
        'serai_directory.org_override, serai_directory.organisation, serai_directory.secret, serai_directory.users, '
        'serai_directory.user_org, serai_directory.device, serai_directory.session, serai_directory.refresh_token, '
        'serai_directory.api_key, serai_directory.external_identity, serai_directory.used_id_token TO %I', role_name);
    EXECUTE format(
        'GRANT INSERT ON serai_directory.user_org, serai_directory.device, serai_directory.session, '
        'serai_directory.refresh_token, serai_directory.api_key, serai_directory.external_identity, '
        'serai_directory.used_id_token TO %I', role_name);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION serai_directory.create_identified_user(text, text, timestamptz) TO %I', role_name);
    EXECUTE format('GRANT UPDATE (password_hash, password_changed_at) ON serai_directory.users TO %I', role_name);
    EXECUTE format('GRANT UPDATE (created_at) ON serai_directory.user_org TO %I', role_name);
    EXECUTE format('GRANT UPDATE (name, last_seen_at) ON serai_directory.device TO %I', role_name);
    EXECUTE format('GRANT UPDATE (org_id, revoked_at, revoke_reason) ON serai_directory.session TO %I', role_name);
    EXECUTE format('GRANT UPDATE (used_at, successor_salt) ON serai_directory.refresh_token TO %I', role_name);
    EXECUTE format('GRANT UPDATE (revoked_at, last_used_at) ON serai_directory.api_key TO %I', role_name);
    EXECUTE format('GRANT UPDATE (last_used_at) ON serai_directory.external_identity TO %I', role_name);
    EXECUTE format(
        'GRANT DELETE ON serai_directory.session, serai_directory.refresh_token, serai_directory.used_id_token TO %I',
        role_name);
END
$$;
