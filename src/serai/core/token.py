"""The since-token: what a device holds, sealed.

Owns the token's fields, its bytes and its seal. A token is the whole memory of a device's progress:
the server stores nothing per device but a mutation number. Promises (I7): a token that opens was
made by a holder of the key, for this organisation and this user. Never reads a database.

The state is one version for everything. At a page's end the device holds exactly the rows as of
`version` in the channels of `complete` and in the part of the first filling channel up to `cursor`.
Log entries of a filling channel beyond the
cursor are not sent: the fill will bring those rows. So a channel that is gained needs no position
of its own and no second pass over the log. (Rejected: a position per channel, 16 bytes each, and a
merge step with a cross-channel window in which one transaction is half visible.)

Channels are filled collection by collection, so with many properties the order of a fill alternates
between them. Sealed, it is a few runs that rise by (collection, scope), and a run is a channel set:
24 bytes a property. (Tried before: the channels one by one. 158 properties with 13 collections made
a token longer than a server takes, and such a device never synced.)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from serai.core.channels import Channel, ChannelSet, contains, normal, numbers
from serai.core.errors import Code, SeraiError
from serai.core.limits import TOKEN_BYTES_MAX

_FORMAT: Final = 2
_MAC_BYTES: Final = 16
_HEAD: Final = struct.Struct(">BBq16sIQHHB")
_GROUP: Final = struct.Struct(">16sQ")
_SECRET_BYTES_MIN: Final = 16
_KEY_ID_MAX: Final = 255
_CURSOR: Final = struct.Struct(">16s")
_FRAME_BYTES: Final = 120
"""Of a sealed token, beside its groups: head, cursor and seal in base64."""
_RUN_STARTS: Final = 1 << 63
"""In the mask of a filling group: no collection has this number."""


@dataclass(frozen=True, slots=True)
class Position:
    """A point of an organisation's history: (epoch, version). Versions of different epochs do not
    compare.
    """

    epoch: int
    version: int


def latest(first: Position | None, second: Position | None) -> Position | None:
    """Return the position that stands for both, None if only the newest state does: they are of two
    epochs, or there is none.
    """
    if first is None or second is None:
        return first or second
    if first.epoch != second.epoch:
        return None
    return max(first, second, key=lambda position: position.version)


@dataclass(frozen=True, slots=True)
class SinceToken:
    """A device's progress.

    Attributes:
        org_id: the organisation the token was made for.
        user_id: the user (or machine) the token was made for.
        position: everything up to here is on the device.
        complete: channels that are on the device whole.
        filling: channels still being filled, in this order, as (scope, mask) groups.
        cursor: id of the last row sent of the first filling channel, None at its start.
    """

    org_id: int
    user_id: UUID
    position: Position
    complete: ChannelSet = field(default_factory=dict[UUID, int])
    filling: tuple[tuple[UUID, int], ...] = ()
    cursor: UUID | None = None

    def first_filling(self) -> Channel | None:
        """Return the channel that is being filled now, None when all are complete."""
        if not self.filling:
            return None
        scope, mask = self.filling[0]
        return scope, numbers(mask)[0]

    def delivers(self, scope: UUID, number: int, row_id: UUID) -> bool:
        """Tell whether a log entry of this row belongs on the device now."""
        if contains(self.complete, scope, number):
            return True
        first = self.first_filling()
        if first is None or self.cursor is None or first[1] != number:
            return False
        return contains({first[0]: 1 << number}, scope, number) and row_id <= self.cursor


class TokenUnreadable(ValueError):
    """A text is no token of this installation; the message says why. For an operator only: whoever
    sent it is told `token_invalid` and nothing else.
    """


class TokenSealer:
    """Seals and opens tokens with HMAC-SHA256, truncated to 128 bits (RFC 2104, section 5).

    Args:
        keys: key id (0 to 255) -> secret of at least 16 bytes. The highest id seals, all of them
            open, so a key is rotated by adding one and, after the tombstone horizon, removing the
            old one.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Keep the keys; raises ValueError for no key, a short key, or an id out of range."""
        if not keys or any(
            len(k) < _SECRET_BYTES_MIN or not 0 <= i <= _KEY_ID_MAX for i, k in keys.items()
        ):
            raise ValueError("token keys: at least one, ids 0 to 255, secrets of 16 bytes or more")
        self._keys = dict(keys)
        self._current = max(keys)

    def seal(self, token: SinceToken) -> str:
        """Return the token as the text that a device keeps.

        Raises:
            SeraiError: `body_invalid` if the channels are too many for one token.
        """
        filling = _runs(token.filling)
        groups = [*normal(token.complete).items(), *filling]
        if len(groups) * _GROUP.size * 4 // 3 + _FRAME_BYTES > TOKEN_BYTES_MAX:
            raise SeraiError(
                Code.BODY_INVALID,
                "These channels do not fit into one token: name fewer properties in a pull.",
            )
        payload = _HEAD.pack(
            _FORMAT,
            self._current,
            token.org_id,
            token.user_id.bytes,
            token.position.epoch,
            token.position.version,
            len(groups) - len(filling),
            len(filling),
            token.cursor is not None,
        )
        payload += b"".join(_GROUP.pack(scope.bytes, mask) for scope, mask in groups)
        if token.cursor is not None:
            payload += _CURSOR.pack(token.cursor.bytes)
        return _spelled(payload + self._mac(self._current, payload))

    def open(self, text: str, *, org_id: int, user_id: UUID) -> SinceToken:
        """Return the state in `text`.

        Raises:
            SeraiError: `token_invalid` if it was not made by this server, was changed, or belongs
                to another organisation or user. The cases are not told apart to the caller.
        """
        try:
            token = self.inspect(text)
        except TokenUnreadable:
            raise SeraiError(Code.TOKEN_INVALID) from None
        if token.org_id != org_id or token.user_id != user_id:
            raise SeraiError(Code.TOKEN_INVALID)
        return token

    def inspect(self, text: str) -> SinceToken:
        """Return the state in `text`, whoever it was made for. For an operator's eyes: a request
        is answered by `open`.

        Raises:
            TokenUnreadable: it was not made with these keys, or was changed.
        """
        if len(text) > TOKEN_BYTES_MAX:
            raise TokenUnreadable(f"it is longer than {TOKEN_BYTES_MAX} characters")
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise TokenUnreadable("it is not base64: cut, or no token at all") from None
        if _spelled(raw) != text:
            # Base64 has several spellings of the same bytes; a token has one.
            raise TokenUnreadable("its base64 is not spelled as a token's is")
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(payload) < _HEAD.size:
            raise TokenUnreadable("it is too short: cut, or no token at all")
        if payload[0] != _FORMAT:
            raise TokenUnreadable("it has the form of another release, or is no token at all")
        if payload[1] not in self._keys:
            raise TokenUnreadable("its key is not here: another installation's, or a key removed")
        if not hmac.compare_digest(mac, self._mac(payload[1], payload)):
            raise TokenUnreadable("its seal does not hold: another installation's, or changed")
        return _unpack(payload)

    def would_spell(self, text: str) -> bool:
        """Tell whether `seal` gives this very text for the state in it. For a text that opened."""
        return base64.urlsafe_b64decode(text[:4])[1] == self._current

    def _mac(self, key_id: int, payload: bytes) -> bytes:
        return hmac.digest(self._keys[key_id], payload, hashlib.sha256)[:_MAC_BYTES]


def _unpack(payload: bytes) -> SinceToken:
    _, _, org_id, user, epoch, version, complete_count, filling_count, has_cursor = (
        _HEAD.unpack_from(payload)
    )
    end = _HEAD.size + _GROUP.size * (complete_count + filling_count)
    groups = [
        (UUID(bytes=scope), mask) for scope, mask in _GROUP.iter_unpack(payload[_HEAD.size : end])
    ]
    return SinceToken(
        org_id=org_id,
        user_id=UUID(bytes=user),
        position=Position(epoch, version),
        complete=dict(groups[:complete_count]),
        filling=_unrolled(groups[complete_count:]),
        cursor=UUID(bytes=payload[end : end + _CURSOR.size]) if has_cursor else None,
    )


def grouped(order: Iterable[Channel]) -> tuple[tuple[UUID, int], ...]:
    """Return channels in their order as (scope, mask) groups: neighbours of one scope, rising, are
    one group.
    """
    groups: list[tuple[UUID, int]] = []
    for scope, number in order:
        if groups and groups[-1][0] == scope and groups[-1][1] < 1 << number:
            groups[-1] = (scope, groups[-1][1] | 1 << number)
        else:
            groups.append((scope, 1 << number))
    return tuple(groups)


def ungrouped(groups: Iterable[tuple[UUID, int]]) -> list[Channel]:
    """Return the channels of (scope, mask) groups in the order of a fill."""
    return [(scope, number) for scope, mask in groups for number in numbers(mask)]


def _runs(filling: Iterable[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Return the order of a fill as channel sets, one for each run that rises by (collection,
    scope).
    """
    runs: list[ChannelSet] = []
    last = (0, UUID(int=0))
    for scope, number in ungrouped(filling):
        if not runs or (number, scope) <= last:
            runs.append({})
        runs[-1][scope] = runs[-1].get(scope, 0) | 1 << number
        last = (number, scope)
    return [
        (scope, mask if place else mask | _RUN_STARTS)
        for run in runs
        for place, (scope, mask) in enumerate(sorted(run.items()))
    ]


def _unrolled(groups: Iterable[tuple[UUID, int]]) -> tuple[tuple[UUID, int], ...]:
    """Return the filling groups that `_runs` was given."""
    runs: list[list[tuple[int, UUID]]] = []
    for scope, mask in groups:
        if mask & _RUN_STARTS:
            runs.append([])
        runs[-1] += [(number, scope) for number in numbers(mask & ~_RUN_STARTS)]
    return grouped((scope, number) for run in runs for number, scope in sorted(run))


def _spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
