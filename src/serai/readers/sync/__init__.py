"""Sync: answers "what changed since my token?" (`pull`) and takes a device's queue (`push`).

Owns the two operations of a device. Promises what each module says; keeps nothing about a device
between two requests but the number of its last mutation. Never is on the write path: a push goes
through the same coalescer as every other write.
"""

from serai.readers.sync.pull import BLOCK, GrantChanged, PullResult, pull
from serai.readers.sync.push import push

__all__ = ["BLOCK", "GrantChanged", "PullResult", "pull", "push"]
