"""What is asked of the write path, and what it answers.

Owns the forms between the callers of the write path (REST, push, import) and the coalescer. An
intent is a wish: fields are validated, nothing is decided. Never holds I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from msgspec import Struct, field

from serai.core.errors import SeraiError
from serai.model import Actor, Collection
from serai.model.fields import Value
from serai.model.rules import Op
from serai.ports.store import Denial, IdempotencyKey, MutationKey, Via


class RowIntent(Struct, frozen=True):
    """A wish for one row.

    Attributes:
        fields: canonical values: the whole row for an insert, the changed fields for an update,
            nothing for a delete.
        base: the version that the user saw. None: whatever is there now (REST without `If-Match`).
    """

    collection: Collection
    op: Op
    id: UUID
    fields: Mapping[str, Value] = field(default_factory=dict[str, Value])
    base: int | None = None


class WriteIntent(Struct, frozen=True):
    """A wish of one caller in one organisation: one write, one version, one answer.

    Attributes:
        rows: usually one. An import writes a stay with its guest and nights at once.
        once: the key under which it happens once.
        body: the request as JSON text, kept with a refusal.
        body_hash: SHA-256 of the request.
        epoch: of the versions that `rows` were made on; in another one nothing is written. 0:
            whatever it is now.
        refused: what is wrong with a mutation already: it is only to be recorded.
        via, device_id: by which way and from which device, for the audit record. A mutation says it
            by its key.
        denial: the write only records that a request was refused; it has no rows then.
    """

    org_id: int
    actor: Actor
    rows: tuple[RowIntent, ...]
    once: IdempotencyKey | MutationKey | None
    body_hash: bytes
    body: str = ""
    refused: SeraiError | None = None
    epoch: int = 0
    via: Via = "system"
    device_id: UUID | None = None
    denial: Denial | None = None


class WriteAnswer(Struct, frozen=True, gc=False):
    """What became of a write.

    Attributes:
        version: of the write; of the server's row for a conflict.
        reply: finished JSON text. For a mutation a `MutationResult`; else `{"id","version","data"}`
            of the first row, where `data` is null after a delete.
        replayed: the key was used before and this is the first answer.
        epoch: of `version`; 0 if it is not known.
    """

    version: int
    reply: str
    replayed: bool = False
    epoch: int = 0
