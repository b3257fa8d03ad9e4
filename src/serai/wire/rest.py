"""The forms of REST: rows, lists, refusals, problems, health.

Owns what the REST operations answer, for the document and for typed clients. A row's `data` is
finished JSON text as the log stores it; the server joins such texts and never decodes them.
Requests are the fields of a collection, which the vertical declares, so they have no struct here.
Never holds behaviour.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Raw, Struct

VersionNumber = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class _Answer(Struct, frozen=True, rename="camel"):
    """An answer: every member is there."""


class RefusalForm(_Answer, frozen=True):
    """An offline write that was not applied, kept for the people concerned.

    Attributes:
        id: rises; `after` of the next page.
        mutation: as it was sent.
        at: when it was judged.
    """

    id: int
    user_id: UUID
    device_id: UUID
    number: int
    outcome: Literal["conflict", "rejected"]
    code: str
    reason: str
    collection: str | None
    row_id: UUID
    mutation: Raw
    at: str


class RefusalsAnswer(_Answer, frozen=True):
    """A page of refusals, oldest first. `next_after` is null at the end."""

    refusals: list[RefusalForm]
    next_after: int | None


class HealthAnswer(_Answer, frozen=True):
    """The state of the process that answered."""

    status: Literal["live", "ready"]


class KeySetAnswer(_Answer, frozen=True):
    """Public keys that verify access tokens (RFC 7517)."""

    keys: list[dict[str, str]]


class FieldFault(_Answer, frozen=True):
    """One field at fault, and why."""

    field: str
    reason: str


class ProblemDocument(Struct, frozen=True, omit_defaults=True):
    """An error (RFC 9457). Some codes have further members, such as `expected`.

    Attributes:
        type: relative address of the page that explains it.
        code: stable name, for programs.
        number: of the catalogue.
        remedy: what to do.
        retry: what a program may do by itself.
        request_id: for a report.
        errors: fields at fault.
    """

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    code: str
    number: int
    remedy: str
    retry: Literal["never", "later", "refresh", "refetch"]
    request_id: str
    errors: list[FieldFault] = []
