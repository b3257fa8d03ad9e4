"""A fleet of two shards, a process that serves it, and a move by hand.

Owns the set-up. Promises that the process's copy of the placement is as old as a test wants it: it
follows the directory no more, so that only what a shard tells it makes it look. Never asserts a
promise.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from integration.http.house import Api, Inn, fill, make_inn, owner_of
from serai.app.asgi import http_app
from serai.app.fleet import prepare_fleet
from serai.app.runtime import Runtime, open_runtime
from serai.app.serving import served
from serai.app.settings import Settings
from serai.embedded.ports import free_port
from serai.telemetry.recorder import Recorder

TABLES = (
    "SELECT n.nspname, c.relname,"
    " array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
    " AND n.nspname IN ('serai', 'hospitality')"
    " GROUP BY 1, 2 HAVING bool_or(a.attname = 'org_id') ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Fleet:
    """URLs of the databases."""

    directory: str
    shards: tuple[str, str]


class Heard(Recorder):
    """What became of writes, as telemetry is told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def write(self, outcome: str, org_id: int, rows: int, waited_seconds: float) -> None:  # noqa: ARG002 - the form of a recorder
        self.kinds.append(outcome)


@dataclass(frozen=True)
class Moved:
    """An organisation, its owner's requests, and the process that serves them."""

    fleet: Fleet
    runtime: Runtime
    inn: Inn
    api: Api
    url: str
    heard: Heard

    @property
    def old(self) -> str:
        """URL of the shard on which it was made."""
        return self.fleet.shards[0]

    @property
    def new(self) -> str:
        """URL of the shard to which `move` brings it."""
        return self.fleet.shards[1]


def make_fleet(directory: str, shards: tuple[str, str]) -> Fleet:
    """Make the databases a fleet. To be run outside of a loop."""
    names = [(f"shard-{n}", url) for n, url in enumerate(shards, 1)]
    asyncio.run(prepare_fleet(Settings(directory_url=directory), names))
    with psycopg.connect(directory, autocommit=True) as conn:
        # Who is made in a test begins on the first.
        conn.execute("UPDATE serai_directory.shard SET state = 'closed' WHERE name = 'shard-2'")
    return Fleet(directory, shards)


@asynccontextmanager
async def stale_process(fleet: Fleet, *, follows: bool = False) -> AsyncGenerator[Moved]:
    """Serve the fleet from this process, with an organisation that has a row of everything."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(directory_url=fleet.directory, port=port, issuer=url, pool_min=1)
    inn = await make_inn(fleet.directory, f"inn-{secrets.token_hex(4)}")
    heard = Heard()
    async with open_runtime(settings, recorder=heard) as runtime, http_app(runtime) as app:
        if not follows:
            await runtime.directory.unfollow()
        async with served(Lifeless(app), "127.0.0.1", port), owner_of(inn, url) as api:
            await fill(api, inn)
            yield Moved(fleet, runtime, inn, api, url, heard)


class Lifeless:
    """An application that is open already, for a server that wants to open it."""

    def __init__(self, app) -> None:
        self._app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


def set_state(url: str, org_id: int, state: str) -> None:
    """Say on a shard what an organisation is there."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("UPDATE serai.org SET state = %s WHERE org_id = %s", (state, org_id))


def move(there: Moved) -> None:
    """Move the organisation as a mover does: freeze, copy, fence, flip; then its rows go from the
    old home, where only its own row stays.
    """
    org_id = there.inn.org_id
    set_state(there.old, org_id, "frozen")
    _copy(there, org_id)
    set_state(there.old, org_id, "moved")
    set_state(there.new, org_id, "active")
    flip(there)
    _sweep(there.old, org_id)


def flip(there: Moved) -> None:
    """Say in the directory that the organisation lives on the second shard."""
    with psycopg.connect(there.fleet.directory, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO serai_directory.org_override SELECT %s, shard_id "
            "FROM serai_directory.shard WHERE name = 'shard-2'",
            (there.inn.org_id,),
        )


def _copy(there: Moved, org_id: int) -> None:
    with psycopg.connect(there.old) as old, psycopg.connect(there.new) as new:
        new.execute("SET session_replication_role = replica")
        for schema, table, columns in old.execute(TABLES).fetchall():
            name = sql.Identifier(schema, table)
            listed = sql.SQL(", ").join(map(sql.Identifier, columns))
            out = sql.SQL("COPY (SELECT {} FROM {} WHERE org_id = {}) TO STDOUT").format(
                listed, name, sql.Literal(org_id)
            )
            into = sql.SQL("COPY {} ({}) FROM STDIN").format(name, listed)
            with old.cursor().copy(out) as rows, new.cursor().copy(into) as taken:
                for row in rows:
                    taken.write(row)


def _sweep(url: str, org_id: int) -> None:
    """Delete what the shard holds of the organisation, all but its own row and its record."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        for schema, table, _ in conn.execute(TABLES).fetchall():
            if (schema, table) not in (
                ("serai", "org"),
                ("serai", "audit"),
                ("serai", "audit_anchor"),
            ):
                conn.execute(
                    sql.SQL("DELETE FROM {} WHERE org_id = %s").format(
                        sql.Identifier(schema, table)
                    ),
                    (org_id,),
                )
