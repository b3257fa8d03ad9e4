"""NATS, by the library of its makers.

Owns the connection to NATS servers. Promises what the port's docstring says. Never is asked where
order or truth comes from.
"""

from serai.adapters.nats.outlet import NatsBus

__all__ = ["NatsBus"]
