"""Ports on one machine, by what its kernel has.

Owns doorbells over Unix datagrams. Never crosses to another machine: NATS and Valkey do.
"""

from serai.adapters.local.doorbell import LocalBell, listen_locally

__all__ = ["LocalBell", "listen_locally"]
