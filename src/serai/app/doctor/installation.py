"""An installation, looked at: directory, shards, role of requests, keys, clocks, partitions.

Owns the reading of the facts; `judge.py` says what they mean. Promises that what does not answer or
does not fit is a finding and not an error, so that one fault hides no other, and that every
connection ends. Never changes a database, also not its own session beyond the way it connects.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from serai.app.doctor import judge
from serai.app.doctor.disk import disk
from serai.app.doctor.finding import Finding, failed, ok, warning
from serai.app.partitions import AUDIT_MONTHS_AHEAD, MONTHS_AHEAD, REPLY_DAYS_AHEAD
from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.app.signing_keys import states_of
from serai.core.clock import Clock, SystemClock
from serai.core.errors import SeraiError
from serai.gate.keys import read_signing_keys
from serai.model import Vertical
from serai.schema.admission import check_powers, role_of_requests
from serai.schema.collections import generate
from serai.schema.compat import check_schema
from serai.schema.database import Conn, Options, connected, pending, read_applied, value
from serai.schema.database_url import address_of, failure_of, fault_of
from serai.schema.errors import RoleTooStrongError, SchemaError
from serai.schema.files import Kind, shipped
from serai.schema.generated import GeneratedStatement
from serai.schema.vertical import check_vertical
from serai.shard.connection import PostgresError
from serai.shard.directory import Directory
from serai.shard.placement import ShardRef
from serai.shard.queries import load_queries
from serai.shard.role import RequestRole
from serai.shard.secrets import secrets

_SQL: Final = {
    name: text.encode()
    for name, text in load_queries("serai.app.doctor", "installation.sql").items()
}
_OPTIONS: Final = Options(connect_seconds=5)
_MIGRATE: Final = "Run `serai migrate`."


class _Unfit(Exception):
    """Nothing more can be found out about this database; the findings say why."""


@dataclass(slots=True)
class _Place:
    """One database under the doctor's eyes."""

    name: str
    kind: Kind
    url: str
    found: list[Finding]

    def add(self, *findings: Finding) -> None:
        self.found.extend(findings)

    def unfit(self, check: str, means: str, remedy: str) -> _Unfit:
        self.add(failed(self.name, check, judge.first_line(means), remedy))
        return _Unfit()


async def examine(settings: Settings, clock: Clock | None = None) -> list[Finding]:
    """Return what there is to say about the installation that the settings name.

    Raises:
        SettingsError: the vertical cannot be loaded.
    """
    vertical = load_vertical(settings.vertical)
    found = judge.judge_settings(settings)
    place = _Place("directory", "directory", settings.directory_url, found)
    looked = _Look(settings, vertical, clock or SystemClock(), found)
    try:
        await looked.database(place)
        role = await _role(place)
        await looked.served_as(place, role)
        await looked.directory(place, role)
    except _Unfit:
        pass  # said in `found`; the shards are known by the directory alone
    return found


