"""Upkeep of moves and transfers: those that a dead process left are brought to their end, and old
copies go.

Owns the rhythm, and with whose rights it is done. Promises that writes of an organisation whose
mover died wait for a lease and a look, not for an operator; that a round takes a bounded number of
moves and of transfers; and that many processes doing it are as good as one (terms fence them off
from each other). Never begins a move.

The role of requests sees that something is left, and changes nothing. Only then the process
connects as the directory's owner, if that is whom its URL names: docs/decisions/0033-upkeep.md.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

import psycopg

from serai.app.move_run import MoveOptions, MoveReport
from serai.app.moving import Order, end_left
from serai.app.runtime import Runtime
from serai.app.settings import Settings
from serai.app.transfer.running import runner
from serai.core.errors import SeraiError
from serai.schema.admission import role_of_requests
from serai.schema.errors import SchemaError
from serai.shard.connection import PostgresError
from serai.shard.queries import load_queries
from serai.shard.role import RequestRole
from serai.telemetry.recorder import Recorder

_log = logging.getLogger(__name__)
_SQL: Final = load_queries("serai.app", "ending.sql")
_PAUSE_SECONDS: Final = 3.0
_GRACE_SECONDS: Final = 60.0
"""Before an old copy is removed here: the command that moved it does so after five seconds."""
_SHOWN_MAX: Final = 10
_TRANSFERS_MAX: Final = 20
"""Of a round; one of a large hotel takes half a minute."""


@dataclass(frozen=True, slots=True)
class Left:
    """What movers left: moves and transfers of properties whose lease has run out, and whether old
    copies are to go.
    """

    moves: int
    copies: bool
    transfers: int


async def keep_moves(runtime: Runtime, recorder: Recorder) -> None:
    """End what is left again and again, for ever."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        await keep_moves_once(runtime, recorder)


async def keep_moves_once(
    runtime: Runtime, recorder: Recorder, *, grace_seconds: float = _GRACE_SECONDS
) -> None:
    """Look once, and end what is left. An error is told and waits for the next round."""
    try:
        left = await _left(runtime, grace_seconds)
        recorder.moves_left(left.moves)
        if left.moves or left.copies or left.transfers:
            await _end(runtime.settings, left, grace_seconds, recorder)
        recorder.upkeep("moves", done=True)
    except (SeraiError, SchemaError, PostgresError, psycopg.Error, OSError) as error:
        recorder.upkeep("moves", done=False)
        _log.warning("upkeep of moves waits for the next round: %s", error)


async def _left(runtime: Runtime, grace_seconds: float) -> Left:
    async with runtime.directory.pool.connection() as connection:
        (row,) = await connection.fetch(_SQL["moves_left"], grace_seconds)
    return Left(row["moves"], row["copies"], row["transfers"])


async def _end(settings: Settings, left: Left, grace_seconds: float, recorder: Recorder) -> None:
    url = settings.directory_url
    if RequestRole.of_url(url) == await role_of_requests(url):
        # An operator who chose not to give this process the owner's password ends them.
        if left.transfers:
            _log.warning(
                "%d transfers of properties were left, and this process may not end them: type"
                " `serai org transfer --resume` where SERAI_DIRECTORY_URL names the owner",
                left.transfers,
            )
        if left.moves:
            _log.warning(
                "%d moves were left by a mover that is gone, and this process may not end them: "
                "type `serai org move --resume` where SERAI_DIRECTORY_URL names the owner",
                left.moves,
            )
        return
    if left.transfers:
        await _end_transfers(settings)
    if left.moves or left.copies:
        order = Order("upkeep", MoveOptions(grace_seconds=grace_seconds))
        report = await end_left(settings, order)
        _tell(report)
        recorder.moves_ended(report.ended, report.undone, len(report.stuck), report.swept)


async def _end_transfers(settings: Settings) -> None:
    async with runner(settings) as running:
        ended = await running.end_stale(most=_TRANSFERS_MAX)
    if ended.finished or ended.undone:
        _log.info("transfers: %d finished, %d undone", len(ended.finished), len(ended.undone))
    for number, why in ended.stuck.items():
        _log.warning("transfer %d cannot be ended now: %s", number, why)


def _tell(report: MoveReport) -> None:
    if report.ended or report.undone:
        _log.info("moves that a mover left: %d finished, %d undone", report.ended, report.undone)
    for org, why in list(report.stuck.items())[:_SHOWN_MAX]:
        _log.warning("the move of organisation %d cannot be ended now: %s", org, why)
