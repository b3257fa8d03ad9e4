"""The since-token: what is sealed comes back, and nothing else opens.

Owns the tests of `serai.core.token`. A forged token is made by hand here: bytes are altered one by
one, cut, joined and sealed with other keys. Whatever the forger does, the answer is one and the
same refusal (I7). Never reads a store.
"""

from __future__ import annotations

import base64
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serai.core.channels import ChannelSet, normal
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.limits import TOKEN_BYTES_MAX
from serai.core.token import (
    Position,
    SinceToken,
    TokenSealer,
    TokenUnreadable,
    grouped,
    ungrouped,
)

KEY = b"sixteen bytes ok"
USER = UUID("0198c0de-0000-7000-8000-000000000001")
OTHER_USER = UUID("0198c0de-0000-7000-8000-000000000002")
SEA, HILL = UUID(int=0xA), UUID(int=0xB)
SEALER = TokenSealer({1: KEY})

scopes = st.sampled_from([ORG_SCOPE, SEA, HILL, ALL_SCOPES]) | st.uuids()
orders = st.lists(st.tuples(scopes, st.integers(1, 62)), unique=True, max_size=30)
tokens = st.builds(
    SinceToken,
    org_id=st.integers(-(2**63), 2**63 - 1),
    user_id=st.uuids(),
    position=st.builds(Position, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    complete=st.dictionaries(scopes, st.integers(0, 2**63 - 1), max_size=5).map(normal),
    filling=orders.map(grouped),
    cursor=st.none() | st.uuids(),
)


def opened(text: str, token: SinceToken) -> SinceToken:
    return SEALER.open(text, org_id=token.org_id, user_id=token.user_id)


def refused(text: str, token: SinceToken, sealer: TokenSealer = SEALER) -> None:
    with pytest.raises(SeraiError) as caught:
        sealer.open(text, org_id=token.org_id, user_id=token.user_id)
    assert caught.value.code is Code.TOKEN_INVALID
    assert caught.value.detail == ""
    assert caught.value.extra == {}


def example_token(**changed: object) -> SinceToken:
    members: dict[str, object] = {
        "org_id": 7,
        "user_id": USER,
        "position": Position(1, 42),
        "complete": {ORG_SCOPE: 0b110, SEA: 0b11000},
        "filling": ((HILL, 0b11000),),
        "cursor": UUID(int=99),
        **changed,
    }
    return SinceToken(**members)  # pyright: ignore[reportArgumentType] - members by name, each test gives the right types


@given(tokens)
def test_a_device_gets_back_exactly_the_progress_it_had(token) -> None:
    text = SEALER.seal(token)
    assert opened(text, token) == token
    assert SEALER.seal(opened(text, token)) == text


@given(tokens)
def test_the_order_of_a_fill_survives(token) -> None:
    assert ungrouped(opened(SEALER.seal(token), token).filling) == ungrouped(token.filling)


@given(orders)
def test_grouping_the_channels_of_a_fill_keeps_each_of_them_in_its_place(order) -> None:
    assert ungrouped(grouped(order)) == order


@settings(max_examples=25)
@given(tokens, st.data())
def test_a_token_with_one_altered_byte_does_not_open(token, data) -> None:
    text = SEALER.seal(token)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for position in range(len(raw)):
        flip = data.draw(st.integers(1, 255)) if position % 16 == 0 else 1 << position % 8
        altered = bytearray(raw)
        altered[position] ^= flip
        refused(base64.urlsafe_b64encode(altered).decode().rstrip("="), token)


@settings(max_examples=10)
@given(tokens)
def test_a_token_with_one_altered_character_does_not_open(token) -> None:
    """Each character, each of the alphabet at the last one: its low bits are no part of a byte."""
    text = SEALER.seal(token)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for position in range(len(text)):
        other = alphabet[(alphabet.index(text[position]) + 1) % 64]
        refused(text[:position] + other + text[position + 1 :], token)
    for other in set(alphabet) - {text[-1]}:
        refused(text[:-1] + other, token)


@settings(max_examples=10)
@given(tokens)
def test_a_token_that_lost_its_end_or_its_start_does_not_open(token) -> None:
    text = SEALER.seal(token)
    for length in range(len(text)):
        refused(text[:length], token)
        refused(text[len(text) - length :], token)


@pytest.mark.parametrize("form", ["{}=", "{}==", " {}", "{}\n", "{}A", "A{}", "{}.{}", "{}\x00"])
def test_a_token_has_one_spelling(form: str) -> None:
    token = example_token()
    text = SEALER.seal(token)
    refused(form.replace("{}", text), token)


def test_a_token_in_the_other_base64_alphabet_does_not_open() -> None:
    tries = (example_token(position=Position(1, n)) for n in range(1_000))
    token, text = next((t, s) for t in tries if "-" in (s := SEALER.seal(t)))
    refused(text.replace("-", "+"), token)


@pytest.mark.parametrize(
    "text", ["", "A", "=", "\u00e9" * 40, "\ud800", "{}", "null", "A" * 100, "A" * 101]
)
def test_what_was_never_a_token_is_refused_and_nothing_breaks(text: str) -> None:
    refused(text, example_token())


def test_another_organisation_cannot_use_the_token() -> None:
    refused(SEALER.seal(example_token()), example_token(org_id=8))
    refused(SEALER.seal(example_token()), example_token(org_id=-7))


def test_a_colleague_cannot_use_the_token() -> None:
    refused(SEALER.seal(example_token()), example_token(user_id=OTHER_USER))


def test_a_token_of_another_server_does_not_open() -> None:
    token = example_token()
    refused(TokenSealer({1: KEY[:-1] + b"!"}).seal(token), token)
    refused(TokenSealer({2: KEY}).seal(token), token)


def test_the_key_number_in_a_token_cannot_be_chosen_by_its_bearer() -> None:
    both = TokenSealer({1: KEY, 2: b"another secret of 16"})
    token = example_token()
    raw = bytearray(base64.urlsafe_b64decode(both.seal(token) + "=="))
    assert raw[1] == 2
    raw[1] = 1
    refused(base64.urlsafe_b64encode(raw).decode().rstrip("="), token, both)


def test_a_key_is_rotated_without_a_device_noticing() -> None:
    old, token = TokenSealer({1: KEY}), example_token()
    both = TokenSealer({1: KEY, 2: b"another secret of 16"})
    assert both.open(old.seal(token), org_id=7, user_id=USER) == token
    new = TokenSealer({2: b"another secret of 16"})
    assert new.open(both.seal(token), org_id=7, user_id=USER) == token
    refused(old.seal(token), token, new)


def test_a_token_of_an_old_key_is_sealed_anew() -> None:
    both = TokenSealer({1: KEY, 2: b"another secret of 16"})
    assert both.would_spell(both.seal(example_token()))
    assert not both.would_spell(TokenSealer({1: KEY}).seal(example_token()))


@pytest.mark.parametrize("keys", [{}, {1: b"short"}, {-1: KEY}, {256: KEY}, {1: KEY, 2: b""}])
def test_a_server_without_a_real_secret_does_not_start(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="secrets of 16 bytes or more"):
        TokenSealer(keys)


def chain(properties: int) -> ChannelSet:
    return {ORG_SCOPE: 0b1110} | {
        UUID(int=(n << 80) + 1): 0b1111_1111_1111_0000 for n in range(1, properties + 1)
    }


def fresh_fill(channel_set: ChannelSet) -> SinceToken:
    """Collection by collection, each at every property: the order of a first sync."""
    order = [(s, n) for n in range(63) for s in sorted(channel_set) if channel_set[s] >> n & 1]
    return example_token(complete={}, filling=grouped(order))


@pytest.mark.parametrize("properties", [5, 327, 1_000])
def test_a_chain_of_many_properties_can_begin_to_sync(properties: int) -> None:
    token = fresh_fill(chain(properties))
    text = SEALER.seal(token)
    assert len(text) <= 120 + 32 * (properties + 1) <= TOKEN_BYTES_MAX
    assert opened(text, token) == token


def test_a_chain_can_go_on_wherever_its_fill_stopped() -> None:
    order = ungrouped(fresh_fill(chain(327)).filling)
    for done in range(0, len(order), 97):
        complete = normal(chain(327)) if done == 0 else {s: 1 << n for s, n in order[:done]}
        token = example_token(complete=complete, filling=grouped(order[done:]))
        text = SEALER.seal(token)
        assert len(text) <= 120 + 64 * 328 < TOKEN_BYTES_MAX
        assert ungrouped(opened(text, token).filling) == order[done:]


def test_a_token_that_a_server_would_not_take_back_is_never_given() -> None:
    with pytest.raises(SeraiError) as caught:
        SEALER.seal(example_token(complete=chain(3_000), filling=(), cursor=None))
    assert caught.value.code is Code.BODY_INVALID
    assert "fewer properties" in caught.value.detail


@pytest.mark.parametrize("groups", range(2_035, 2_060))
def test_the_longest_token_that_is_given_is_one_that_opens(groups: int) -> None:
    token = example_token(complete=chain(groups), filling=())
    try:
        text = SEALER.seal(token)
    except SeraiError:
        assert groups > 2_040
    else:
        assert len(text) <= TOKEN_BYTES_MAX
        assert opened(text, token) == token


def test_a_text_longer_than_any_token_is_refused_before_it_is_looked_at() -> None:
    refused("A" * (TOKEN_BYTES_MAX + 1), example_token())


def test_the_decision_on_sizes_holds_24_bytes_a_property() -> None:
    def size(properties: int) -> int:
        text = SEALER.seal(
            example_token(complete=normal(chain(properties)), filling=(), cursor=None)
        )
        return len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))

    assert size(1) - size(0) == 24
    assert size(327) - size(0) == 327 * 24
    assert len(SEALER.seal(example_token(complete=chain(327), filling=()))) < 12 * 1024


