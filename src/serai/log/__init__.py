"""The centre: the one write path and the organisation's log.

Owns how a write becomes durable and ordered (`coalesce`, `decide`, `postgres`). Promises that an
answered write is durable under one version, and that versions are gap-free in order of commit.
Readers of the log are elsewhere; nothing here knows them.
"""
