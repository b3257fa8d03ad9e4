-- no org_id: the file of a device holds the rows of one organisation only.

-- name: meta_get
select value from meta where key = ?
-- name: meta_set
insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value
-- name: collections
select number, name, token, fill from collection order by number
-- name: collection_add
insert into collection (name, token, fill) values (?, ?, ?)
-- name: collection_drop
delete from collection where number = ?
-- name: collection_set
update collection set token = ?, fill = ? where number = ?

-- name: row_put
insert into row (collection, id, scope, version, data) values (?, ?, ?, ?, ?)
on conflict (collection, id) do update
set scope = excluded.scope, version = excluded.version, data = excluded.data
where excluded.version >= row.version
-- name: row_delete
delete from row where collection = ? and id = ? and version <= ?
-- name: row_get
select version, data from row where collection = ? and id = ?
-- name: rows_drop
delete from row where collection = ?
-- name: rows_drop_scope
delete from row where collection = ? and scope = ?
-- name: rows_drop_organisation
delete from row where collection = ? and scope = id
-- name: rows_drop_scopes_except
delete from row where collection = ? and scope not in (select value from json_each(?))

-- name: purge_answered
delete from mutation where version > 0 and op <> 'delete' and collection = ?1 and id in (
  select o.id from overlay o where o.collection = ?1 and case ?2
    when 'one' then o.scope = ?3
    when 'organisation' then o.scope = o.id
    else o.scope not in (select value from json_each(?3)) end
)
-- name: purge_refusals
update refusal set server_row = null where collection = ?1 and server_row is not null and case ?2
  when 'one' then coalesce(server_row ->> 'property_id', row_id) = ?3
  when 'organisation' then coalesce(server_row ->> 'property_id', row_id) = row_id
  else coalesce(server_row ->> 'property_id', row_id) not in (select value from json_each(?3)) end

-- name: queue_add
insert into mutation (number, collection, id, op, base, after, fields, at, epoch)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: queue_head
select m.number, c.name, m.id, m.op, m.base, a.number, m.fields
from mutation m join collection c on c.number = m.collection left join mutation a on a.seq = m.after
where m.version = 0 order by m.seq limit ?
-- name: queue_of_row
select seq, op, base, after, fields, version, answered_row from mutation
where collection = ? and id = ? order by seq
-- name: queue_last_of_row
select seq from mutation where collection = ? and id = ? and version = 0 order by seq desc limit 1
-- name: answered_of_row
select max(version) from mutation where collection = ? and id = ? and version > 0
-- name: overlay_get
select data from overlay where collection = ? and id = ?
-- name: queue_by_number
select seq, collection, id, op, base, after, fields from mutation where number = ? and version = 0
-- name: queue_rebase
update mutation set epoch = case when base = ?1 then epoch else ?4 end, base = ?1, after = ?2,
seen_data = case when base = ?1 then seen_data end
where seq = ?3
-- name: queue_answered
update mutation set id = ?, version = ?, answered_row = ?, after = null where seq = ?
-- name: queue_remove
delete from mutation where seq = ?
-- name: queue_any
select exists (select 1 from mutation where version = 0)
-- name: queue_count
select count(*) from mutation where version = 0
-- name: queue_renumber_away
update mutation set number = -seq where version = 0
-- name: queue_renumber
update mutation set number = (
  select count(*) from mutation earlier where earlier.version = 0 and earlier.seq <= mutation.seq
) where version = 0
-- name: queue_of_collection
select count(*) from mutation where collection = ?
-- name: answered_any
select exists (select 1 from mutation where version > 0)
-- name: answered_passed
select seq, collection, id from mutation where version > 0 and collection = ? and version <= ?
-- name: answered_passed_row
select seq from mutation where version > 0 and collection = ? and id = ? and version <= ?
-- name: answered_forget_order
update mutation set version = 1 where version > 0
-- name: queue_sent_unanswered
select count(*) from mutation where version = 0 and number <= ?
-- name: queue_first_number
select min(number) from mutation where version = 0
-- name: queue_of_other_epoch
select exists (select 1 from mutation where version = 0 and base > 0 and epoch < ?1)
or exists (select 1 from mutation where version = 0 and base > 0 and epoch > ?1)
-- name: queue_enter_epoch
update mutation set epoch = ? where epoch = 0
-- name: queue_keep_seen
update mutation set seen_data = coalesce(seen_data, (
  select data from row r
  where r.collection = mutation.collection and r.id = mutation.id and r.version = mutation.base
), (
  select a.answered_row from mutation a
  where a.collection = mutation.collection and a.id = mutation.id and a.version = mutation.base
)) where version = 0 and base > 0 and epoch = ?
-- name: queue_rebase_seen
update mutation set base = coalesce((
  select r.version from row r
  where r.collection = mutation.collection and r.id = mutation.id and r.data = mutation.seen_data
), 0), seen_data = null, epoch = ?1 where version = 0 and base > 0 and epoch <> ?1

-- name: overlay_any
select exists (select 1 from overlay)
-- name: overlay_of_collection
select id from overlay where collection = ?
-- name: overlay_among
select o.id from json_each(?2) wanted cross join overlay o
where o.collection = ?1 and o.id = wanted.value
-- name: overlay_put
insert into overlay (collection, id, scope, version, data) values (?, ?, ?, ?, ?)
on conflict (collection, id) do update
set scope = excluded.scope, version = excluded.version, data = excluded.data
-- name: overlay_delete
delete from overlay where collection = ? and id = ?

-- name: refusal_add
insert into refusal
(collection, row_id, op, fields, outcome, code, reason, errors, server_row, server_version, at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: refusals
select r.id, c.name, r.row_id, r.op, r.fields, r.outcome, r.code, r.reason, r.errors, r.server_row,
r.server_version, r.at, r.acknowledged
from refusal r join collection c on c.number = r.collection order by r.id
-- name: refusal_acknowledge
update refusal set acknowledged = 1 where id = ?
-- name: refusal_delete
delete from refusal where id = ?
-- name: refusal_count
select count(*) from refusal
-- name: refusals_of_collection
select count(*) from refusal where collection = ?
-- name: shown_get
select version, data, pending from shown where collection = ? and id = ?

-- Of `serai.client.look`, which reads a copy of a file.
-- name: look_tables
select count(*) from sqlite_schema
where type = 'table' and name in ('meta', 'collection', 'row', 'mutation', 'refusal')
-- name: look_collections
select c.name, c.fill, c.token, (select count(*) from row r where r.collection = c.number)
from collection c order by c.number
-- name: look_queue
select m.number, c.name, m.op, m.id, m.fields, m.at
from mutation m join collection c on c.number = m.collection
where m.version = 0 order by m.seq limit ?
