"""How often one may try to sign in, by hand-counted buckets."""

from __future__ import annotations

import pytest

from serai.core.errors import Code, SeraiError
from serai.gate.attempts import Rate, SignInAttempts, network_of
from unit.gate.support import SetClock


def attempts(clock: SetClock, *, email: int = 3, address: int = 5, size_max: int = 100):
    return SignInAttempts(
        clock,
        per_email=Rate(email, 30),
        per_address=Rate(address, 2),
        size_max=size_max,
    )


def wait_of(limit: SignInAttempts, email: str, address: str) -> int | None:
    try:
        limit.take(email=email, address=address)
    except SeraiError as error:
        return error.retry_after_seconds if error.code is Code.RATE_LIMITED else -1
    return None


def test_who_guesses_a_password_is_stopped_from_any_address():
    limit = attempts(SetClock())
    waits = [wait_of(limit, "ana@example.org", f"192.0.2.{n}") for n in range(5)]
    assert waits == [None, None, None, 30, 30]


def test_who_guesses_many_users_from_one_address_is_stopped():
    limit = attempts(SetClock())
    waits = [wait_of(limit, f"u{n}@example.org", "192.0.2.1") for n in range(7)]
    assert waits == [None] * 5 + [2, 2]


def test_a_person_who_waits_as_told_may_try_again():
    clock = SetClock()
    limit = attempts(clock)
    for n in range(3):
        assert wait_of(limit, "ana@example.org", f"192.0.2.{n}") is None
    clock.advance(12)
    assert wait_of(limit, "ana@example.org", "192.0.2.9") == 18
    clock.advance(18)
    assert wait_of(limit, "ana@example.org", "192.0.2.9") is None
    assert wait_of(limit, "ana@example.org", "192.0.2.9") == 30


def test_a_refused_attempt_costs_neither_the_user_nor_the_address():
    limit = attempts(SetClock(), email=1, address=2)
    assert wait_of(limit, "ana@example.org", "192.0.2.1") is None
    for _ in range(5):
        assert wait_of(limit, "ana@example.org", "192.0.2.1") == 30
    assert wait_of(limit, "ben@example.org", "192.0.2.1") is None


def test_a_night_of_rest_gives_no_more_than_a_full_bucket():
    clock = SetClock()
    limit = attempts(clock)
    wait_of(limit, "ana@example.org", "192.0.2.1")
    clock.advance(100_000)
    waits = [wait_of(limit, "ana@example.org", f"192.0.2.{n}") for n in range(4)]
    assert waits == [None, None, None, 30]


def test_a_clock_that_is_set_back_locks_nobody_out_for_longer():
    clock = SetClock()
    limit = attempts(clock, email=1)
    wait_of(limit, "ana@example.org", "192.0.2.1")
    clock.advance(-86_400)
    assert wait_of(limit, "ana@example.org", "192.0.2.2") == 30


def test_a_flood_of_names_does_not_fill_the_memory():
    limit = attempts(SetClock(), address=10_000, size_max=50)
    for n in range(1_000):
        wait_of(limit, f"u{n}@example.org", f"192.0.{n % 256}.{n // 256}")
    assert len(limit._emails._left) == 50
    assert len(limit._addresses._left) == 50


def test_a_name_of_a_megabyte_is_kept_short():
    limit = attempts(SetClock())
    wait_of(limit, "x" * 1_000_000, "y" * 1_000_000)
    assert max(len(name) for name in limit._emails._left._entries) == 320
    assert max(len(name) for name in limit._addresses._left._entries) == 320


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a unix socket", "a unix socket"),
        ("", ""),
    ],
)
def test_a_subscriber_with_a_block_of_addresses_is_one_client(address: str, network: str):
    assert network_of(address) == network
