"""Push: an ordered batch of offline writes from one device, a result for each.

Owns how a request becomes intents. Promises that one mutation never fails the batch: whatever is
wrong with it alone is recorded and answered as `rejected`. Order is the device's: numbers are
consecutive, and a mutation that builds on an earlier one of the same request (`after`) is decided
on the version that one got.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from serai.core.clock import timestamp_text
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.limits import ROW_BYTES_MAX
from serai.core.token import TokenSealer
from serai.gate.caller import Caller
from serai.log.coalesce import Coalescer
from serai.log.intent import RowIntent, WriteAnswer, WriteIntent
from serai.log.replies import plainly_applied, reused_reply
from serai.model import Collection, Scope
from serai.model.validate import row_values
from serai.ports.store import MutationKey, Store
from serai.readers.sync.pull import pull
from serai.telemetry.recorder import SILENT, Recorder
from serai.wire.sync import Mutation, MutationsRequest, RawMutationsAnswer

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_RESERVED: Final = frozenset({ORG_SCOPE.int, ALL_SCOPES.int})
_UNKNOWN: Final = Collection(
    name="unknown",
    number=62,
    doc="Stands for a collection that is not declared.",
    scope=Scope.ORGANISATION,
    fields={},
)


async def push(
    store: Store,
    coalescer: Coalescer,
    caller: Caller,
    sealer: TokenSealer,
    request: MutationsRequest,
    *,
    now: datetime,
    recorder: Recorder = SILENT,
) -> RawMutationsAnswer:
    """Apply a device's mutations in order; then answer its pull, if it asks for one.

    Raises:
        SeraiError: numbers that do not follow each other, `mutation_gap`, `must_refetch` for bases
            of another epoch, a device of another user,
            or a shard that cannot take writes now. Mutations before the failure may have been
            applied: sent again, they get the same answers.
    """
    numbers = [m.number for m in request.mutations]
    if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise SeraiError(
            Code.BODY_INVALID, "The numbers of mutations follow each other without gaps."
        )
    answers: dict[int, WriteAnswer] = {}
    stands: dict[int, _Stand | None] = {}
    built_on = {mutation.after for mutation in request.mutations}
    reused = False
    for run in _runs(request.mutations):
        if reused:
            # Its device numbers these anew as well: in their order, after what they were made on.
            for mutation in run:
                again = reused_reply(mutation.number, mutation.id)
                answers[mutation.number] = WriteAnswer(0, again)
            continue
        below = [_below(mutation, stands) for mutation in run]
        futures = [
            coalescer.enqueue(_intent(caller, request, mutation, _base(mutation, stand)))
            for mutation, stand in zip(run, below, strict=True)
        ]
        await _all_done(futures)
        for mutation, stand, future in zip(run, below, futures, strict=True):
            answer = answers[mutation.number] = future.result()
            if mutation.number not in built_on and plainly_applied(answer.reply, mutation.number):
                # Nearly every one: what else its text says is for the device.
                recorder.pushed("applied", None, replayed=answer.replayed)
                continue
            earlier = _earlier_decoder.decode(answer.reply)
            reused = reused or earlier.code == Code.KEY_REUSED.text
            if mutation.number in built_on:
                stands[mutation.number] = _stand(mutation, stand, earlier)
            recorder.pushed(earlier.status, earlier.code, replayed=answer.replayed)
    pulled = None
    if request.pull is not None:
        found = await pull(store, caller, sealer, request.pull, now=now, recorder=recorder)
        pulled = found.answer
    return RawMutationsAnswer(
        results=[msgspec.Raw(_text(answers[number]).encode()) for number in numbers],
        server_time=timestamp_text(now),
        next_number=numbers[-1] + 1 if numbers else 0,
        pull=pulled,
    )


async def _all_done(futures: Sequence[asyncio.Future[WriteAnswer]]) -> None:
    """Wait until each has its answer or its error. (`asyncio.gather` costs as much as to make the
    writes.)
    """
    for future in futures:
        try:
            await future
        except asyncio.CancelledError:
            # Nobody waits for the others any more.
            for each in futures:
                each.cancel()
            raise
        except Exception:  # noqa: BLE001, S112 - `result` raises it again, when all are done
            continue


def _text(answer: WriteAnswer) -> str:
    if not answer.replayed:
        return answer.reply
    return answer.reply[:-1] + ',"replayed":true}'


def _runs(mutations: Sequence[Mutation]) -> list[list[Mutation]]:
    """Split the batch before each mutation that needs the answer of one in the same run."""
    runs: list[list[Mutation]] = []
    first = 0
    for mutation in mutations:
        if not runs or (mutation.after is not None and mutation.after >= first):
            runs.append([])
            first = mutation.number
        runs[-1].append(mutation)
    return runs


def _intent(
    caller: Caller, request: MutationsRequest, mutation: Mutation, base: int
) -> WriteIntent:
    text = same = _encode(mutation)
    if mutation.base or mutation.after is not None:
        # The same mutation, when it is sent again: a device may know a newer base then.
        same = _encode(msgspec.structs.replace(mutation, base=0, after=None))
    refused: SeraiError | None = None
    collection = caller.vertical.by_name.get(mutation.collection, _UNKNOWN)
    row = RowIntent(collection, mutation.op, mutation.id, {}, base)
    try:
        if collection is _UNKNOWN:
            raise SeraiError(Code.NOT_FOUND, "There is no collection of this name.")
        if mutation.id.int in _RESERVED:
            raise SeraiError(Code.FIELDS_INVALID, errors=(("id", "is reserved"),))
        if mutation.op == "delete" and mutation.fields:
            raise SeraiError(Code.BODY_INVALID, "A delete has no fields.")
        if mutation.op != "delete":
            values = row_values(collection, _fields(mutation), mutation.op)
            row = RowIntent(collection, mutation.op, mutation.id, values, row.base)
    except SeraiError as error:
        refused = error
    return WriteIntent(
        org_id=caller.org_id,
        actor=caller,
        rows=(row,),
        once=MutationKey(caller.user_id, request.device_id, mutation.number),
        body_hash=hashlib.sha256(same).digest(),
        body=_kept(mutation, text),
        refused=refused,
        epoch=request.epoch,
    )


def _kept(mutation: Mutation, encoded: bytes) -> str:
    """Return the text that is kept if the mutation is refused: bounded, because it is kept for
    good.
    """
    text = encoded.decode(errors="replace")
    if len(text) <= ROW_BYTES_MAX:
        return text
    short = msgspec.structs.replace(mutation, collection=mutation.collection[:40], fields={})
    return _encode(short).decode()


def _fields(mutation: Mutation) -> dict[str, object]:
    """Return the fields sent. They were not decoded with the request, so that a value which no
    reader of JSON holds (`1e999`) fails its own mutation only.
    """
    fields: dict[str, object] = {}
    for name, raw in mutation.fields.items():
        try:
            fields[name] = _decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SeraiError(Code.FIELDS_INVALID, errors=((name, "cannot be read"),)) from error
    return fields


class _Earlier(msgspec.Struct):
    """What a later mutation needs of an earlier one's `MutationResult`."""

    id: UUID
    status: str
    version: int = 0
    fields: list[str] = []
    code: str | None = None


