"""REST for every collection: list, create, get, update, delete.

Owns how a row is read and written one at a time. Promises that a row outside the caller's channels
looks like one that does not exist (404, never 403), and that a write happens once under its key:
the same request again gets the same status and body, marked `Idempotency-Replayed`. Never decides
a write: roles, rules and merge are the write path's, in the transaction's sight of the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from serai.core import channels
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES, ORG_SCOPE, parse_uuid, uuid7
from serai.core.limits import MIB, PAGE_BYTES_MAX
from serai.core.token import Position
from serai.gate.caller import Caller
from serai.http.asgi import Reply, Request, no_query
from serai.http.body import MERGE_PATCH, check_media_type, decode, no_body, read_body
from serai.http.headers import (
    etag_of,
    idempotency_key,
    if_match,
    matches_none,
    min_position,
    position_text,
    request_hash,
)
from serai.http.json_text import check_members
from serai.http.query import ListRequest, cursor_text, list_request
from serai.http.services import HttpServices
from serai.log.intent import RowIntent, WriteAnswer, WriteIntent
from serai.model import Collection, Scope
from serai.model.fields import Value
from serai.model.rules import Op
from serai.model.validate import row_values
from serai.ports.store import IdempotencyKey, ListQuery, StoredRow

_ROW_BODY_BYTES_MAX: Final = MIB
"""A row of 64 KiB takes six times that when every character is escaped, and some white space."""
_fields_decoder: Final = msgspec.json.Decoder(dict[str, object])
_row_decoder: Final = msgspec.json.Decoder(dict[str, str | int | bool | None])


class _Written(msgspec.Struct, frozen=True):
    """What is needed of a write's reply; its `data` is passed over."""

    id: str
    version: int


_written_decoder: Final = msgspec.json.Decoder(_Written)


@dataclass(frozen=True, slots=True)
class Rows:
    """The operations of one collection."""

    collection: Collection

    async def list(self, request: Request, services: HttpServices, _: str) -> Reply:
        """Answer a page of rows that the caller may see."""
        caller = await services.identity.identity.resolve(request.headers.get("authorization"))
        wanted = list_request(self.collection, request.query)
        scopes = _scopes(caller, self.collection)
        if scopes is not None and not scopes:
            return Reply(200, b'{"rows":[],"nextCursor":null}')
        query = ListQuery(
            org_id=caller.org_id,
            collection=self.collection.number,
            scopes=scopes,
            filters=wanted.filters,
            order=wanted.order,
            descending=wanted.descending,
            after=wanted.after,
            limit=wanted.limit + 1,
        )
        need = min_position(request)
        found = await services.read(
            caller.org_id, need, lambda since: since(need).list_rows(query), verified=True
        )
        return Reply(200, _page(wanted, found))

    async def get(self, request: Request, services: HttpServices, last: str) -> Reply:
        """Answer one row, or 304 to who holds it."""
        caller = await services.identity.identity.resolve(request.headers.get("authorization"))
        no_query(request)
        row_id = _row_id(last)
        need, key = min_position(request), (caller.org_id, self.collection.number, row_id)
        (row,) = await services.read(
            caller.org_id, need, lambda since: since(need).read([key]), verified=True
        )
        number = self.collection.number
        if row is None or not channels.contains(caller.grant.channels, row.scope, number):
            raise SeraiError(Code.NOT_FOUND)
        headers = {"etag": etag_of(row.version)}
        if matches_none(request, headers["etag"]):
            return Reply(304, headers=headers)
        return Reply(200, _row_text(row_id, row).encode(), headers=headers)

    async def create(self, request: Request, services: HttpServices, _: str) -> Reply:
        """Insert a row, with the client's id or a new one."""
        caller = await services.identity.identity.resolve(request.headers.get("authorization"))
        no_query(request)
        body, fields = await _fields(request, services)
        row_id = _new_id(fields)
        answer = await self._write(request, services, caller, body, "insert", row_id, fields)
        written = _written_decoder.decode(answer.reply)
        return _reply(
            answer,
            status=201,
            etag=etag_of(written.version),
            location=f"/v1/{self.collection.name}/{written.id}",
        )

    async def update(self, request: Request, services: HttpServices, last: str) -> Reply:
        """Change the fields that are sent."""
        caller = await services.identity.identity.resolve(request.headers.get("authorization"))
        no_query(request)
        row_id = _row_id(last)
        body, fields = await _fields(request, services, MERGE_PATCH)
        answer = await self._write(request, services, caller, body, "update", row_id, fields)
        return _reply(answer, etag=etag_of(_written_decoder.decode(answer.reply).version))

    async def delete(self, request: Request, services: HttpServices, last: str) -> Reply:
        """Delete a row."""
        caller = await services.identity.identity.resolve(request.headers.get("authorization"))
        no_query(request)
        row_id = _row_id(last)
        await no_body(request)
        return _reply(await self._write(request, services, caller, b"", "delete", row_id, {}))

    async def _write(
        self,
        request: Request,
        services: HttpServices,
        caller: Caller,
        body: bytes,
        op: Op,
        row_id: UUID,
        fields: dict[str, object],
    ) -> WriteAnswer:
        once = IdempotencyKey(caller.user_id, idempotency_key(request))
        base = None if op == "insert" else if_match(request)
        values = row_values(self.collection, fields, op)
        intent = WriteIntent(
            org_id=caller.org_id,
            actor=caller,
            rows=(RowIntent(self.collection, op, row_id, values, base),),
            once=once,
            body_hash=request_hash(request, body),
            via="rest",
            device_id=caller.device_id,
        )
        return await services.at_home(caller.org_id, lambda _, writes: writes.submit(intent))


