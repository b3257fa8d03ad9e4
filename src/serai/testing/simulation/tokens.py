"""What a since-token says, read by rules of the oracle's own.

Owns the reading: which rows a device holds according to its token (protocol/SPEC.md, "The token").
Promises to use nothing of the code that makes or continues tokens but their opening, once for each
text. Pure.
"""

from __future__ import annotations

from uuid import UUID

from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.token import SinceToken, TokenSealer
from serai.testing.simulation.history import RowId


class Tokens:
    """The tokens of one organisation in a run."""

    def __init__(self, sealer: TokenSealer, org_id: int) -> None:
        """Start with none."""
        self._sealer, self._org = sealer, org_id
        self._opened: dict[str, SinceToken] = {}
        self._filled: dict[str, int] = {}

    def read(self, user: UUID, text: str | None) -> SinceToken | None:
        """Return what a token says, None for no token."""
        if not text:
            return None
        found = self._opened.get(text)
        if found is None:
            found = self._opened[text] = self._sealer.open(text, org_id=self._org, user_id=user)
        return found

    def given(self, since: str | None, text: str, *, fills: bool, version: int) -> None:
        """Note that a page which ended at `version` or before gave a token for another.

        Args:
            fills: whether the page brought rows of a channel that is being filled.
        """
        through = version if fills or since is None else self.filled_through(since)
        self._filled[text] = max(through, self.filled_through(text))

    def filled_through(self, text: str) -> int:
        """Return the version up to which a row may have changed before the fills of a token read
        it: such a row was left out, and its log entry comes later (decision 9).
        """
        return self._filled.get(text, 0)


def coverage(token: SinceToken) -> tuple[object, ...]:
    """Return what a token stands for, but for the version."""
    return token.complete, token.filling, token.cursor


def scopes(token: SinceToken) -> set[UUID]:
    """Return the scopes that a token names."""
    return {*token.complete, *(scope for scope, _ in token.filling)}


def is_complete(token: SinceToken, scope: UUID, row: RowId) -> bool:
    """Tell whether a token calls the channel of a row complete."""
    mask = token.complete.get(scope, 0)
    if scope != ORG_SCOPE:
        mask |= token.complete.get(ALL_SCOPES, 0)
    return bool(mask >> row[0] & 1)


def stands_for(token: SinceToken, scope: UUID, row: RowId) -> bool:
    """Tell whether a token says that a row is on the device."""
    if is_complete(token, scope, row):
        return True
    number, row_id = row
    if not token.filling or token.cursor is None:
        return False
    place, mask = token.filling[0]
    if (mask & -mask).bit_length() - 1 != number or row_id > token.cursor:
        return False
    return place == scope or (place == ALL_SCOPES and scope != ORG_SCOPE)
