"""The one spelling of a moment on the wire.

Owns the tests of `serai.core.clock`: whatever zone a moment is in, its text is the same, and texts
sort like moments. Expected texts are written by hand. Never compares with the machine's clock but
to see that it is in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from serai.core.clock import SystemClock, timestamp_text

zones = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the zone is drawn beside it
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001 - the zone is drawn beside it
    timezones=zones,
)


def test_a_moment_is_spelled_in_utc_with_six_digits() -> None:
    lisbon = timezone(timedelta(hours=1))
    assert timestamp_text(datetime(2026, 7, 1, 0, 30, tzinfo=lisbon)) == (
        "2026-06-30T23:30:00.000000Z"
    )
    assert timestamp_text(datetime(987, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == (
        "0987-01-02T03:04:05.000006Z"
    )


@given(moments, zones)
def test_the_same_moment_in_another_zone_has_the_same_text(moment, zone) -> None:
    text = timestamp_text(moment)
    assert timestamp_text(moment.astimezone(zone)) == text
    assert datetime.fromisoformat(text) == moment
    assert len(text) == len("2026-01-31T12:00:00.000000Z")


@given(moments, moments)
def test_texts_sort_like_moments(one, other) -> None:
    assert (timestamp_text(one) < timestamp_text(other)) == (one < other)


def test_the_machines_clock_is_read_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
