-- Fills a shard and a directory: %(rows)s rows of one organisation, some of others around it.

-- name: shard
INSERT INTO serai.org (org_id, version, audit_number) SELECT o, %(rows)s, %(rows)s FROM unnest(%(orgs)s::bigint[]) o;
INSERT INTO serai.row (org_id, collection, id, scope, version, created_version, doc)
SELECT o, 5, CASE WHEN g = 1 THEN %(row)s ELSE gen_random_uuid() END, %(place)s, g, g, '{}'
FROM unnest(%(orgs)s::bigint[]) o, generate_series(1, CASE WHEN o = %(org)s THEN %(rows)s ELSE 500 END) g;
INSERT INTO serai.log (org_id, version, ordinal, collection, scope, id, change)
SELECT org_id, version, 0, collection, scope, id, '{}' FROM serai.row;
INSERT INTO serai.tombstone (org_id, collection, id, version)
SELECT org_id, 6, gen_random_uuid(), version FROM serai.row;
INSERT INTO serai.reply (org_id, key, version, body_hash, reply)
SELECT org_id, 'k' || version, version, '', '' FROM serai.row;
INSERT INTO serai.device (org_id, device_id, user_id, number)
SELECT org_id, gen_random_uuid(), gen_random_uuid(), 1 FROM serai.row;
INSERT INTO serai.refusal
    (org_id, device_id, number, user_id, outcome, code, reason, collection, row_id, scope, body)
SELECT org_id, CASE WHEN version = 9 THEN %(device)s ELSE gen_random_uuid() END, 1,
       CASE WHEN version %% 5000 = 9 THEN %(user)s ELSE gen_random_uuid() END,
       'rejected', 'rule', '', 5, id, scope, '{}' FROM serai.row;
INSERT INTO serai.audit (org_id, number, at, version, user_id, row_id, scope, collection, op, via, content, hash)
SELECT org_id, version, now(), version, %(user)s, id, scope, collection, 'insert', 'rest', '{}', '' FROM serai.row;
INSERT INTO serai.audit_anchor (org_id, number, at, hash) SELECT org_id, 0, now(), '' FROM serai.org;
INSERT INTO serai.log_life (org_id, epoch, marks, times, sealed)
SELECT org_id, 1, ARRAY[version - 100], ARRAY[now()], version - 20 FROM serai.org;
INSERT INTO serai.segment (org_id, collection, scope, last, after, epoch, version, stale, rows, size, body)
SELECT %(org)s, 5, %(place)s, ('00000000-0000-0000-0000-' || lpad(to_hex(g), 12, '0'))::uuid,
       ('00000000-0000-0000-0000-' || lpad(to_hex(g - 1), 12, '0'))::uuid, 1, 9, g %% 400 = 0, 1, 1, ''
FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.outlet (org_id, epoch, version) SELECT g, 1, %(rows)s - 50 FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.outlet_due (org) SELECT g FROM generate_series(1, %(rows)s) g;
INSERT INTO serai.departure (org_id, scope, transfer_id, to_org, version, at)
SELECT %(org)s, id, version, 3, version, now() FROM serai.row WHERE org_id = %(org)s;
INSERT INTO serai.org (org_id, version, state, held) VALUES (21, 7, 'frozen', %(place)s)

