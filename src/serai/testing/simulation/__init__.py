"""The code that ships, in virtual time, on a bad network: one seed, one run, one verdict.

Owns the simulation: clients, network, server, store and people of one organisation on one event
loop without real time; each fifth seed has a fleet of shards (`fleet`). Promises that a seed
decides everything and that a broken promise comes with the seed, the command to see it again, and
the end of the trace. What is simulated and what is not: `docs/decisions/0015-simulation.md` and
`docs/decisions/0031-simulated-fleet.md`. Never runs code that was written for it in place of code
that ships, but for signing in and what the second record lists.
"""

from serai.testing.simulation.explore import Explored, explore
from serai.testing.simulation.result import Result
from serai.testing.simulation.seed import simulate

__all__ = ["Explored", "Result", "explore", "simulate"]