@dataclass(frozen=True, slots=True)
class _Look:
    settings: Settings
    vertical: Vertical
    clock: Clock
    found: list[Finding]

    async def directory(self, place: _Place, role: RequestRole) -> None:
        """Look at what the directory holds, then at each shard that it names."""
        # Whoever was given the role's own URL sees no owner's.
        as_role = RequestRole.of_url(place.url).name == role.name
        shards: list[ShardRef] = []
        try:
            async with await Directory.open(place.url, role=role if as_role else None) as directory:
                shards = directory.shards
                seals = len(await secrets(directory.pool, "token"))
                async with directory.pool.connection() as connection:
                    keys = await read_signing_keys(connection)
        except (SeraiError, PostgresError) as error:
            check = "keys" if shards else "placement"
            remedy = f"Look at PostgreSQL's log. {_MIGRATE}"
            place.add(failed(place.name, check, judge.first_line(str(error)), remedy))
        else:
            try:
                states = states_of(keys, self.clock.now())
            except LookupError:
                states = []
            place.add(*judge.judge_keys(seals, states))
        with suppress(_Unfit):  # said in `found`; the shards are looked at all the same
            async with _connected(place, place.url) as conn:
                place.add(judge.judge_ranges(await value(conn, _SQL["free_numbers"])))
        for ref in shards:
            await self._shard(ref, role)

    async def _shard(self, ref: ShardRef, role: RequestRole) -> None:
        place = _Place(ref.name, "shard", ref.url, self.found)
        try:
            await self.database(place, generate(self.vertical))
            await self.served_as(place, role)
            async with _connected(place, place.url) as conn:
                place.add(await self._guards(conn, place, role))
                await self._partitions(conn, place)
        except _Unfit:
            pass  # said in `found`; the other shards are looked at all the same

    async def database(self, place: _Place, statements: Sequence[GeneratedStatement] = ()) -> None:
        """Look at the server behind a database, and at its schema.

        Raises:
            _Unfit: it does not answer, or this code does not work on it.
        """
        async with _connected(place, place.url) as conn:
            before = self.clock.now()
            version, number, standby, there, ssl = await _row(conn, "server")
            after = self.clock.now()
            place.add(*judge.judge_server(place.name, version, number, standby=standby))
            place.add(_clock(place.name, before, after, there))
            place.add(judge.judge_line(place.name, conn.info.host, encrypted=ssl))
            names = {"names": judge.SETTINGS_READ}
            rows = await (await conn.execute(_SQL["parameters"], names)).fetchall()
            values = {str(name): str(setting) for name, setting in rows}
            place.add(*judge.judge_parameters(place.name, values))
            most = int(values["max_connections"])
            place.add(judge.judge_room(place.name, self.settings, most))
            place.add(await disk(conn, place.name))
            await _schema(conn, place, statements)

    async def served_as(self, place: _Place, role: RequestRole) -> None:
        """Look at the database as requests do: the role must get in, and policies must bind it.

        Raises:
            _Unfit: it does not get in.
        """
        remedy = "Run `serai migrate`; allow the role in pg_hba.conf with scram-sha-256."
        try:
            async with connected(role.url(place.url), _OPTIONS) as conn:
                await check_powers(conn)
                if place.kind == "shard" and await value(conn, _SQL["sees"]):
                    raise RoleTooStrongError(role.name)
        except RoleTooStrongError as error:
            place.add(failed(place.name, "role of requests", error.problem, error.remedy))
        except psycopg.Error as error:
            raise place.unfit("role of requests", _where(place, error), remedy) from error
        else:
            place.add(ok(place.name, "role of requests", f"{role.name} is bound by policies"))

    async def _guards(self, conn: Conn, place: _Place, role: RequestRole) -> Finding:
        asked = {"role": role.name, "schemas": ["serai", self.vertical.name]}
        rows = await (await conn.execute(_SQL["guards"], asked)).fetchall()
        return judge.judge_unguarded(place.name, len(rows), [name for name, bare in rows if bare])

    async def _partitions(self, conn: Conn, place: _Place) -> None:
        today = self.clock.now().date()
        monthly = [c.name for c in self.vertical.collections if c.month_of is not None]
        schema = self.vertical.name
        months = {
            name: judge.months_ahead(await _names(conn, f"{schema}.{name}"), name, today)
            for name in monthly
        }
        if months:
            least = min(months, key=lambda name: months[name])
            place.add(
                judge.judge_partitions(place.name, "months", months[least], MONTHS_AHEAD, "month")
            )
        replies = judge.days_ahead(await _names(conn, "serai.reply"), "reply", today)
        audits = judge.months_ahead(await _names(conn, "serai.audit"), "audit", today)
        place.add(
            judge.judge_partitions(place.name, "replies", replies, REPLY_DAYS_AHEAD, "day"),
            judge.judge_partitions(place.name, "audit", audits, AUDIT_MONTHS_AHEAD, "month"),
        )


@asynccontextmanager
async def _connected(place: _Place, url: str) -> AsyncGenerator[Conn]:
    """Connect; what fails on the way or in the body is the last finding of this place."""
    setting = "SERAI_DIRECTORY_URL" if place.kind == "directory" else "the shard's URL"
    fault = fault_of(url)
    if fault is not None:
        raise place.unfit("reachable", f"{setting} is {fault}", "Write it anew.")
    try:
        async with connected(url, _OPTIONS) as conn:
            yield conn
    except psycopg.OperationalError as error:
        remedy = f"See that PostgreSQL runs and can be reached from here; check {setting}."
        raise place.unfit("reachable", _where(place, error), remedy) from error
    except psycopg.Error as error:
        raise place.unfit("schema", _where(place, error), _MIGRATE) from error


def _where(place: _Place, error: psycopg.Error) -> str:
    return f"{address_of(place.url)}: {failure_of(error)}"


async def _role(place: _Place) -> RequestRole:
    try:
        return await role_of_requests(place.url, _OPTIONS)
    except SchemaError as error:
        raise place.unfit("role of requests", error.problem, error.remedy) from error
    except psycopg.Error as error:
        raise place.unfit("role of requests", _where(place, error), _MIGRATE) from error


async def _schema(conn: Conn, place: _Place, statements: Sequence[GeneratedStatement]) -> None:
    try:
        state = await check_schema(conn, place.kind)
        await check_vertical(conn, statements)
        rest = pending(
            shipped(place.kind), await read_applied(conn, place.kind), frozenset({"pre", "post"})
        )
    except SchemaError as error:
        raise place.unfit("schema", error.problem, error.remedy) from error
    code = shipped(place.kind).version
    if rest:
        place.add(
            warning(
                place.name,
                "schema",
                f"version {state.version} works with this code ({code}), {len(rest)} files wait",
                "Run `serai migrate --phase post` when no process of the old release runs.",
            )
        )
        return
    place.add(ok(place.name, "schema", f"version {state.version}, this code has {code}"))


async def _names(conn: Conn, table: str) -> set[str]:
    rows = await (await conn.execute(_SQL["partitions"], {"table": table})).fetchall()
    return {name for (name,) in rows}


async def _row(conn: Conn, name: str) -> tuple[Any, ...]:
    row = await (await conn.execute(_SQL[name])).fetchone()
    assert row is not None, "it asks for one row of values"
    return row


def _clock(place: str, before: datetime, after: datetime, there: datetime) -> Finding:
    way = after - before
    return judge.judge_clock(place, before + way / 2, there, way)
