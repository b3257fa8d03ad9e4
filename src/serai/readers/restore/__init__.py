"""Restore: one organisation as it was at a version, in its own place or as a new organisation.

Owns the walk through the audit record on a shard, the comparison with the rows that are there, and
the writes that follow. Promises that the record which is used is whole (its chain is computed
again), that a restore is one transaction, whole or not there, and that no other organisation is
read or changed. Never gives a version or a number twice: what was is written on top of what is.
"""

from serai.readers.restore.fresh import NewHome, into_new, open_new, sweep_new
from serai.readers.restore.link import Busy, Interrupted, Restored, Wish
from serai.readers.restore.same import into_same

__all__ = [
    "Busy",
    "Interrupted",
    "NewHome",
    "Restored",
    "Wish",
    "into_new",
    "into_same",
    "open_new",
    "sweep_new",
]
