"""What to send next: read from the file, under the present conditions.

Owns the making of requests. Promises that a batch which was sent and not answered is sent again
with the same mutations, so that one answer settles all of it; that nothing is pushed on bases of
another epoch; that the tokens in a request are the tokens held. Never sends or changes anything but
the mark of how far the queue was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from serai.client.file import DeviceFile
from serai.client.forms import members_decoder
from serai.client.pacing import Conditions, Pace, page_rows, push_rows
from serai.client.queue import may_push
from serai.client.states import Fill
from serai.core.limits import (
    MUTATIONS_PER_PUSH_MAX,
    PAGE_BYTES_MAX,
    UPLOAD_BYTES_PER_SECOND_MIN,
)
from serai.wire.sync import ChangesRequest, Mutation, MutationsRequest, WantedCollection


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to be made.

    Attributes:
        asked: collection -> token of the pull.
        push: the request if there are mutations to send; it contains the pull.
        etag: validator for a pull alone.
    """

    pull: ChangesRequest
    asked: dict[str, str | None]
    push: MutationsRequest | None
    etag: str | None


def next_exchange(
    file: DeviceFile,
    pace: Pace,
    conditions: Conditions,
    properties: Sequence[UUID] | None,
    cuts: int,
) -> Exchange:
    """Return the request to make now: a push with its pull if something is queued, else a pull."""
    held = file.collections()
    only = None if properties is None else list(properties)
    filling = any(each.fill is not Fill.WHOLE for each in held)
    pull = ChangesRequest(
        [WantedCollection(each.name, each.token, only) for each in held],
        page_rows(pace, conditions, filling=filling, cuts=cuts),
    )
    asked = {each.name: each.token for each in held}
    mutations = _next_batch(file, conditions) if may_push(file) else []
    push = None
    if mutations:
        device = UUID(file.meta("device") or "")
        push = MutationsRequest(device, mutations, pull, file.meta_number("epoch"))
    return Exchange(pull, asked, push, file.meta("etag") or None)


def _next_batch(file: DeviceFile, conditions: Conditions) -> list[Mutation]:
    sent_through = file.meta_number("sent_through")
    unanswered: int = file.run("queue_sent_unanswered", sent_through).fetchone()[0]
    rows = min(unanswered or push_rows(conditions), MUTATIONS_PER_PUSH_MAX)
    batch: list[Mutation] = []
    size = 0
    for number, name, row_id, op, base, after, fields in file.run("queue_head", rows).fetchall():
        size += len(fields)
        if batch and size > PAGE_BYTES_MAX:
            break
        members = {} if op == "delete" else members_decoder.decode(fields)
        batch.append(Mutation(number, name, UUID(row_id), op, base, members, after))
    return batch


def seconds_allowed(pace: Pace, exchange: Exchange) -> float:
    """Return how long the exchange may take: a batch of long notes over a slow link gets the time
    that the server grants it too, or it would be sent again and again and never arrive.
    """
    mutations = [] if exchange.push is None else exchange.push.mutations
    fields = sum(len(text) for each in mutations for text in each.fields.values())
    return pace.request_timeout + fields / UPLOAD_BYTES_PER_SECOND_MIN


def mark_sent(file: DeviceFile, push: MutationsRequest) -> None:
    """Note, before the batch leaves, how far the queue has been sent."""
    last = push.mutations[-1].number
    if last > file.meta_number("sent_through"):
        with file.transaction():
            file.set_meta("sent_through", str(last))
