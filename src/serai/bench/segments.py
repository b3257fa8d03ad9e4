"""Segments: what they store, what serving them costs, and how long a new device takes with them.

Owns `segments`: the real bookings, imported and sealed by the keeper that ships, and read over HTTP
as devices read them. Promises that the pages which are measured are made of blocks, which it counts
in the database first. Never makes a block itself.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp
import msgspec
import zstandard

from serai.app.importing import import_file
from serai.app.keeping import keep_round, keeper_of
from serai.app.organisations import create_organisation
from serai.app.runtime import open_runtime
from serai.bench.cpu import Meter, Spent
from serai.bench.device import fresh_device
from serai.bench.driver import Measured, loaded
from serai.bench.figure import Figure, Load, rounded
from serai.bench.floors import SQL
from serai.bench.load import Script
from serai.bench.stage import Member, Served, Stage, open_stage
from serai.core.ids import ALL_SCOPES, uuid7
from serai.core.limits import PAGE_ROWS_MAX, SEGMENT_BLOCK_ROWS
from serai.log.keeper import packed
from serai.log.life_postgres import PostgresLifeStore

COLLECTION: Final = "stays"
_ORG: Final = "bench.hotels"
_IMPORTER: Final = "hotel-bookings"
_CONNECTIONS: Final = 8
_ROUND_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What is sealed of the collection, of all properties together."""

    rows: int
    bytes: int
    blocks: int
    other_ids: float


async def segments(load: Load) -> list[Figure]:
    """Seal the real bookings, serve them, fill a new device."""
    async with open_stage() as stage:
        member, sealing, sealed_rows = await _sealed(stage, load)
        stored = await _stored(stage, member.org_id)
        async with stage.served() as server:
            bodies = await _pages(server, member, PAGE_ROWS_MAX)
            scripts = [_script(member, body) for body in _spread(bodies)]
            served = await loaded(stage, server, scripts, load, expected="200")
            with Meter(stage.postgres, server.pid) as spent:
                client_seconds, count = await fresh_device(server, member, COLLECTION)
    assert count >= stored.rows, f"the client holds {count} rows of {stored.rows}"
    core_seconds = sealing.python_seconds + sealing.postgres_seconds
    made = f"sealed at {sealed_rows / core_seconds:,.0f} rows/s and core"
    return [
        _served(served, stored, len(bodies)),
        _bytes(stored, made),
        _bootstrap(spent, client_seconds, count),
    ]


def _served(served: Measured, stored: Stored, pages: int) -> Figure:
    rows = served.outcome.requests * stored.rows // pages
    spent = served.spent
    return Figure(
        figure="segment_rows_per_second_core",
        value=rounded(rows / (spent.python_seconds + spent.postgres_seconds)),
        unit="rows/s",
        python_us_per_row=round(spent.python_seconds / rows * 1e6, 3),
        postgres_us_per_row=round(spent.postgres_seconds / rows * 1e6, 3),
        conditions=f"pages of a fill of real stays, {stored.rows // pages} rows on average, as zstd"
        f" over HTTP, per second of processor time of server and PostgreSQL together;"
        f" {rows / served.outcome.seconds:,.0f} rows/s in all;"
        f" {served.words(_CONNECTIONS)}",
    )


def _bytes(stored: Stored, made: str) -> Figure:
    return Figure(
        figure="segment_bytes_per_row",
        value=rounded(stored.bytes / stored.rows),
        unit="B",
        conditions=f"{stored.rows} real stays of 437 B as change texts, in {stored.blocks} blocks,"
        f" zstd; {stored.other_ids:.1f} B with ids as phones draw them; each channel with enough"
        f" rows is sealed, so a row is stored for its property and for all; {made}",
    )


def _bootstrap(spent: Spent, client_seconds: float, count: int) -> Figure:
    return Figure(
        figure="segment_bootstrap_seconds",
        value=rounded(spent.seconds),
        unit="s",
        python_us_per_row=spent.python_us(count),
        postgres_us_per_row=spent.postgres_us(count),
        conditions=f"{count} real stays over HTTP into SQLite by the client that ships, which takes"
        f" {client_seconds:.2f} s of processor time; server and PostgreSQL"
        f" {spent.python_seconds + spent.postgres_seconds:.2f} s",
    )