def _scopes(caller: Caller, collection: Collection) -> tuple[UUID, ...] | None:
    """Return the scopes of the collection that the caller may see, None for all of them."""
    held, bit = caller.grant.channels, 1 << collection.number
    everything = ORG_SCOPE if collection.scope is Scope.ORGANISATION else ALL_SCOPES
    if held.get(everything, 0) & bit:
        return None
    return tuple(scope for scope, mask in held.items() if mask & bit and scope != ALL_SCOPES)


def _page(wanted: ListRequest, found: list[tuple[UUID, StoredRow]]) -> bytes:
    """Return a page of rows as JSON: as many as asked for, or as fit, and the cursor if there are
    more.
    """
    texts: list[str] = []
    size = 0
    for row_id, row in found[: wanted.limit]:
        text = _row_text(row_id, row)
        size += len(text)
        if texts and size > PAGE_BYTES_MAX:
            break
        texts.append(text)
    cursor = "null"
    if len(texts) < len(found):
        last_id, last = found[len(texts) - 1]
        value: Value = None
        if wanted.order is not None:
            value = _row_decoder.decode(last.doc).get(wanted.order)
        cursor = f'"{cursor_text(wanted, value, last_id)}"'
    return f'{{"rows":[{",".join(texts)}],"nextCursor":{cursor}}}'.encode()


def _row_text(row_id: UUID, row: StoredRow) -> str:
    return f'{{"id":"{row_id}","version":{row.version},"data":{row.doc}}}'


def _row_id(text: str) -> UUID:
    try:
        return parse_uuid(text)
    except ValueError:
        raise SeraiError(Code.NOT_FOUND) from None


async def _fields(
    request: Request, services: HttpServices, *media_types: str
) -> tuple[bytes, dict[str, object]]:
    """Return the body, and its members."""
    check_media_type(request, *media_types)
    limit = min(_ROW_BODY_BYTES_MAX, services.settings.body_bytes_max)
    body = await read_body(request, limit, too_large=Code.WRITE_TOO_LARGE)
    fields = decode(body, _fields_decoder)
    check_members(body, len(fields))
    return body, fields


def _new_id(fields: dict[str, object]) -> UUID:
    """Take `id` out of the fields of a new row; make one if there is none."""
    text = fields.pop("id", None)
    if text is None:
        return uuid7()
    try:
        return parse_uuid(text if isinstance(text, str) else "")
    except ValueError as error:
        raise SeraiError(Code.FIELDS_INVALID, errors=(("id", str(error)),)) from None


def _reply(answer: WriteAnswer, status: int = 200, **headers: str) -> Reply:
    """Return the reply of a write. Status and body depend on the request and the stored text
    only. `Serai-Version` is for reads that must see it.
    """
    if answer.replayed:
        headers["idempotency-replayed"] = "true"
    if answer.epoch:
        headers["serai-version"] = position_text(Position(answer.epoch, answer.version))
    return Reply(status, answer.reply.encode(), headers=headers)
