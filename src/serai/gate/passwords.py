"""Passwords: argon2id, in a few threads, and as much work for a stranger as for a user.

Owns how a password becomes text in the directory and how one is checked. Promises that hashing
never holds up the event loop, that a flood of sign-ins takes a bounded number of cores and bytes,
and that an e-mail nobody has costs the same one hash as a wrong password. Never logs or keeps
a password in the clear.

The text is prepared as RFC 8265 (OpaqueString) says: every kind of space becomes a plain space,
then NFC. So one keyboard's composed `é` equals another's decomposed one, which is all that a person
can be surprised by. NFKC, which NIST SP 800-63B-3 names, was rejected: it also makes different
characters equal.
"""

from __future__ import annotations

import asyncio
import base64
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from serai.core.errors import Code, SeraiError
from serai.core.limits import (
    PASSWORD_CHARS_MAX,
    PASSWORD_CHARS_MIN,
    PASSWORD_WAITING_MAX,
    PASSWORD_WORKERS_MAX,
)

_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """The work of one hash. The default is the first line of OWASP's table: 45 ms here.

    RFC 9106's second choice (64 MiB, 3 passes, 4 lanes) takes 112 ms on both cores of this machine:
    twelve strangers a second would then own it. See docs/decisions/0007-identity.md.
    """

    memory_kib: int = 47_104
    passes: int = 1
    lanes: int = 1


def prepared(password: str) -> str:
    """Return the password in the one spelling that is hashed."""
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    return unicodedata.normalize("NFC", spaced)


class Passwords:
    """Hashes and checks passwords.

    Args:
        cost: of new hashes; a stored hash that is cheaper is made again at the next sign-in.
        workers: hashes at once.
        waiting: hashes that may wait for a worker.

    Attributes:
        hashed: passwords hashed so far.
        checked: passwords checked so far, for strangers too.
    """

    def __init__(
        self,
        cost: PasswordCost | None = None,
        *,
        workers: int = min(PASSWORD_WORKERS_MAX, os.cpu_count() or 1),
        waiting: int = PASSWORD_WAITING_MAX,
    ) -> None:
        self._cost = cost or PasswordCost()
        self._hasher = PasswordHasher(
            time_cost=self._cost.passes,
            memory_cost=self._cost.memory_kib,
            parallelism=self._cost.lanes,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
            type=Type.ID,
        )
        self._decoy = _decoy(self._cost)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="serai-password")
        self._places = workers + waiting
        self._taken = 0
        self.hashed = 0
        self.checked = 0

    async def hash(self, password: str) -> str:
        """Return the hash of a new password, in PHC form.

        Raises:
            SeraiError: `password_weak` if it is too short, `fields_invalid` if it is too long,
                `overloaded`.
        """
        self.refuse_unfit(password)
        return await self.rehash(password)

    def refuse_unfit(self, password: str, *, name: str = "password") -> None:
        """Refuse what is no password for anyone; `name` is the field's in the error.

        Raises:
            SeraiError: `password_weak` if it is too short, `fields_invalid` if it is too long.
        """
        text = prepared(password)
        if len(text) < PASSWORD_CHARS_MIN:
            raise SeraiError(Code.PASSWORD_WEAK)
        if len(text) > PASSWORD_CHARS_MAX:
            reason = f"at most {PASSWORD_CHARS_MAX} characters"
            raise SeraiError(Code.FIELDS_INVALID, errors=((name, reason),))

    async def rehash(self, password: str) -> str:
        """Return a new hash of a password that was accepted before, whatever its length.

        Raises:
            SeraiError: `overloaded`.
        """
        text = prepared(password)
        self.hashed += 1
        return await self._run(lambda: self._hasher.hash(text))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether `password` is the one behind `stored`; None stands for a user who is not
        there.

        Raises:
            SeraiError: `overloaded`.
        """
        text = prepared(password)
        self.checked += 1
        # Too long for any stored password; cut, so that the answer takes no longer than another
        # wrong one.
        fits = len(text) <= PASSWORD_CHARS_MAX
        matches = await self._run(lambda: self._matches(stored, text[:PASSWORD_CHARS_MAX]))
        return matches and fits and stored is not None

    def outdated(self, stored: str) -> bool:
        """Tell whether the hash is cheaper than new ones are, or of another kind."""
        try:
            held = extract_parameters(stored)
        except InvalidHashError:
            return True
        return (
            held.type is not Type.ID
            or held.memory_cost < self._cost.memory_kib
            or held.time_cost < self._cost.passes
            or held.hash_len < _HASH_BYTES
        )

    def close(self) -> None:
        """End the threads; hashes that still wait are given up."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _matches(self, stored: str | None, text: str) -> bool:
        try:
            return self._hasher.verify(stored or self._decoy, text)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._taken >= self._places:
            raise SeraiError(Code.OVERLOADED, "Too many people sign in.", retry_after_seconds=2)
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._taken -= 1


def _decoy(cost: PasswordCost) -> str:
    """Return a hash of nothing: checking against it costs what a real one costs, and fails."""
    salt, digest = (
        base64.b64encode(os.urandom(size)).decode().rstrip("=")
        for size in (_SALT_BYTES, _HASH_BYTES)
    )
    numbers = f"m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
    return f"$argon2id$v=19${numbers}${salt}${digest}"
