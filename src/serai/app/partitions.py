"""The partitions of a shard: made ahead of time, and dropped when theirs is over.

Owns how many days and months there are. Promises that a partition is there before the first row
for it, as long as somebody calls this once a day, and that a reply of a mutation is dropped only
with its hash kept. Rows that come when nobody did are in a default partition, and right there too.
Never drops what an organisation wrote, but for months of
the audit record that the operator does not keep.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

from serai.core.limits import DEVICE_PAST_DAYS, FOLD_PAGES_MAX
from serai.model import Vertical
from serai.shard.pools import PinnedPool

MONTHS_AHEAD: Final = 12
REPLY_DAYS_AHEAD: Final = 1
AUDIT_MONTHS_AHEAD: Final = 2
REPLY_DAYS_KEPT: Final = 2


async def ensure_partitions(pool: PinnedPool, vertical: Vertical, now: datetime) -> None:
    """Make the partitions by month from this one to a year ahead, and those of replies and of the
    audit record.
    """
    today = now.astimezone(UTC).date()
    async with pool.connection() as connection:
        await connection.execute("SELECT serai.turn_replies($1)", REPLY_DAYS_AHEAD)
        await connection.execute("SELECT serai.turn_audit($1)", AUDIT_MONTHS_AHEAD)
    await ensure_months(pool, vertical, today, today.replace(year=today.year + 1, day=1))


async def fold_replies(pool: PinnedPool) -> None:
    """Drop the replies past their time, in transactions of a second or two; of mutations the hashes
    are kept.
    """
    more = True
    while more:
        async with pool.connection() as connection:
            more = await connection.fetchval(
                "SELECT serai.fold_replies($1, $2, $3)",
                REPLY_DAYS_KEPT,
                DEVICE_PAST_DAYS,
                FOLD_PAGES_MAX,
            )


async def ensure_months(pool: PinnedPool, vertical: Vertical, first: date, last: date) -> None:
    """Make the partitions by month from the month of `first` to that of `last`."""
    async with pool.connection() as connection:
        for collection in vertical.collections:
            if collection.month_of is not None:
                await connection.execute(
                    "SELECT serai.ensure_months($1, $2, $3, $4, $5)",
                    vertical.name,
                    collection.name,
                    collection.month_of,
                    first,
                    last,
                )


async def drop_old_audit(pool: PinnedPool) -> None:
    """Drop the oldest month of the audit record if the operator keeps fewer.

    Raises:
        PostgresError: the record is in use: it stays until the next time.
    """
    async with pool.connection() as connection:
        await connection.execute("SELECT serai.turn_retention()")
