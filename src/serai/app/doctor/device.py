"""A device, explained: whose it is, what it sent last, what was refused, when it signed in.

Owns what the servers know of a device: its mutation number and refusals on the shard, its sessions
in the directory. Promises that a device known to one of the two is explained, and that a device of
another organisation is unknown here. Never reads the device's own file: `serai.client.look` does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from serai.app.doctor.finding import Finding, failed, ok, warning
from serai.app.doctor.people import Person, judge_person, person
from serai.app.doctor.token import SQL
from serai.app.runtime import Runtime
from serai.core.clock import timestamp_text
from serai.core.errors import CODES
from serai.shard.connection import Record

REFUSALS_SHOWN_MAX: Final = 20
SESSIONS_SHOWN_MAX: Final = 10


class Refusal(msgspec.Struct, frozen=True):
    """A mutation that was not applied. `meaning`: the code in words."""

    number: int
    outcome: str
    code: str
    meaning: str
    reason: str
    collection: str
    row_id: UUID
    at: str


class Session(msgspec.Struct, frozen=True):
    """A sign-in on the device. `state`: `live`, `expired`, or `ended` (`reason` says by what)."""

    state: str
    created_at: str
    last_used_at: str
    expires_at: str
    ended_at: str | None
    reason: str | None


class DeviceReport(msgspec.Struct, frozen=True):
    """What there is to say about a device.

    Attributes:
        name: as it was given at sign-in.
        last_number: of its last mutation that was judged; 0 if it has never sent one.
        refused: how many mutations were not applied; `refusals` holds the last ones.
        sessions: most recently used first.
    """

    org_id: int
    org: str
    device_id: UUID
    name: str
    user: Person
    last_number: int
    refused: int
    refusals: list[Refusal]
    sessions: list[Session]


async def explain_device(
    runtime: Runtime, org_id: int, key: str, device_id: UUID
) -> tuple[DeviceReport, list[Finding]] | None:
    """Return what the servers know of a device of the organisation, and what to think of it; None
    if they know nothing.

    Raises:
        SeraiError: a database does not answer.
    """
    shard = await runtime.shard_for(org_id)
    async with shard.pool.connection() as connection:
        sent = await connection.fetchrow(SQL["device"], org_id, device_id)
        refused: int = await connection.fetchval(SQL["refusals_count"], org_id, device_id)
        refusals = await connection.fetch(SQL["refusals"], org_id, device_id, REFUSALS_SHOWN_MAX)
    async with runtime.directory.pool.connection() as directory:
        signed_in = await directory.fetchrow(SQL["signed_in"], device_id)
        sessions = await directory.fetch(SQL["sessions"], org_id, device_id, SESSIONS_SHOWN_MAX)
    if sent is None and not sessions:
        # It may have signed in to other organisations: that is for theirs to know.
        return None
    owner: UUID = sent["user_id"] if sent is not None else sessions[0]["user_id"]
    user, _ = await person(runtime, org_id, owner)
    now = runtime.clock.now()
    names = {c.number: c.name for c in runtime.vertical.collections}
    report = DeviceReport(
        org_id=org_id,
        org=key,
        device_id=device_id,
        name="" if signed_in is None else signed_in["name"],
        user=user,
        last_number=0 if sent is None else sent["number"],
        refused=refused,
        refusals=[_refusal(row, names) for row in refusals],
        sessions=[_session(row, now) for row in sessions],
    )
    judged = judge_device(
        report,
        revoked=signed_in is not None and signed_in["revoked_at"] is not None,
        shared=signed_in is not None and signed_in["user_id"] != owner,
    )
    return report, [*judge_person(user, key), *judged]


def judge_device(report: DeviceReport, *, revoked: bool, shared: bool) -> list[Finding]:
    """Judge what the servers know of a device. A pure function.

    Args:
        report: of the device.
        revoked: it may not sign in any more.
        shared: the user who signed in on it last is not the one whose mutations it sends.
    """
    place, refused, sessions = "device", report.refused, report.sessions
    found = [
        ok(place, "sent", f"its mutations are judged up to number {report.last_number}")
        if report.last_number
        else ok(place, "sent", "it has never sent a mutation to this organisation")
    ]
    if refused:
        means = f"{refused} of its mutations were not applied"
        remedy = "They are on the device's list of refusals: retry or dismiss each there."
        found.append(warning(place, "refused", means, remedy))
    if shared:
        means = "another user has signed in on it since"
        remedy = "Let each user have a file and a device id of their own."
        found.append(warning(place, "user", means, remedy))
    if revoked:
        means = "it was revoked: it cannot sign in"
        found.append(failed(place, "revoked", means, "Sign in as a new device."))
    elif not sessions:
        # The device of a file and the one of a sign-in have one id only if the app says so.
        means = "no sign-in names it: sessions are noted under the id that the app signs in with"
        found.append(ok(place, "session", means))
    elif not any(each.state == "live" for each in sessions):
        last = sessions[0]
        why = last.reason or "it expired"
        means = f"its last session is over ({why}), last used {last.last_used_at}"
        found.append(failed(place, "session", means, "Sign in again on the device."))
    else:
        live = next(each for each in sessions if each.state == "live")
        found.append(ok(place, "session", f"signed in, last used {live.last_used_at}"))
    return found


def meaning(code: str) -> str:
    """Return a code of the catalogue in words; a rule's own code says itself."""
    known = CODES.get(code)
    return "" if known is None else f"{known.kind.title}. {known.kind.remedy}"


def _refusal(row: Record, names: dict[int, str]) -> Refusal:
    return Refusal(
        number=row["number"],
        outcome=row["outcome"],
        code=row["code"],
        meaning=meaning(row["code"]),
        reason=row["reason"],
        collection=names.get(row["collection"], str(row["collection"])),
        row_id=row["row_id"],
        at=timestamp_text(row["at"]),
    )


def _session(row: Record, now: datetime) -> Session:
    ended: datetime | None = row["revoked_at"]
    state = "ended" if ended is not None else "expired" if row["expires_at"] <= now else "live"
    return Session(
        state=state,
        created_at=timestamp_text(row["created_at"]),
        last_used_at=timestamp_text(row["last_used_at"]),
        expires_at=timestamp_text(row["expires_at"]),
        ended_at=None if ended is None else timestamp_text(ended),
        reason=row["revoke_reason"],
    )
