"""A fresh device: how long its first sync takes, and how much it downloads.

Owns `bootstrap` and `history`: the sync client that ships, over HTTP, into a SQLite file on disk.
The client runs in this process and the server in its own, so their processor times are apart.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from serai.bench import floors
from serai.bench.cpu import Meter, Spent
from serai.bench.figure import Figure, Load, rounded
from serai.bench.rows import COLLECTION, ROW_BYTES, Rows
from serai.bench.stage import WORKERS, Member, Served, Stage, open_stage
from serai.client import AccessToken, Answer, HttpTransport, SyncClient
from serai.core.limits import BULK_ROWS_MAX
from serai.log.coalesce import Coalescer
from serai.log.intent import WriteIntent
from serai.model import Row
from serai.wire.sync import ChangesRequest

_BATCH: Final = 5_000


async def bootstrap(load: Load) -> list[Figure]:
    """A fresh client of an organisation with many rows."""
    async with open_stage() as stage:
        (member,) = await stage.members(await stage.organisations(1))
        rows = Rows(stage.runtime.vertical)
        await _write(
            stage, [rows.insert(member.org_id, once=False) for _ in range(load.device_rows)]
        )
        async with stage.served() as server:
            transport = _Counting(server.url, _access(member))
            with Meter(stage.postgres, server.pid) as spent:
                client_seconds, count = await _fresh(transport)
        assert count == load.device_rows, f"the client holds {count} rows"
        floor = floors.sqlite_seconds([rows.text() for _ in range(count)])
    return _bootstrap(spent, client_seconds, count, transport.size, floor)


def _bootstrap(
    spent: Spent, client_seconds: float, rows: int, size: int, floor: float
) -> list[Figure]:
    conditions = (
        f"{rows} rows of {ROW_BYTES} B of random letters, {size / 1e6:.1f} MB unpacked, loopback,"
        f" {WORKERS} workers; client {client_seconds:.2f} s of processor time"
    )
    server_seconds = spent.python_seconds + spent.postgres_seconds
    cpu = {
        "python_us_per_row": spent.python_us(rows),
        "postgres_us_per_row": spent.postgres_us(rows),
    }
    return [
        Figure(
            figure="bootstrap_seconds",
            value=rounded(spent.seconds),
            unit="s",
            floor=rounded(floor),
            conditions=f"{conditions}; floor: the same texts inserted into an empty SQLite table in"
            " one transaction",
            **cpu,
        ),
        Figure(
            figure="bootstrap_server_cpu_seconds",
            value=rounded(server_seconds),
            unit="s",
            conditions="Python and PostgreSQL together, of the run for bootstrap_seconds",
            **cpu,
        ),
    ]


async def history(load: Load) -> list[Figure]:
    """A fresh client of rows that changed often."""
    async with open_stage() as stage:
        (member,) = await stage.members(await stage.organisations(1))
        rows = Rows(stage.runtime.vertical)
        inserts = [rows.insert(member.org_id, once=False) for _ in range(load.history_rows)]
        await _write(stage, inserts)
        for turn in range(load.history_updates):
            fields: Row = {"active": turn % 2 == 1}
            ids = [intent.rows[0].id for intent in inserts]
            await _write(stage, [rows.update(member.org_id, each, fields) for each in ids])
        async with stage.served() as server:
            transport = _Counting(server.url, _access(member))
            _, count = await _fresh(transport)
    return [
        Figure(
            figure="history_rows_downloaded",
            value=float(transport.changes_seen),
            unit="rows",
            floor=float(count),
            conditions=f"{load.history_rows} rows, each updated {load.history_updates} times before"
            " the client's first sync; changes counted in the answers; floor: rows that exist",
        )
    ]


async def _write(stage: Stage, intents: list[WriteIntent]) -> None:
    """Write in large transactions, as an import does."""
    coalescer = Coalescer(stage.shard.store, stage.runtime.vertical, writes_max=BULK_ROWS_MAX // 2)
    for start in range(0, len(intents), _BATCH):
        await asyncio.gather(*map(coalescer.submit, intents[start : start + _BATCH]))


class _Counting(HttpTransport):
    """The transport that ships, counting the changes that arrive.

    Attributes:
        changes_seen: in all answers.
        size: bytes of all answers, unpacked.
    """

    changes_seen = 0
    size = 0

    async def changes(self, request: ChangesRequest, etag: str | None) -> Answer:
        """Send a pull and count what it brings."""
        answer = await super().changes(request, etag)
        self.size += len(answer.body)
        self.changes_seen += answer.body.count(b'"action":')
        return answer


def _access(member: Member) -> AccessToken:
    async def access_token(renew: bool) -> str:  # noqa: FBT001 - the form of AccessToken
        assert not renew, "the token lives longer than the measurement"
        return member.token

    return access_token


async def fresh_device(server: Served, member: Member, collection: str) -> tuple[float, int]:
    """Return (processor seconds of the client, rows) of a fresh client's first sync."""
    return await _fresh(HttpTransport(server.url, _access(member)), collection)


async def _fresh(transport: HttpTransport, collection: str = COLLECTION) -> tuple[float, int]:
    """Return (processor seconds of the client, rows) of a fresh client's first sync."""
    with tempfile.TemporaryDirectory() as folder:
        before = time.process_time()
        client = await SyncClient.open(
            Path(folder) / "phone.db", transport=transport, collections=[collection]
        )
        async with client:
            await client.sync_once()
            spent = time.process_time() - before
            count = client.count(collection)
    await transport.close()
    return spent, count
