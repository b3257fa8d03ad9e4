"""The keys that sign access tokens, by an operator's command.

Owns the words for the states of a key. Promises that a rotation refuses no token in flight. Never
returns a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from serai.app.runtime import Runtime
from serai.gate.keys import KeyRing, SigningKey, read_signing_keys, replace_signing_keys

State = Literal["waits", "signs", "verifies", "over"]


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key without its secret. `state`: `waits` to sign, `signs`, only `verifies` tokens that it
    signed, or is `over`. The first three are in the JWKS.
    """

    kid: str
    state: State
    created_at: datetime
    retired_at: datetime | None


async def signing_keys(runtime: Runtime) -> list[KeyState]:
    """Return every key, the oldest first."""
    async with runtime.directory.pool.connection() as directory:
        keys = await read_signing_keys(directory)
    return states_of(keys, runtime.clock.now())


async def rotate_signing_keys(runtime: Runtime, *, leaked: bool) -> list[KeyState]:
    """Replace the key that signs; return every key. `leaked`: tokens of the old ones end at
    once.
    """
    async with runtime.directory.pool.connection() as directory:
        await replace_signing_keys(directory, runtime.clock.now(), leaked=leaked)
    return await signing_keys(runtime)


def states_of(keys: list[SigningKey], now: datetime) -> list[KeyState]:
    """Return the keys with what each one does at `now`."""
    if not keys:
        return []
    ring = KeyRing.of(keys, now)
    return [
        KeyState(str(key.key_id), _state(key, ring, now), key.created_at, key.retired_at)
        for key in keys
    ]


def _state(key: SigningKey, ring: KeyRing, now: datetime) -> State:
    kid = str(key.key_id)
    if kid == ring.signing_kid:
        return "signs"
    if kid not in ring.verifiers:
        return "over"
    # A key older than the one that signs does not come back.
    after = key.key_id > int(ring.signing_kid)
    return "waits" if after and (key.retired_at is None or key.retired_at > now) else "verifies"
