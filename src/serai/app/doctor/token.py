"""A since-token, explained: whose it is, how far it got, what a pull with it would bring.

Owns the distance between a token and its organisation. Promises to decide `must_refetch` by the
lines that a pull decides by (`serai.readers.sync.horizon`). Never answers a pull, and never shows
the text of a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from serai.app.doctor.finding import Finding, ok, warning
from serai.app.doctor.people import Person, judge_person, person
from serai.app.runtime import Runtime
from serai.core import channels
from serai.core.channels import ChannelSet
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.token import SinceToken, ungrouped
from serai.gate.people import organisation_of_id
from serai.model import Vertical
from serai.ports.store import Head
from serai.readers.sync.horizon import Refetch, why_refetch
from serai.shard.queries import load_queries

SQL: Final = load_queries("serai.app.doctor", "explain.sql")
CHANGES_COUNTED_MAX: Final = 100_000
"""Changes that are counted one by one; a longer way is `at least` so long."""

_WHY: Final = {
    Refetch.EPOCH: "the organisation was restored or moved back since (epoch {0}, now {1})",
    Refetch.BELOW: "the log reaches back to version {3} and the token is at {2}",
    Refetch.AHEAD: "the token is at version {2} and the organisation at {4}: a tail was lost",
}


class CollectionPart(msgspec.Struct, frozen=True):
    """A collection under a token.

    Attributes:
        state: `whole` on the device; `filling` or `waiting` to be filled; `partly`: whole at some
            properties.
        properties: at how many properties, None for all of them (those to come too) or for rows of
            the organisation itself.
        changes: log entries after the token that the next pulls bring.
    """

    name: str
    state: str
    properties: int | None
    changes: int


class TokenReport(msgspec.Struct, frozen=True):
    """What there is to say about a token.

    Attributes:
        versions_behind: writes of the organisation since, of any collection.
        must_refetch: why the device fetches everything anew: `epoch`, `below`, `ahead`, or None.
        changes_are_at_least: the log since is longer than what was counted.
    """

    org_id: int
    org: str
    user: Person
    epoch: int
    version: int
    org_epoch: int
    org_version: int
    versions_behind: int
    must_refetch: str | None
    collections: list[CollectionPart]
    changes_are_at_least: bool


async def explain_token(runtime: Runtime, text: str) -> tuple[TokenReport, list[Finding]]:
    """Return what a since-token stands for, and what to think of it.

    Raises:
        TokenUnreadable: it is none of this installation.
        SeraiError: `not_found` for an organisation that is not here any more; or a database does
            not answer.
    """
    token = runtime.sealer.inspect(text)
    return await runtime.homes.followed(token.org_id, lambda _: _explained(runtime, token))


async def _explained(runtime: Runtime, token: SinceToken) -> tuple[TokenReport, list[Finding]]:
    async with runtime.directory.pool.connection() as directory:
        org = await organisation_of_id(directory, token.org_id)
    shard = await runtime.shard_for(token.org_id)
    head = await shard.store.head(token.org_id)
    if org is None or head is None:
        where = f"organisation {token.org_id} is not on {shard.ref.name}"
        raise SeraiError(Code.NOT_FOUND, f"The token is genuine, and its {where}.")
    async with shard.pool.connection() as connection:
        rows = await connection.fetch(
            SQL["log_since"], token.org_id, token.position.version, CHANGES_COUNTED_MAX
        )
    since = {(row["scope"], row["collection"]): row["changes"] for row in rows}
    user, grant = await person(runtime, token.org_id, token.user_id)
    why = why_refetch(token.position, head)
    counted = why in (None, Refetch.BELOW)
    report = TokenReport(
        org_id=token.org_id,
        org=org.key,
        user=user,
        epoch=token.position.epoch,
        version=token.position.version,
        org_epoch=head.epoch,
        org_version=head.version,
        versions_behind=head.version - token.position.version if counted else 0,
        must_refetch=None if why is None else why.value,
        collections=parts_of(token, runtime.vertical, since if why is None else {}),
        changes_are_at_least=sum(since.values()) >= CHANGES_COUNTED_MAX,
    )
    findings = judge_token(token, head, runtime.vertical, grant.channels)
    return report, [*findings, *judge_person(user, org.key)]


def parts_of(
    token: SinceToken, vertical: Vertical, since: Mapping[tuple[UUID, int], int]
) -> list[CollectionPart]:
    """Return each collection of the token with how far it is. A pure function.

    Args:
        since: (scope, collection number) -> log entries after the token.
    """
    filling = ungrouped(token.filling)
    parts: list[CollectionPart] = []
    for number in sorted(_numbers(token)):
        whole = [s for s, mask in token.complete.items() if mask >> number & 1]
        open_ = [s for s, n in filling if n == number]
        if not open_:
            state = "whole"
        elif whole:
            state = "partly"
        else:
            state = "filling" if filling[0][1] == number else "waiting"
        scopes = {*whole, *open_}
        everywhere = scopes <= {ORG_SCOPE} or ALL_SCOPES in scopes
        changes = sum(
            count
            for (scope, n), count in since.items()
            if n == number and channels.contains(token.complete, scope, number)
        )
        name = vertical.by_number[number].name if number in vertical.by_number else str(number)
        properties = None if everywhere else len(scopes - {ORG_SCOPE})
        parts.append(CollectionPart(name, state, properties, changes))
    return parts


def judge_token(
    token: SinceToken, head: Head, vertical: Vertical, visible: ChannelSet
) -> list[Finding]:
    """Judge a token that opened. A pure function.

    Args:
        visible: the channels that its user may see now.
    """
    found: list[Finding] = []
    position = token.position
    why = why_refetch(position, head)
    if why is not None:
        means = _WHY[why].format(
            position.epoch, head.epoch, position.version, head.floor, head.version
        )
        remedy = "Nothing: the device fills its rows anew and keeps its queue."
        found.append(warning("token", "must_refetch", means, remedy))
    elif position.version == head.version and not token.filling:
        found.append(ok("token", "distance", "it is at the head: there is nothing to bring"))
    else:
        behind = head.version - position.version
        rest = "; collections are being filled" if token.filling else ""
        found.append(ok("token", "distance", f"{behind} versions behind{rest}"))
    if head.state != "active":
        means = f"the organisation is {head.state}: pulls are answered, writes are not taken"
        found.append(warning("token", "organisation", means, "Wait until its move is over."))
    held = dict(token.complete)
    for scope, number in ungrouped(token.filling):
        held[scope] = held.get(scope, 0) | 1 << number
    lost = _names(channels.lost(held, visible), vertical)
    if lost:
        means = f"the user may not see these any more: {lost}"
        remedy = "Nothing: the next pull takes the rows off the device."
        found.append(warning("token", "visibility", means, remedy))
    return found


def _numbers(token: SinceToken) -> set[int]:
    found = {number for _, number in ungrouped(token.filling)}
    for mask in token.complete.values():
        found.update(channels.numbers(mask))
    return found


def _names(lost: ChannelSet, vertical: Vertical) -> str:
    mask = 0
    for bits in lost.values():
        mask |= bits
    numbers = channels.numbers(mask)
    return ", ".join(vertical.by_number[n].name for n in numbers if n in vertical.by_number)