async def _sealed(stage: Stage, load: Load) -> tuple[Member, Spent, int]:
    """Import and seal; return who may read it, what sealing took, and how many rows it was."""
    async with open_runtime(stage.settings, as_owner=True) as owner:
        importer = owner.vertical.importers[_IMPORTER]
        assert importer.sample is not None, "the file ships with the vertical"
        org_id = await create_organisation(owner, _ORG)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "beginning.csv"
            with gzip.open(importer.sample.path, "rt", encoding="utf-8", newline="") as whole:
                lines = islice(whole, max(load.device_rows, 4 * SEGMENT_BLOCK_ROWS) + 1)
                path.write_text("".join(lines), encoding="utf-8", newline="")
            await import_file(owner, _ORG, importer, path)
        (member,) = await stage.members([org_id])
        shard = await owner.shard_for(org_id)
        settings = msgspec.structs.replace(owner.settings, segment_rows=SEGMENT_BLOCK_ROWS)
        keeper, store = keeper_of(shard, settings), PostgresLifeStore(shard.pool)
        with Meter(stage.postgres) as spent:
            while not await keep_round(keeper, store, owner, seconds=_ROUND_SECONDS):
                pass
        async with shard.pool.connection() as connection:
            rows = await connection.fetchval(SQL["sealed_rows"], org_id)
    return member, spent, rows


async def _stored(stage: Stage, org_id: int) -> Stored:
    """Return what is sealed, and what it would be with random ids."""
    number = stage.runtime.vertical.by_name[COLLECTION].number
    async with stage.shard.pool.connection() as connection:
        await connection.execute("BEGIN")
        records = await connection.fetch(SQL["sealed_blocks"], org_id, number, ALL_SCOPES)
        await connection.execute("ROLLBACK")
    bodies = [r["body"] for r in records]
    rows = sum(r["rows"] for r in records)
    assert rows, "the collection is sealed"
    sample = bodies[:: max(len(bodies) // 20, 1)]
    other = sum(len(packed(_drawn(zstandard.ZstdDecompressor().decompress(b)))) for b in sample)
    sample_rows = sum(r["rows"] for r in records[:: max(len(bodies) // 20, 1)])
    return Stored(rows, sum(map(len, bodies)), len(bodies), other / sample_rows)


class _Change(msgspec.Struct):
    id: UUID
    action: str
    version: int
    data: dict[str, str | int | bool | None]


def _drawn(text: bytes) -> bytes:
    """Return the rows of a block under ids that a phone draws: of the stay and of its guest."""
    rows = msgspec.json.decode(b"[" + text + b"]", type=list[_Change])
    drawn = [
        msgspec.structs.replace(row, id=uuid7(), data={**row.data, "guest_id": str(uuid7())})
        for row in rows
    ]
    return b",".join(map(msgspec.json.encode, sorted(drawn, key=lambda row: row.id)))


async def _pages(server: Served, member: Member, size: int) -> list[str]:
    """Return the request of each page of a fill, but for the last one, which is of rows."""
    bodies: list[str] = []
    token, more = "", True
    headers = {"authorization": f"Bearer {member.token}", "content-type": "application/json"}
    async with aiohttp.ClientSession() as session:
        while more:
            since = f',"sinceToken":"{token}"' if token else ""
            body = f'{{"collections":[{{"name":"{COLLECTION}"{since}}}],"batchSize":{size}}}'
            url = f"{server.url}/v1/sync/changes"
            async with session.post(url, data=body, headers=headers) as answer:
                answer.raise_for_status()
                (part,) = (await answer.json())["collections"]
            bodies.append(body)
            token, more = part["nextToken"], part["hasMore"]
    return bodies[:-1]


def _spread(bodies: Sequence[str]) -> list[str]:
    """Return pages from all over the fill, one a connection."""
    step = max(len(bodies) // _CONNECTIONS, 1)
    return list(bodies[::step])[:_CONNECTIONS]


def _script(member: Member, body: str) -> Script:
    headers = {
        "authorization": f"Bearer {member.token}",
        "content-type": "application/json",
        "accept-encoding": "zstd",
    }
    return Script(kind="same", path="/v1/sync/changes", headers=headers, body=body)
