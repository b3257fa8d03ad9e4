"""Whose something is: a user or an API key, and what they may see in an organisation now.

Owns the look at one person for the doctor. Promises that a user who is gone, disabled or without a
role is told as such. Never shows a hash or a secret.
"""

from __future__ import annotations

from shlex import quote
from uuid import UUID

import msgspec

from serai.app.doctor.finding import Finding, failed, ok
from serai.app.runtime import Runtime
from serai.core.ids import ALL_SCOPES
from serai.gate import people
from serai.gate.api_keys import api_key_of_id
from serai.gate.caller import Grant


class Role(msgspec.Struct, frozen=True):
    """A role in the organisation: at one property, or (None) at all of them."""

    role: str
    property_id: UUID | None


class Person(msgspec.Struct, frozen=True):
    """Who acts.

    Attributes:
        kind: `user`, `api_key`, or `unknown` to this installation.
        name: a user's e-mail, a key's name.
        active: a user who is not disabled, a key that was not ended and has not expired.
        roles: in the organisation, now.
    """

    id: UUID
    kind: str
    name: str
    active: bool
    roles: list[Role]


async def person(runtime: Runtime, org_id: int, who: UUID) -> tuple[Person, Grant]:
    """Return who has this id, and what they may do in the organisation."""
    async with runtime.directory.pool.connection() as directory:
        user = await people.user_of_id(directory, who)
        key = None if user is not None else await api_key_of_id(directory, who)
    memberships: list[tuple[str, UUID | None]]
    if key is not None:
        now = runtime.clock.now()
        live = key.revoked_at is None and (key.expires_at is None or key.expires_at > now)
        active, kind, name = live, "api_key", key.name
        memberships = [(each.role, each.property_id) for each in key.roles]
        if key.org_id != org_id:
            memberships = []
        version = 0
    else:
        active = user is not None and user.active
        kind, name = ("unknown", "") if user is None else ("user", user.email)
        store = (await runtime.shard_for(org_id)).store
        version, memberships = await store.grants(org_id, who)
    grant = Grant.from_memberships(runtime.vertical, version, memberships)
    roles = [
        Role(role, None if scope == ALL_SCOPES else scope)
        for scope, roles in sorted(grant.by_scope.items())
        for role in sorted(roles)
    ]
    return Person(who, kind, name, active, roles), grant


def judge_person(found: Person, org: str) -> list[Finding]:
    """Judge whether they may sync."""
    if found.kind == "unknown":
        means = f"{found.id} is no user and no API key of this installation"
        return [failed("user", "known", means, "Was the directory restored without its users?")]
    if not found.active:
        what = "was ended or has expired" if found.kind == "api_key" else "is disabled"
        remedy = "Give it a new key." if found.kind == "api_key" else _enable(found.id)
        return [failed("user", "active", f"{found.name} {what}: every request is refused", remedy)]
    if not found.roles:
        means = f"{found.name} has no role in {org}: nothing is sent to the device"
        words = f"serai user add {quote(found.name)} --org {quote(org)}"
        remedy = f"Type, with a role of the vertical for ROLE: {words} --role ROLE"
        if found.kind == "api_key":
            remedy = "Make a key of this organisation."
        return [failed("user", "roles", means, remedy)]
    roles = ", ".join(
        each.role if each.property_id is None else f"{each.role} at {each.property_id}"
        for each in found.roles[:5]
    )
    more = f" and {len(found.roles) - 5} more" if len(found.roles) > 5 else ""  # noqa: PLR2004 - what fits a line
    return [ok("user", "roles", f"{found.name}: {roles}{more}")]


def _enable(user_id: UUID) -> str:
    change = f"SET state = 'active' WHERE user_id = '{user_id}'"
    return f'To let them in: psql "$SERAI_DIRECTORY_URL" -c "UPDATE serai_directory.users {change}"'
