"""Writes, pushes and pulls over HTTP, against `serai serve` with two workers.

Owns the figures that count requests. The load is a process of its own (`serai.bench.load`), whose
processor time stands in the conditions and in no figure; the server's is that of the processes of
`serai serve`. Each connection is one device of an organisation of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Final

import aiohttp
import msgspec

from serai.bench import floors
from serai.bench.cpu import Spent
from serai.bench.driver import WARM_SECONDS_MAX, load_client, loaded
from serai.bench.figure import Figure, Load, rounded
from serai.bench.floors import SQL
from serai.bench.load import Script
from serai.bench.rows import COLLECTION, ROW_BYTES, Rows
from serai.bench.stage import Member, Served, Stage, open_stage
from serai.shard.pools import PinnedPool

_ROWS_PER_PUSH: Final = 20
_ROWS_PER_PULL: Final = 100


async def http_writes(load: Load) -> list[Figure]:
    """`POST` of one row."""
    async with _served(load) as (stage, server, members):
        text = Rows(stage.runtime.vertical).text()
        body = '{"id":"@id",' + text[1:]
        scripts = [
            _script(member, "write", f"/v1/{COLLECTION}", body, n)
            for n, member in enumerate(members)
        ]
        done = await loaded(stage, server, scripts, load, expected="201")
        rows = done.outcome.requests
        floor = await _write_floor(stage, rows, members)
        return [
            Figure(
                figure="http_writes_per_second",
                value=rounded(done.per_second),
                unit="writes/s",
                floor=rounded(rows / floor.seconds),
                python_us_per_row=done.spent.python_us(rows),
                postgres_us_per_row=done.spent.postgres_us(rows),
                conditions=f"POST of one row of {ROW_BYTES} B; {done.words(len(members))}; floor:"
                f" {floors.WRITES}",
            )
        ]


async def http_push(load: Load) -> list[Figure]:
    """`POST /v1/sync/mutations` with 20 inserts.

    On a quarter of the connections: each has twenty rows in flight.
    """
    fewer = replace(load, connections=max(load.connections // 4, 2))
    async with _served(fewer) as (stage, server, members):
        text = Rows(stage.runtime.vertical).text()
        body = (
            f'{{"number":@number,"collection":"{COLLECTION}","id":"@id","op":"insert",'
            f'"fields":{text}}}'
        )
        scripts = [
            _script(member, "push", "/v1/sync/mutations", body, n)
            for n, member in enumerate(members)
        ]
        done = await loaded(stage, server, scripts, load, expected="200")
        rows = done.outcome.requests * _ROWS_PER_PUSH
        await _all_applied(stage, members)
        floor = await _write_floor(stage, rows, members)
        return [
            Figure(
                figure="http_push_rows_per_second",
                value=rounded(done.per_second * _ROWS_PER_PUSH),
                unit="rows/s",
                floor=rounded(rows / floor.seconds),
                python_us_per_row=done.spent.python_us(rows),
                postgres_us_per_row=done.spent.postgres_us(rows),
                conditions=f"{_ROWS_PER_PUSH} inserts of {ROW_BYTES} B a push;"
                f" {done.words(len(members))}; floor: {floors.WRITES}",
            )
        ]


async def http_pull(load: Load) -> list[Figure]:
    """`POST /v1/sync/changes` with a token that is 100 rows behind."""
    async with _served(load) as (stage, server, members):
        tokens = [await _pulled(server, member) for member in members]
        await _fill(stage, members)
        scripts = [
            _script(member, "same", "/v1/sync/changes", _pull_body(token), n)
            for n, (member, (token, _)) in enumerate(zip(members, tokens, strict=True))
        ]
        done = await loaded(stage, server, scripts, load, expected="200")
        rows = done.outcome.requests * _ROWS_PER_PULL
        floor = await floors.reads_of_rows(stage, done.outcome.requests, _ROWS_PER_PULL)
        return [
            Figure(
                figure="http_pull_rows_per_second",
                value=rounded(done.per_second * _ROWS_PER_PULL),
                unit="rows/s",
                floor=rounded(rows / floor.seconds),
                python_us_per_row=done.spent.python_us(rows),
                postgres_us_per_row=done.spent.postgres_us(rows),
                conditions=f"{_ROWS_PER_PULL} changes of {ROW_BYTES} B a pull;"
                f" {done.words(len(members))}; floor: {floors.PAGES}",
            )
        ]


async def http_empty_pull(load: Load) -> list[Figure]:
    """`POST /v1/sync/changes` of devices that hold all there is."""
    async with _served(load) as (stage, server, members):
        scripts = await _empty_pulls(server, members)
        done = await loaded(stage, server, scripts, load, expected="304")
        asked = done.outcome.requests
        floor = await floors.reads_by_key(stage, asked, [m.org_id for m in members])
    return [
        Figure(
            figure="http_empty_pulls_per_second",
            value=rounded(done.per_second),
            unit="requests/s",
            floor=rounded(asked / floor.seconds),
            python_us_per_row=done.spent.python_us(asked),
            postgres_us_per_row=done.spent.postgres_us(asked),
            conditions=f"304 to the token and tag held; {done.words(len(members))}; floor:"
            f" {floors.KEYS}",
        ),
        Figure(
            figure="statements_per_empty_pull",
            value=round(await _statements(load), 4),
            unit="statements",
            floor=1.0,
            conditions="pg_stat_statements over all databases of a server of its own, divided by"
            " the requests; the reads of keys and grants every few seconds included",
        ),
    ]


async def _empty_pulls(server: Served, members: Sequence[Member]) -> list[Script]:
    tokens = [await _pulled(server, member) for member in members]
    return [
        _script(member, "same", "/v1/sync/changes", _pull_body(token), n, etag=etag)
        for n, (member, (token, etag)) in enumerate(zip(members, tokens, strict=True))
    ]


def _script(
    member: Member, kind: str, path: str, body: str, number: int, *, etag: str | None = None
) -> Script:
    headers = {"authorization": f"Bearer {member.token}", "content-type": "application/json"}
    if etag is not None:
        headers["if-none-match"] = etag
    return msgspec.convert(
        {
            "kind": kind,
            "path": path,
            "headers": headers,
            "body": body,
            # The form of a version 7 id: rising, and of this connection alone.
            "device": f"0190{number:08x}7000800000000000"[:24],
            "mutations": _ROWS_PER_PUSH,
        },
        Script,
    )


def _pull_body(token: str | None) -> str:
    since = "" if token is None else f',"sinceToken":"{token}"'
    return f'{{"collections":[{{"name":"{COLLECTION}"{since}}}],"batchSize":{_ROWS_PER_PULL}}}'


async def _pulled(server: Served, member: Member) -> tuple[str, str]:
    """Return (token, tag) of a device that holds all there is."""
    token: str | None = None
    etag, more = "", True
    headers = {"authorization": f"Bearer {member.token}", "content-type": "application/json"}
    async with aiohttp.ClientSession() as session:
        while more or token is None:
            url, body = f"{server.url}/v1/sync/changes", _pull_body(token)
            async with session.post(url, data=body, headers=headers) as answer:
                answer.raise_for_status()
                (part,) = (await answer.json())["collections"]
                # The tag of the answer to this very token: what the device would send again.
                before, token = token, part["nextToken"]
                etag, more = answer.headers["etag"], part["hasMore"] or before != token
    return token, etag


async def _fill(stage: Stage, members: Sequence[Member]) -> None:
    rows = Rows(stage.runtime.vertical)
    for member in members:
        wishes = [rows.insert(member.org_id, once=False) for _ in range(_ROWS_PER_PULL)]
        await asyncio.gather(*map(stage.shard.coalescer.submit, wishes))


async def _all_applied(stage: Stage, members: Sequence[Member]) -> None:
    """See that pushes were taken and not refused: a refusal is answered with 200 as well."""
    for member in members:
        kept = await stage.shard.store.refusals(member.org_id, user_id=None, after=0, limit=1)
        assert not kept, f"a push was refused: {kept[0].refusal.reason}"


async def _write_floor(stage: Stage, rows: int, members: Sequence[Member]) -> Spent:
    return await floors.plain_writes(stage, rows, [member.org_id for member in members])


@contextlib.asynccontextmanager
async def _served(
    load: Load, *, count_statements: bool = False
) -> AsyncGenerator[tuple[Stage, Served, list[Member]]]:
    async with open_stage(count_statements=count_statements) as stage:
        members = await stage.members(await stage.organisations(load.connections))
        async with stage.served() as server:
            yield stage, server, members


async def _statements(load: Load) -> float:
    """Return the statements that PostgreSQL runs for an empty pull."""
    async with _served(load, count_statements=True) as (stage, server, members):
        scripts = await _empty_pulls(server, members)
        async with (
            PinnedPool(stage.url, size_min=1, size_max=1) as pool,
            pool.connection() as owner,
            load_client(server, scripts) as (_, stretch),
        ):
            await owner.execute(SQL["count_statements"])
            await stretch(min(load.seconds, WARM_SECONDS_MAX))
            await owner.execute(SQL["count_from_now"])
            outcome = await stretch(load.seconds)
            calls = await owner.fetchval(SQL["counted"])
        return calls / outcome.requests
