"""The texts of replies, as they are stored for replays.

Owns the JSON of an answered write. `{version}` as the member `version` stands for the version that
the write gets. A user may write `{version}` into a note, and a reply may have its number already;
but within a text of JSON no quote stands without its backslash, so the mark with its member's name
is never a user's. Promises that a replay's text is the first answer's, byte for byte.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from serai.core.errors import Code, SeraiError
from serai.ports.store import Refusal

VERSION_MARK: Final = "{version}"
_MARKED: Final = f'"version":{VERSION_MARK}'
_encoder = msgspec.json.Encoder()


def applied_reply(
    number: int, row_id: UUID, fields: tuple[str, ...], *, version: str, doc: str | None
) -> str:
    """Return a `MutationResult` for a mutation that was applied or merged."""
    merged = f',"fields":{_text(list(fields))}' if fields else ""
    row = f',"row":{doc}' if doc is not None else ""
    status = "merged" if fields else "applied"
    head = f'"number":{number},"status":"{status}","id":"{row_id}","version":{version}'
    return f"{{{head}{merged}{row}}}"


def plainly_applied(reply: str, number: int) -> bool:
    """Tell whether a reply is that of a mutation which was applied, and not merged."""
    return reply.startswith(f'{{"number":{number},"status":"applied",')


def refusal_reply(
    number: int, row_id: UUID, error: SeraiError, *, version: int, doc: str | None
) -> str:
    """Return a `MutationResult` for a mutation that was not applied; `doc` is the server's row in a
    conflict.
    """
    word = error.extra.get("rule")
    code = word if isinstance(word, str) else error.code.text
    status = "conflict" if error.code.text == "conflict" else "rejected"
    reason = _text(error.detail or error.code.kind.title)
    row = f',"row":{doc}' if doc is not None else ""
    errors = f',"errors":{_text([list(pair) for pair in error.errors])}' if error.errors else ""
    return (
        f'{{"number":{number},"status":"{status}","id":"{row_id}","version":{version}'
        f',"code":{_text(code)},"reason":{reason}{errors}{row}}}'
    )


def reused_reply(number: int, row_id: UUID) -> str:
    """Return the result of a mutation whose number another one has used: its device has to number
    it anew, and what came with it is not concerned.
    """
    return refusal_reply(number, row_id, SeraiError(Code.KEY_REUSED), version=0, doc=None)


def refusal_again_reply(number: int, refusal: Refusal) -> str:
    """Return what the list of refusals still knows of a mutation, after its reply is gone."""
    return (
        f'{{"number":{number},"status":"{refusal.outcome}","id":"{refusal.row_id}","version":0'
        f',"code":{_text(refusal.code)},"reason":{_text(refusal.reason)}}}'
    )


def lost_reply(number: int, row_id: UUID, version: int) -> str:
    """Return what the number alone tells: the mutation was applied. The rows come with the next
    pull.
    """
    return f'{{"number":{number},"status":"applied","id":"{row_id}","version":{version}}}'


def rest_reply(row_id: UUID, *, version: str, doc: str | None) -> str:
    """Return the answer of the REST operations: the row as stored, `data` null after a delete."""
    return f'{{"id":"{row_id}","version":{version},"data":{doc or "null"}}}'


def with_version(reply: str, version: int) -> str:
    """Put the version in."""
    return reply.replace(_MARKED, f'"version":{version}', 1)


def _text(value: object) -> str:
    return _encoder.encode(value).decode()
