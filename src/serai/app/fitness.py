"""Whether this code may serve from a shard: asked before the first request, and of a shard that was
down when the process started as soon as it answers.

Owns the check of shards. Promises that one shard that does not answer keeps nobody from starting
and that one which does not fit ends the start, with what to do. Never changes a database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import psycopg

from serai.app.settings import SettingsError
from serai.schema.compat import check_database
from serai.schema.database import Options
from serai.schema.database_url import failure_of, fault_of
from serai.schema.generated import GeneratedStatement
from serai.shard.placement import ShardRef
from serai.shard.role import RequestRole

_log = logging.getLogger(__name__)
_OPTIONS: Final = Options(connect_seconds=5)
_SECONDS_MAX: Final = 10.0


class Fitness:
    """Which shards fit.

    Args:
        statements: of the vertical.
        role: that requests are served as; None: the URL's own.
    """

    def __init__(self, statements: Sequence[GeneratedStatement], role: RequestRole | None) -> None:
        """Nothing is known yet."""
        self._statements, self._role = statements, role
        self._fit: set[ShardRef] = set()

    def knows(self, ref: ShardRef) -> bool:
        """Tell whether the shard was found fit."""
        return ref in self._fit

    async def check(self, ref: ShardRef) -> None:
        """Ask the shard.

        Raises:
            SettingsError, SchemaError: it is not fit.
            psycopg.OperationalError, TimeoutError: it does not answer.
        """
        fault = fault_of(ref.url)
        if fault is not None:
            raise SettingsError(f"The URL of {ref.name} is {fault}.")
        async with asyncio.timeout(_SECONDS_MAX):
            await check_database(
                ref.url,
                "shard",
                statements=self._statements,
                role=self._role,
                options=_OPTIONS,
            )
        self._fit.add(ref)

    async def check_all(self, refs: Sequence[ShardRef]) -> None:
        """Ask every shard, at once. Those that do not answer are told in the log.

        Raises:
            SettingsError, SchemaError: one is not fit.
            psycopg.OperationalError: none answers.
        """
        results = await asyncio.gather(*map(self.check, refs), return_exceptions=True)
        silent: list[tuple[ShardRef, BaseException]] = []
        for ref, result in zip(refs, results, strict=True):
            if isinstance(result, (psycopg.OperationalError, TimeoutError)):
                silent.append((ref, result))
            elif isinstance(result, BaseException):
                raise result
        if silent and len(silent) == len(refs):
            raise silent[0][1]
        for ref, why in silent:
            said = failure_of(why) if isinstance(why, psycopg.Error) else "no answer in time"
            _log.error("shard %s does not answer (%s): its organisations wait", ref.name, said)
