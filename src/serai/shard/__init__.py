"""Which PostgreSQL: the directory of organisations, and the connections to a shard.

Owns the way from an organisation to a pinned connection on its home shard. Promises that placement
is answered from memory and that known organisations are served while the directory is down. Never
looks into an organisation's rows.
"""
