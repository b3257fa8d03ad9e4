"""Serai: one numbered log per organisation, and readers of it.

Every write to an organisation is one transaction on its home shard that advances the organisation's
version, changes the typed rows and appends the changes to the log. Sync, live, views and the rest
read that log and are never on the write path.

This module holds the version and nothing else, so that importing ``serai`` costs nothing.
"""

__version__ = "0.1.0"
