"""What a person waits for: the first start, and the import of their data.

Owns `cold-start` and `import`. Both go through what a person uses: the command, the importer.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Final

import psycopg

from serai.app.importing import import_file
from serai.app.organisations import create_organisation
from serai.app.runtime import open_runtime
from serai.bench.cpu import Meter, family, name_of, resident_bytes
from serai.bench.figure import Figure, Load, rounded
from serai.bench.floors import SQL
from serai.bench.stage import Stage, answers, environment, open_stage
from serai.embedded.ports import free_port
from serai.model import Sample

_ORG: Final = "bench.hotels"
_IMPORTER: Final = "hotel-bookings"


async def import_bookings(load: Load) -> list[Figure]:
    """Import the real bookings: 119,390 guests and stays, 255,040 revenues."""
    async with open_stage() as stage, open_runtime(stage.settings, as_owner=True) as owner:
        importer = owner.vertical.importers[_IMPORTER]
        assert importer.sample is not None, "the file ships with the vertical"
        org_id = await create_organisation(owner, _ORG)
        with tempfile.TemporaryDirectory() as folder:
            path = _beginning(importer.sample, folder, load.import_lines)
            with Meter(stage.postgres) as spent:
                report = await import_file(owner, _ORG, importer, path)
        floor = await _copied(stage, org_id)
        return [
            Figure(
                figure="import_seconds",
                value=rounded(spent.seconds),
                unit="s",
                floor=rounded(floor),
                python_us_per_row=spent.python_us(report.rows),
                postgres_us_per_row=spent.postgres_us(report.rows),
                conditions=f"{report.rows} rows of {report.lines} lines through the write path;"
                " floor: COPY of the same row texts into one table with one key",
            )
        ]


def _beginning(sample: Sample, folder: str, lines: int | None) -> Path:
    """Return the sample, or a file with its first lines."""
    if lines is None:
        return sample.path
    path = Path(folder) / "beginning.csv"
    with gzip.open(sample.path, "rt", encoding="utf-8", newline="") as whole:
        path.write_text("".join(islice(whole, lines + 1)), encoding="utf-8", newline="")
    return path


async def _copied(stage: Stage, org_id: int) -> float:
    """Return the seconds that COPY needs for the texts of the rows that are there."""
    async with await psycopg.AsyncConnection.connect(stage.url, autocommit=True) as connection:
        found = await connection.execute(SQL["texts"].encode(), (org_id,))
        rows = await found.fetchall()
        await connection.execute(SQL["floor_table"].encode())
        started = time.perf_counter()
        async with (
            connection.cursor() as cursor,
            cursor.copy(SQL["floor_copy"].encode()) as copy,
        ):
            for row in rows:
                await copy.write_row(row)
        return time.perf_counter() - started


async def cold_start(_: Load) -> list[Figure]:
    """`serai dev` on an empty directory: time to the first answer, then memory when idle."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from serai.cli import main; main()", "dev"),
            *("--data-dir", folder, "--port", str(port)),
            env=environment(),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await answers(f"http://127.0.0.1:{port}/readyz", process)
            seconds = time.perf_counter() - started
            python = [p for p in family(process.pid) if name_of(p).startswith(("python", "serai"))]
            megabytes = sum(map(resident_bytes, python)) / 1e6
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
    return [
        Figure(
            figure="cold_start_seconds",
            value=rounded(seconds),
            unit="s",
            conditions="serai dev on an empty directory, to the first 200 of /readyz",
        ),
        Figure(
            figure="idle_memory_mb",
            value=rounded(megabytes),
            unit="MB",
            conditions=f"resident memory of the {len(python)} Python processes of serai dev",
        ),
    ]
