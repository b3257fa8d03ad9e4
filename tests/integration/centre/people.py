"""Who writes in the tests of the centre, and the store as a subject of the suite's desk.

Owns an owner who may do everything, the small part of `Subject` that a desk needs to open, and a
pool of one connection that a test holds.
Never does to data what operators do: tests of the centre say that in SQL.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from serai.ports.store import Store
from serai.shard.connection import Connection
from serai.testing.store_conformance import Subject
from serai.testing.store_conformance.desk import ANNA


class Owner:
    """An actor who may do everything."""

    user_id: UUID = ANNA

    def may(self, collection: str, action: str, scope: UUID) -> bool:  # noqa: ARG002 - an actor's form
        return True

    def roles(self, scope: UUID) -> frozenset[str]:  # noqa: ARG002 - an actor's form
        return frozenset({"owner"})


@dataclass
class _Opened:
    """A store in which organisations are made."""

    store: Store

    async def new_org(self) -> int:
        org_id = secrets.randbits(40) + 1
        await self.store.create_org(org_id)
        return org_id


def subject_of(store: Store) -> Subject:
    """Return the store for `Desk.open`; what operators do is missing, and a call of it fails."""
    return cast("Subject", cast("Any", _Opened(store)))


class Lent:
    """One connection, lent as if it were a pool: what it counts is what one act read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        yield self._connection
