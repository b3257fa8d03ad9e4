"""Passwords: what is accepted, what it costs, and what a stranger cannot learn from it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from argon2 import Type, extract_parameters
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import verify_secret

from serai.core.errors import Code, SeraiError
from serai.gate.passwords import PasswordCost, Passwords, prepared

CHEAP = PasswordCost(memory_kib=64, passes=1)


@contextmanager
def cheap(**settings: int) -> Generator[Passwords]:
    passwords = Passwords(CHEAP, **settings)
    try:
        yield passwords
    finally:
        passwords.close()


async def test_the_right_password_opens_and_a_wrong_one_does_not():
    with cheap() as passwords:
        stored = await passwords.hash("a long enough one")
        assert await passwords.verify(stored, "a long enough one")
        assert not await passwords.verify(stored, "a long enough onE")
        assert not await passwords.verify(stored, "")


async def test_the_directory_holds_argon2id_with_the_documented_cost_and_never_the_password():
    passwords = Passwords()
    try:
        stored = await passwords.hash("correct horse battery")
    finally:
        passwords.close()
    held = extract_parameters(stored)
    assert stored.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert (held.salt_len, held.hash_len) == (16, 32)
    assert "correct" not in stored


async def test_two_users_with_one_password_do_not_share_a_hash():
    with cheap() as passwords:
        assert await passwords.hash("the same for both") != await passwords.hash(
            "the same for both"
        )


async def test_a_stranger_costs_as_many_hashes_as_a_user_with_a_wrong_password(monkeypatch):
    computed: list[bytes] = []

    def counting(phc: bytes, secret: bytes, kind: Type) -> bool:
        try:
            return verify_secret(phc, secret, kind)
        except VerifyMismatchError:
            # Raised after the whole hash was computed; a text that is no hash raises another.
            computed.append(phc)
            raise

    monkeypatch.setattr("argon2._password_hasher.verify_secret", counting)
    with cheap() as passwords:
        stored = await passwords.hash("a long enough one")
        for who in (stored, None):
            assert not await passwords.verify(who, "not the password")
        assert computed == [stored.encode(), passwords._decoy.encode()]


async def test_the_hash_that_a_stranger_is_checked_against_costs_what_a_users_does():
    with cheap() as passwords:
        decoy = extract_parameters(passwords._decoy)
        assert decoy == extract_parameters(await passwords.hash("a long enough one"))


async def test_nobody_signs_in_as_a_user_without_a_password():
    with cheap() as passwords:
        for guess in ("", passwords._decoy, "a long enough one"):
            assert not await passwords.verify(None, guess)


async def test_a_damaged_hash_refuses_everyone_and_breaks_nothing():
    with cheap() as passwords:
        for damaged in ("x", "$argon2id$v=19$m=64,t=1,p=1$AAAA", "$2b$12$abcdefghijklmnopqrstuv"):
            assert not await passwords.verify(damaged, "a long enough one")


@pytest.mark.parametrize(
    ("short", "accepted"),
    [("elevenchars", False), ("twelve chars", True), ("ééééééééééé", False), ("éé" * 6, True)],
)
async def test_a_password_has_at_least_twelve_characters_not_bytes(short: str, accepted: bool):
    with cheap() as passwords:
        if accepted:
            assert await passwords.hash(short)
            return
        with pytest.raises(SeraiError) as refused:
            await passwords.hash(short)
        assert refused.value.code is Code.PASSWORD_WEAK
        assert passwords.hashed == 0


async def test_twelve_marks_that_join_into_fewer_characters_are_too_short():
    with cheap() as passwords:
        with pytest.raises(SeraiError) as refused:
            await passwords.hash("e\u0301" * 6)
        assert refused.value.code is Code.PASSWORD_WEAK


async def test_a_password_of_a_book_is_refused_not_hashed():
    with cheap() as passwords:
        with pytest.raises(SeraiError) as refused:
            await passwords.hash("x" * 257)
        assert refused.value.code is Code.FIELDS_INVALID
        assert refused.value.errors == (("password", "at most 256 characters"),)
        stored = await passwords.hash("x" * 256)
        assert await passwords.verify(stored, "x" * 256)
        assert not await passwords.verify(stored, "x" * 257)


async def test_a_password_that_grows_in_its_one_spelling_is_measured_there():
    # Each of these characters is two in NFC.
    with cheap() as passwords:
        passwords.refuse_unfit("\u0958" * 128)
        with pytest.raises(SeraiError) as refused:
            passwords.refuse_unfit("\u0958" * 129, name="newPassword")
        assert refused.value.errors == (("newPassword", "at most 256 characters"),)


async def test_one_password_typed_on_two_keyboards_is_one_password():
    with cheap() as passwords:
        stored = await passwords.hash("caf\u00e9 au lait chaud")
        assert await passwords.verify(stored, "cafe\u0301 au\u00a0lait\u3000chaud")


def test_characters_that_only_look_alike_stay_different():
    assert prepared("\uff11\ufb01") == "\uff11\ufb01"


async def test_a_hash_cheaper_than_today_is_made_again_and_a_costlier_one_is_kept():
    with cheap() as old:
        stored = await old.hash("a long enough one")
    new = Passwords(PasswordCost(memory_kib=128, passes=1))
    try:
        assert new.outdated(stored)
        renewed = await new.rehash("a long enough one")
        assert not new.outdated(renewed)
    finally:
        new.close()
    with cheap() as back:
        assert not back.outdated(renewed)
        assert back.outdated("$2b$12$not-argon")


async def test_a_password_from_before_the_minimum_rose_is_still_hashed_again():
    with cheap() as passwords:
        assert await passwords.verify(await passwords.rehash("short"), "short")


async def test_a_flood_of_sign_ins_is_refused_beyond_its_places_and_the_loop_goes_on():
    with cheap(workers=1, waiting=2) as passwords:
        running, release = threading.Event(), threading.Event()

        def hold() -> bool:
            running.set()
            return release.wait(timeout=30)

        first = asyncio.ensure_future(passwords._run(hold))
        await asyncio.to_thread(running.wait, 30)
        waiting = [asyncio.ensure_future(passwords.verify(None, "guess")) for _ in range(2)]
        turn = asyncio.Event()
        asyncio.get_running_loop().call_soon(turn.set)
        await turn.wait()
        with pytest.raises(SeraiError) as refused:
            await passwords.verify(None, "one too many")
        assert refused.value.code is Code.OVERLOADED
        assert refused.value.retry_after_seconds == 2
        release.set()
        assert await first
        assert await asyncio.gather(*waiting) == [False, False]
        assert not await passwords.verify(None, "room again")


async def test_a_client_that_hangs_up_gives_its_place_back():
    with cheap(workers=1, waiting=0) as passwords:
        running, release = threading.Event(), threading.Event()

        def hold() -> bool:
            running.set()
            return release.wait(timeout=30)

        first = asyncio.ensure_future(passwords._run(hold))
        await asyncio.to_thread(running.wait, 30)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        release.set()
        assert not await passwords.verify(None, "next in line")
