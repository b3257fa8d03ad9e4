"""How often one may try to sign in.

Owns a bucket of attempts for each e-mail and for each client address, in this process. Promises
bounded memory, and that an attempt takes from both buckets or from none. Never counts successes
apart: a program that signs in with each request is asked to use an API key.

Limits across processes come with the hierarchical rates; a stranger with n processes to talk to has
n times the attempts, which argon2id and the queue of the hashing threads bound again.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime

from serai.core.clock import Clock
from serai.core.errors import Code, SeraiError
from serai.core.limits import (
    SIGN_IN_BUCKETS_MAX,
    SIGN_IN_BURST_PER_ADDRESS,
    SIGN_IN_BURST_PER_EMAIL,
    SIGN_IN_REFILL_SECONDS_PER_ADDRESS,
    SIGN_IN_REFILL_SECONDS_PER_EMAIL,
)
from serai.gate.bounded import Bounded

_NAME_CHARS_MAX = 320


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` attempts; one comes back every `refill_seconds`."""

    burst: int
    refill_seconds: float


class Buckets:
    """Token buckets by name. One that is forgotten to make room is full again."""

    def __init__(self, rate: Rate, clock: Clock, size_max: int = SIGN_IN_BUCKETS_MAX) -> None:
        self._rate = rate
        self._clock = clock
        self._left: Bounded[str, tuple[float, datetime]] = Bounded(size_max)

    def wait_seconds(self, name: str) -> int:
        """Return in how many seconds there is an attempt left: 0 for now."""
        left = self._level(name)
        return 0 if left >= 1 else max(1, math.ceil((1 - left) * self._rate.refill_seconds))

    def take(self, name: str) -> None:
        """Use up one attempt."""
        self._left.put(name, (self._level(name) - 1, self._clock.now()))

    def _level(self, name: str) -> float:
        held = self._left.get(name)
        if held is None:
            return self._rate.burst
        left, at = held
        # A clock that is set back gives nothing and takes nothing.
        passed = max(0.0, (self._clock.now() - at).total_seconds())
        return min(self._rate.burst, left + passed / self._rate.refill_seconds)


class SignInAttempts:
    """Both limits of the sign-in."""

    def __init__(
        self,
        clock: Clock,
        *,
        per_email: Rate = Rate(SIGN_IN_BURST_PER_EMAIL, SIGN_IN_REFILL_SECONDS_PER_EMAIL),
        per_address: Rate = Rate(SIGN_IN_BURST_PER_ADDRESS, SIGN_IN_REFILL_SECONDS_PER_ADDRESS),
        size_max: int = SIGN_IN_BUCKETS_MAX,
    ) -> None:
        self._emails = Buckets(per_email, clock, size_max)
        self._addresses = Buckets(per_address, clock, size_max)

    def take(self, *, email: str, address: str) -> None:
        """Count one attempt.

        Raises:
            SeraiError: `rate_limited`, with the seconds to wait.
        """
        who, where = email[:_NAME_CHARS_MAX], network_of(address)
        wait = max(self._emails.wait_seconds(who), self._addresses.wait_seconds(where))
        if wait:
            raise SeraiError(Code.RATE_LIMITED, retry_after_seconds=wait)
        self._emails.take(who)
        self._addresses.take(where)

    def take_address(self, address: str) -> None:
        """Count one attempt of whoever is at the address, for a sign-in that names no e-mail.

        Raises:
            SeraiError: `rate_limited`, with the seconds to wait.
        """
        where = network_of(address)
        wait = self._addresses.wait_seconds(where)
        if wait:
            raise SeraiError(Code.RATE_LIMITED, retry_after_seconds=wait)
        self._addresses.take(where)


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 one, which one
    subscriber owns.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:_NAME_CHARS_MAX]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
