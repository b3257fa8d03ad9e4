"""A fleet in virtual time: shards, a directory, processes that serve, movers, and cut wires.

Owns what `serai.testing.simulation` has one of, in the plural. Promises that placement, homes,
breakers, write paths and movers are the code that ships, and that what stands for PostgreSQL (the
reference store, the two ends of a move, the directory's tables) is held to it by suites. What is a
model and what is not: `docs/decisions/0031-simulated-fleet.md`. Never used in a run of one shard.
"""

from __future__ import annotations

import logging

# A breaker that opens or a copy that stays is told; here they are some of thousands.
logging.getLogger("serai").addHandler(logging.NullHandler())
