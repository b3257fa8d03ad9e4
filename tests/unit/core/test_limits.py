"""Bounds: what the documents promise, as numbers, and the relations that other parts rely on.

Owns the numbers that are promises to a caller (written here by hand, from the design and the
problem texts) and the relations between bounds of different parts. Never repeats a bound that only
its own code knows.
"""

from __future__ import annotations

from typing import Final

from serai.core import limits
from serai.core.errors import Code
from serai.core.limits import KIB, MIB

PROPERTIES_OF_A_LARGE_CHAIN: Final = 1_000


def test_the_bounds_that_callers_were_told_are_the_bounds_that_hold() -> None:
    assert limits.BODY_BYTES_MAX == 32 * MIB == 33_554_432
    assert "32 MiB" in Code.BODY_TOO_LARGE.kind.remedy
    assert str(limits.JSON_DEPTH_MAX) in Code.BODY_TOO_DEEP.kind.remedy
    assert f"{limits.WRITE_ROWS_MAX} rows" in Code.WRITE_TOO_LARGE.kind.remedy
    assert f"{limits.ROW_BYTES_MAX // KIB} KiB" in Code.WRITE_TOO_LARGE.kind.remedy
    assert f"{limits.PASSWORD_CHARS_MIN} characters" in Code.PASSWORD_WEAK.kind.remedy


def test_a_coalesced_transaction_and_a_pool_are_what_was_measured() -> None:
    assert limits.COALESCE_WRITES_MAX == 128
    assert (limits.POOL_CONNECTIONS_MIN, limits.POOL_CONNECTIONS_MAX) == (5, 50)
    assert limits.POOL_WAIT_MS_MAX == 250
    assert limits.PAGE_ROWS_DEFAULT == 100
    assert limits.IDEMPOTENCY_KEEP_HOURS == 24


def test_every_number_on_the_wire_is_exact_in_every_json_reader() -> None:
    assert int(float(limits.INTEGER_MAX)) == limits.INTEGER_MAX
    assert float(limits.INTEGER_MAX) + 1 == 2.0**53
    assert int(float(limits.MONEY_MINOR_MAX)) == limits.MONEY_MINOR_MAX


def test_the_channel_bits_fit_into_a_signed_word_of_the_database() -> None:
    every = sum(1 << n for n in range(1, limits.COLLECTION_NUMBER_MAX + 1))
    assert every < 2**63


def test_a_row_of_the_longest_text_is_a_row() -> None:
    assert limits.TEXT_CHARS_MAX * len("\U0001f3e8".encode()) < limits.ROW_BYTES_MAX


def test_a_token_of_a_large_chain_fits_into_a_pull() -> None:
    """While a device fills, each property stands twice in its token, 24 bytes each time, and base64
    makes 4 bytes of 3.
    """
    assert PROPERTIES_OF_A_LARGE_CHAIN * 2 * 24 * 4 // 3 + 200 <= limits.TOKEN_BYTES_MAX


def test_a_days_queue_of_a_phone_fits_into_what_waits_for_a_shard() -> None:
    assert limits.MUTATIONS_PER_PUSH_MAX < limits.QUEUED_WRITES_MAX
    assert limits.COALESCE_CROWD <= limits.COALESCE_WRITES_MAX <= limits.QUEUED_WRITES_MAX