_earlier_decoder: Final = msgspec.json.Decoder(_Earlier)


@dataclass(frozen=True, slots=True)
class _Stand:
    """What the mutations of one row stand on after one of them.

    Attributes:
        row: (collection, id).
        version: of the row as the last applied one of them left it.
        unseen: fields that others had changed by then: their maker had not seen that.
    """

    row: tuple[str, UUID]
    version: int
    unseen: frozenset[str]


def _below(mutation: Mutation, stands: Mapping[int, _Stand | None]) -> _Stand | None:
    """Return what the mutation was made on, None if the request does not tell.

    What another row stands on, which a mistaken client may name, says nothing about this one.
    """
    found = None if mutation.after is None else stands.get(mutation.after)
    return found if found and found.row == (mutation.collection, mutation.id) else None


def _base(mutation: Mutation, below: _Stand | None) -> int:
    """Return the version that the mutation was made on.

    One that follows earlier mutations was made on what those wrote, unless it touches what others
    had changed by then.
    """
    if below is None:
        return mutation.base
    touched = mutation.op == "delete" or not below.unseen.isdisjoint(mutation.fields)
    if below.unseen and touched:
        return mutation.base
    return max(below.version, mutation.base)


def _stand(mutation: Mutation, below: _Stand | None, earlier: _Earlier) -> _Stand | None:
    """Return what a mutation leaves to the next one of its row. One that was refused leaves what
    it had found; what was not seen stays so until its maker writes over it.
    """
    if earlier.status not in ("applied", "merged") or earlier.id != mutation.id:
        return below
    before = frozenset[str]() if below is None else below.unseen
    unseen = before.difference(mutation.fields).union(earlier.fields)
    row = (mutation.collection, mutation.id)
    return _Stand(row, max(earlier.version, mutation.base), unseen)
