"""The schema of every database: numbered files, the fleet migrator, and which code may run on which
schema.

Owns how a database gets from nothing, or from any earlier release, to this one: `directory/` and
`shard/` hold numbered files that run before a deploy (`.pre.sql`) or after it (`.post.sql`); the
tables of a vertical follow from its declaration. Promises that each step is applied once, also
after kill -9, and that code refuses a schema it cannot work with. Never runs on the request path.
"""