def test_a_change_reaches_a_device_only_where_it_holds_the_channel_or_that_part_of_it() -> None:
    low, mid, high = UUID(int=10), UUID(int=20), UUID(int=30)
    token = example_token(complete={SEA: 0b10}, filling=((HILL, 0b1100),), cursor=mid)
    assert token.first_filling() == (HILL, 2)
    assert token.delivers(SEA, 1, high)
    assert token.delivers(HILL, 2, low)
    assert token.delivers(HILL, 2, mid)
    assert not token.delivers(HILL, 2, high)
    assert not token.delivers(HILL, 3, low)
    assert not token.delivers(SEA, 2, low)
    assert not token.delivers(ORG_SCOPE, 1, low)


def test_before_its_first_row_a_fill_delivers_nothing_from_the_log() -> None:
    token = example_token(complete={}, filling=((ALL_SCOPES, 0b10),), cursor=None)
    assert not token.delivers(SEA, 1, UUID(int=1))
    begun = example_token(complete={}, filling=((ALL_SCOPES, 0b10),), cursor=UUID(int=5))
    assert begun.delivers(SEA, 1, UUID(int=5))
    assert not begun.delivers(ORG_SCOPE, 1, UUID(int=5))


def test_a_device_that_is_whole_fills_nothing() -> None:
    token = example_token(filling=(), cursor=None)
    assert token.first_filling() is None
    assert not token.delivers(HILL, 3, UUID(int=1))


def test_an_operator_reads_a_token_whoever_it_was_made_for() -> None:
    token = example_token()
    assert SEALER.inspect(SEALER.seal(token)) == token


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "too short"),
        ("hello", "not base64"),
        ("AgEA", "too short"),
        ("A" * 200, "another release"),
        ("A" * (TOKEN_BYTES_MAX + 1), "longer than"),
        ("\u00e9" * 40, "not base64"),
    ],
)
def test_an_operator_is_told_why_a_text_is_no_token(text: str, why: str) -> None:
    with pytest.raises(TokenUnreadable, match=why):
        SEALER.inspect(text)


def test_an_operator_is_told_that_a_token_is_another_installations() -> None:
    sealed = SEALER.seal(example_token())
    with pytest.raises(TokenUnreadable, match="seal does not hold"):
        TokenSealer({1: b"another's sixteen bytes"}).inspect(sealed)
    with pytest.raises(TokenUnreadable, match="key is not here"):
        TokenSealer({2: KEY}).inspect(sealed)
