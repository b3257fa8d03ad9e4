"""The platform's keys, in the directory: seals of since-tokens, signing keys of access tokens.

Owns the statements on them. Promises that the first to ask for a missing key makes one for all, and
that the newest key of a kind cannot be retired: there is always one to seal or sign with. Never
shows a key to anybody but its caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from serai.shard.pools import PinnedPool
from serai.shard.queries import load_queries

_SQL: Final = load_queries("serai.shard", "directory.sql")


async def secrets(pool: PinnedPool, kind: str) -> dict[int, bytes]:
    """Return key id -> secret of those that are not retired. The highest id is in use."""
    async with pool.connection() as c:
        rows = await c.fetch(_SQL["secrets"], kind)
    return {row["key_id"]: row["material"] for row in rows}


async def ensure_secret(pool: PinnedPool, kind: str, make: Callable[[], bytes]) -> dict[int, bytes]:
    """Return the secrets of the kind; if there are none, the first to ask makes one for all."""
    found = await secrets(pool, kind)
    if found:
        return found
    async with pool.connection() as c:
        await c.execute(_SQL["first_secret"], kind, make())
    return await secrets(pool, kind)


async def add_secret(pool: PinnedPool, kind: str, material: bytes) -> int:
    """Add a secret, to be used from now on. Return its key id."""
    async with pool.connection() as c:
        key_id: int = await c.fetchval(_SQL["next_secret"], kind, material)
    return key_id


async def retire_secret(pool: PinnedPool, kind: str, key_id: int) -> None:
    """Take a secret out of use: what it sealed or signed is not accepted any more.

    The newest one stays.
    """
    async with pool.connection() as c:
        await c.execute(_SQL["retire_secret"], kind, key_id)
