"""The HTTP half of sync: pull, push, and the list of refusals.

Owns the way from a request to `serai.readers.sync` and back. Promises that finished JSON passes
through as bytes, that a pull which has nothing new and is asked with the last `ETag` costs a 304,
and that a grant which changed under a request is read again before anything is answered. Never
looks into a change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from serai.core import channels
from serai.core.errors import Code, SeraiError
from serai.core.limits import INTEGER_MAX, LIST_ROWS_DEFAULT, LIST_ROWS_MAX, PAGE_ROWS_DEFAULT
from serai.gate.caller import Caller
from serai.http.asgi import Reply, Request, json_reply, no_query
from serai.http.body import check_media_type, decode, read_body
from serai.http.headers import matches_none, min_position
from serai.http.json_text import check_members, without_lone_surrogates
from serai.http.query import nothing_else, parameters, whole_number
from serai.http.services import HttpServices
from serai.log.coalesce import Coalescer
from serai.ports.reader import Since
from serai.ports.store import Store, StoredRefusal
from serai.readers.sync import GrantChanged, PullResult, pull, push
from serai.wire.rest import RefusalForm, RefusalsAnswer
from serai.wire.sync import ChangesRequest, MutationsRequest, RawMutationsAnswer

T = TypeVar("T")
_GRANT_READS_MAX: Final = 8
"""As often as a write is decided: someone's roles may change again between two reads of them."""
_changes_decoder: Final = msgspec.json.Decoder(ChangesRequest)
_mutations_decoder: Final = msgspec.json.Decoder(MutationsRequest)


async def changes(request: Request, services: HttpServices, _: str) -> Reply:
    """Answer a pull; 304 if the client holds all there is."""
    caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    no_query(request)
    check_media_type(request)
    body = await read_body(request, services.settings.body_bytes_max)
    wanted = _wanted_of(body)

    def pulled(since: Since) -> Awaitable[PullResult]:
        return _under_present_grant(
            request,
            services,
            caller,
            lambda now: pull(
                since,
                now,
                services.sealer,
                wanted,
                now=services.clock.now(),
                recorder=services.recorder,
                block_rows=services.settings.block_rows,
            ),
        )

    result = await services.read(caller.org_id, min_position(request), pulled)
    if result.unchanged and matches_none(request, result.etag):
        return Reply(304, headers={"etag": result.etag})
    reply = json_reply(result.answer, etag=result.etag)
    reply.packed = result.packed
    return reply


async def mutations(request: Request, services: HttpServices, _: str) -> Reply:
    """Take a device's batch, and answer its pull if it asks for one."""
    caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    no_query(request)
    check_media_type(request)
    body = await read_body(request, services.settings.body_bytes_max)
    batch = _batch_of(body)

    def pushed(store: Store, writes: Coalescer) -> Awaitable[RawMutationsAnswer]:
        return _under_present_grant(
            request,
            services,
            caller,
            lambda now: push(
                store,
                writes,
                now,
                services.sealer,
                batch,
                now=services.clock.now(),
                recorder=services.recorder,
            ),
        )

    return json_reply(await services.at_home(caller.org_id, pushed))


async def refusals(request: Request, services: HttpServices, _: str) -> Reply:
    """List kept refusals: the caller's own, or with `all` those of every channel the caller
    reads.
    """
    caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    given = parameters(request.query)
    after = whole_number(given, "after", 0, INTEGER_MAX)
    limit = whole_number(given, "limit", LIST_ROWS_DEFAULT, LIST_ROWS_MAX)
    everyone = given.pop("all", "false")
    nothing_else(given)
    if everyone not in ("true", "false"):
        raise SeraiError(Code.QUERY_INVALID, "'all' is true or false.")
    whose = None if everyone == "true" else caller.user_id
    found = await services.at_home(
        caller.org_id,
        lambda store, _: store.refusals(caller.org_id, user_id=whose, after=after, limit=limit),
        verified=True,
    )
    return json_reply(
        RefusalsAnswer(
            refusals=[_form(caller, kept) for kept in found if _may_see(caller, kept)],
            next_after=found[-1].id if len(found) == limit else None,
        )
    )


def _wanted_of(body: bytes) -> ChangesRequest:
    wanted = decode(body, _changes_decoder)
    check_members(body, _members_of_pull(wanted))
    return wanted


def _batch_of(body: bytes) -> MutationsRequest:
    body = without_lone_surrogates(body)
    batch = decode(body, _mutations_decoder)
    values = (value for each in batch.mutations for value in each.fields.values())
    check_members(body, _members_of_push(batch), values)
    return batch


def _members_of_pull(wanted: ChangesRequest) -> int:
    """Return how many members the request has; those at their default count as left out."""
    parts = wanted.collections
    named = sum((p.since_token is not None) + (p.property_ids is not None) for p in parts)
    return 1 + (wanted.batch_size != PAGE_ROWS_DEFAULT) + len(parts) + named


def _members_of_push(batch: MutationsRequest) -> int:
    """Return how many members the request has; those at their default count as left out."""
    found = 2 + (batch.epoch != 0)
    if batch.pull is not None:
        found += 1 + _members_of_pull(batch.pull)
    for each in batch.mutations:
        found += 4 + (each.base != 0) + (each.after is not None)
        if each.fields:
            found += 1 + len(each.fields)
    return found


async def _under_present_grant(
    request: Request,
    services: HttpServices,
    caller: Caller,
    work: Callable[[Caller], Awaitable[T]],
) -> T:
    """Run `work` for the caller, and again for the caller as it is now while the grants have moved
    on.
    """
    for _ in range(_GRANT_READS_MAX):
        try:
            return await work(caller)
        except GrantChanged as changed:
            services.identity.grants.notice(caller.org_id, changed.version)
            caller = await services.identity.identity.resolve(request.headers.get("authorization"))
    raise SeraiError(Code.CONTENDED, retry_after_seconds=1)


def _may_see(caller: Caller, kept: StoredRefusal) -> bool:
    """Own refusals always: they are the caller's own words. Others' through the channel of their
    row.
    """
    refusal = kept.refusal
    return kept.user_id == caller.user_id or channels.contains(
        caller.grant.channels, refusal.scope, refusal.collection
    )


def _form(caller: Caller, kept: StoredRefusal) -> RefusalForm:
    refusal = kept.refusal
    collection = caller.vertical.by_number.get(refusal.collection)
    return RefusalForm(
        id=kept.id,
        user_id=kept.user_id,
        device_id=kept.device_id,
        number=kept.number,
        outcome=refusal.outcome,
        code=refusal.code,
        reason=refusal.reason,
        collection=None if collection is None else collection.name,
        row_id=refusal.row_id,
        mutation=msgspec.Raw((refusal.body or "null").encode()),
        at=kept.at,
    )
