"""The lines of an export: one JSON object each, in forms that need no Serai to be read.

Owns the names of their members. Promises that a row's line is what the REST API answers for it, and
that a line of the audit record holds every part of the text that its hash covers, as it is. Never
reads anything.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec

from serai.core.clock import timestamp_text
from serai.ports.store import AuditEntry


class EntryLine(msgspec.Struct, frozen=True, rename="camel"):
    """A line of `audit.jsonl`. `content`: JSON as text, byte for byte; `hash`: hexadecimal."""

    org_id: int
    number: int
    version: int
    at: str
    user_id: UUID
    device_id: UUID | None
    via: str
    op: str
    collection: int
    row_id: UUID
    scope: UUID
    content: str
    hash: str


class RefusalLine(msgspec.Struct, frozen=True, rename="camel"):
    """A line of `refusals.jsonl`: a mutation of a device that was not applied."""

    user_id: UUID
    device_id: UUID
    number: int
    outcome: str
    code: str
    reason: str
    collection: str
    row_id: UUID
    mutation: msgspec.Raw
    at: str


class PersonLine(msgspec.Struct, frozen=True, rename="camel"):
    """A line of `people.jsonl`: who a user's id stands for."""

    user_id: UUID
    email: str
    name: str


_encode: Final = msgspec.json.Encoder().encode
_decode_entry: Final = msgspec.json.Decoder(EntryLine).decode


def row_line(row_id: UUID, version: int, doc: str) -> bytes:
    """Return a row as `GET /v1/{collection}/{id}` answers it."""
    return f'{{"id":"{row_id}","version":{version},"data":{doc}}}'.encode()


def refusal_line(found: tuple[Any, ...], collection: str) -> bytes:
    """Return a refusal. `found`: a row of the statement `refusals`."""
    _, user, device, number, outcome, code, reason, _, row_id, body, at = found
    mutation = msgspec.Raw(body.encode())
    names = (user, device, number, outcome, code, reason, collection, row_id, mutation)
    return _encode(RefusalLine(*names, timestamp_text(at)))


def person_line(user_id: UUID, email: str, name: str) -> bytes:
    """Return a person."""
    return _encode(PersonLine(user_id, email, name))


def entry_line(entry: AuditEntry) -> bytes:
    """Return an entry of the audit record."""
    return _encode(
        EntryLine(
            entry.org_id,
            entry.number,
            entry.version,
            entry.at,
            entry.user_id,
            entry.device_id,
            entry.via,
            entry.op,
            entry.collection,
            entry.row_id,
            entry.scope,
            entry.content,
            entry.hash.hex(),
        )
    )


def entry_of_line(line: bytes) -> AuditEntry:
    """Return the entry that a line says.

    Raises:
        msgspec.DecodeError, ValueError: it is no such line.
    """
    said = _decode_entry(line)
    return AuditEntry(
        said.org_id,
        said.number,
        said.at,
        said.version,
        said.user_id,
        said.device_id,
        said.via,
        said.op,
        said.collection,
        said.row_id,
        said.scope,
        said.content,
        bytes.fromhex(said.hash),
    )
