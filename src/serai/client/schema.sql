-- The device's file. Ids are text in canonical spelling, so that a row's JSON joins to them; 3 MB more
-- per 100,000 rows than blobs. `format` is checked at open.

create table meta (key text primary key, value text not null) strict, without rowid;

create table collection (
  number integer primary key,
  name text not null unique,
  token text,
  fill text not null default 'empty'
) strict;

-- The server's rows as of the token. `scope` is the property, or the row's own id where it has none.
create table row (
  collection integer not null,
  id text not null,
  scope text not null,
  version integer not null,
  data text not null,
  primary key (collection, id)
) strict, without rowid;
create index row_scope on row (collection, scope);

-- The queue (version 0), and answered writes that a pull has not passed yet (version above 0).
-- `epoch` is that of `base`; `seen_data` the row's text at `base`, kept when the rows are fetched anew.
create table mutation (
  seq integer primary key autoincrement,
  number integer not null,
  collection integer not null,
  id text not null,
  op text not null,
  base integer not null,
  after integer,
  fields text not null,
  at text not null,
  epoch integer not null,
  version integer not null default 0,
  answered_row text,
  seen_data text
) strict;
create index mutation_row on mutation (collection, id, version);
create unique index mutation_number on mutation (number) where version = 0;
create index mutation_answered on mutation (collection, version) where version > 0;
create index mutation_epoch on mutation (epoch) where version = 0 and base > 0;

-- What the view shows for each row that has an entry in `mutation`; data null: nothing.
create table overlay (
  collection integer not null,
  id text not null,
  scope text not null,
  version integer not null,
  data text,
  primary key (collection, id)
) strict, without rowid;

create table refusal (
  id integer primary key autoincrement,
  collection integer not null,
  row_id text not null,
  op text not null,
  fields text not null,
  outcome text not null,
  code text not null,
  reason text not null,
  errors text not null,
  server_row text,
  server_version integer not null,
  at text not null,
  acknowledged integer not null default 0
) strict;

create view shown as -- no org_id: the file of a device holds one organisation only
  select collection, id, scope, version, data, 0 as pending from row
  where not exists (select 1 from overlay o where o.collection = row.collection and o.id = row.id)
  union all
  select collection, id, scope, version, data, 1 as pending from overlay where data is not null;
