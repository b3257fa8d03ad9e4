"""Implementations that live in this process.

Owns the reference store and the reference bus. Promises to be obviously right, not fast. Never is
used for data that matters: it ends with the process.
"""

from serai.adapters.memory.outlet import MemoryBus
from serai.adapters.memory.store import MemoryStore

__all__ = ["MemoryBus", "MemoryStore"]