-- name: directory
INSERT INTO serai_directory.shard (name, url) VALUES ('one', 'postgresql://one'), ('two', 'postgresql://two');
INSERT INTO serai_directory.org_range (orgs, shard_id, next_org_id)
VALUES (int8range(1, 1000000), 1, 500000), (int8range(1000000, 2000000), 2, 1000000);
INSERT INTO serai_directory.organisation (org_id, key, name) SELECT g, 'o' || g, 'O' FROM generate_series(1, %(rows)s) g;
INSERT INTO serai_directory.transfer (property_id, from_org, to_org, step, term, lease_until, actor, reason)
SELECT gen_random_uuid(), g, g + 1, 'done', 1, now(), 'a', 'r' FROM generate_series(1, %(rows)s - 1) g;
-- Nearly all of them are over; the last ones are not, or their old copies are still there.
INSERT INTO serai_directory.move (org_id, from_shard, to_shard, step, term, lease_until, actor, reason, ended_at, swept)
SELECT g, 1, 2, 'moved', 1, now(), 'a', 'r', now(), g <= %(rows)s - 20 FROM generate_series(1, %(rows)s) g;
INSERT INTO serai_directory.move (org_id, from_shard, to_shard, step, term, lease_until, actor, reason)
SELECT g, 1, 2, 'flipped', 1, now(), 'a', 'r' FROM generate_series(1, 20) g;
INSERT INTO serai_directory.org_override (org_id, shard_id) SELECT g, 2 FROM generate_series(100, %(rows)s) g;
INSERT INTO serai_directory.placement_audit (version, actor, reason, action, subject)
SELECT g, 'a', 'r', 'insert', 'org_override' FROM generate_series(1, %(rows)s) g;
UPDATE serai_directory.version SET version = %(rows)s;
INSERT INTO serai_directory.secret (kind, key_id, material)
SELECT 'other', g, ''::bytea FROM generate_series(1, %(rows)s) g UNION ALL VALUES ('jwt', 1, ''::bytea), ('token', 1, '');
INSERT INTO serai_directory.users (user_id, email, password_hash)
SELECT CASE WHEN g = 1 THEN %(user)s ELSE gen_random_uuid() END, g || '@example.com', 'h' FROM generate_series(1, %(rows)s) g;
INSERT INTO serai_directory.user_org (user_id, org_id) SELECT user_id, %(org)s FROM serai_directory.users;
INSERT INTO serai_directory.user_org (user_id, org_id) SELECT %(user)s, o FROM unnest(%(others)s::bigint[]) o;
INSERT INTO serai_directory.device (device_id, user_id)
SELECT CASE WHEN user_id = %(user)s THEN %(device)s ELSE gen_random_uuid() END, user_id FROM serai_directory.users;
INSERT INTO serai_directory.session (session_id, user_id, device_id, org_id, expires_at, revoked_at)
SELECT CASE WHEN u.user_id = %(user)s THEN %(session)s ELSE gen_random_uuid() END, u.user_id, d.device_id, %(org)s,
       now() + interval '30 days', CASE WHEN u.email LIKE '__00@%%' THEN now() END
FROM serai_directory.users u JOIN serai_directory.device d USING (user_id);
INSERT INTO serai_directory.refresh_token (token_sha256, session_id, generation, expires_at)
SELECT CASE WHEN session_id = %(session)s THEN %(used)s ELSE sha256(session_id::text::bytea) END, session_id,
       CASE WHEN session_id = %(session)s THEN 2 ELSE 1 END, expires_at
FROM serai_directory.session;
INSERT INTO serai_directory.refresh_token (token_sha256, session_id, generation, expires_at)
VALUES (%(token)s, %(session)s, 3, now() + interval '30 days');
INSERT INTO serai_directory.external_identity (issuer, subject, user_id)
SELECT 'https://id.example.com', split_part(email, '@', 1), user_id FROM serai_directory.users;
INSERT INTO serai_directory.used_id_token (token_sha256, expires_at)
SELECT sha256(g::text::bytea), now() + interval '1 day' - g * interval '10 seconds' FROM generate_series(1, %(rows)s) g;
INSERT INTO serai_directory.api_key (api_key_id, key_sha256, org_id, roles, created_by, created_at, revoked_at)
SELECT CASE WHEN g = 1 THEN %(key)s ELSE gen_random_uuid() END, sha256(g::text::bytea),
       CASE WHEN g %% 500 = 0 THEN 9 ELSE %(org)s END, '[]', %(user)s, now() - g * interval '1 minute',
       CASE WHEN g > 20 THEN now() END
FROM generate_series(1, %(rows)s) g

-- name: vertical
-- Through the generated function, as a write does it; where rows must differ, the row number makes them.
WITH made AS (
    SELECT CASE WHEN g = 1 THEN %(parent)s ELSE gen_random_uuid() END AS id, (%(doc)s::jsonb || {different})::text AS doc
    FROM generate_series(1, %(rows)s) g
), kept AS (
    INSERT INTO serai.row (org_id, collection, id, scope, version, created_version, doc)
    SELECT %(org)s, %(number)s, id, %(place)s, 1, 1, doc FROM made
)
SELECT {apply}(array_fill(%(org)s::bigint, ARRAY[count(*)::int]), array_agg(id), array_agg(doc), false) FROM made
