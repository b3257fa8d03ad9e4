-- name: note_act
-- no org_id: an entry of the directory's audit table, which processes take for a change of placement and look
WITH risen AS (
    UPDATE serai_directory.version v SET version = v.version + 1 RETURNING v.version
)
INSERT INTO serai_directory.placement_audit (version, actor, reason, action, subject, after)
SELECT r.version, coalesce(nullif(current_setting('serai.actor', true), ''), session_user),
       coalesce(nullif(current_setting('serai.reason', true), ''), 'not given'), $1, 'outlet', $2::text::jsonb
FROM risen r;
