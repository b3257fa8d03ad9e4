"""Between what the gate holds and what the wire shows.

Owns the spelling of sessions, organisations, roles and keys as forms of `serai.wire.identity`.
Promises that nothing secret gets into a form but the two that hand a secret out: the tokens of a
session, the text of a new key. Pure functions; never I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from serai.core.clock import timestamp_text
from serai.core.ids import ALL_SCOPES
from serai.core.limits import ACCESS_SECONDS
from serai.gate.api_keys import ApiKey
from serai.gate.caller import Grant
from serai.gate.people import Organisation
from serai.gate.sessions import Session
from serai.wire.identity import ApiKeyForm, OrganisationForm, RoleForm, TokenAnswer


def organisation_form(organisation: Organisation) -> OrganisationForm:
    """Return the organisation as a list shows it."""
    return OrganisationForm(id=organisation.org_id, key=organisation.key, name=organisation.name)


def token_answer(
    session: Session,
    access_token: str | None,
    current: Organisation | None,
    listed: Sequence[Organisation],
) -> TokenAnswer:
    """Return the answer to a sign-in or a refresh."""
    return TokenAnswer(
        access_token=access_token,
        expires_in=ACCESS_SECONDS,
        refresh_token=session.refresh_token,
        refresh_expires_at=timestamp_text(session.refresh_expires_at),
        organisation=None if current is None else organisation_form(current),
        organisations=[organisation_form(organisation) for organisation in listed],
    )


def role_forms(grant: Grant) -> list[RoleForm]:
    """Return the roles of a grant, those at every property first."""
    scopes = sorted(grant.by_scope, key=lambda scope: (scope != ALL_SCOPES, scope))
    return [
        RoleForm(role=role, property_id=None if scope == ALL_SCOPES else scope)
        for scope in scopes
        for role in sorted(grant.by_scope[scope])
    ]


def api_key_form(key: ApiKey) -> ApiKeyForm:
    """Return the key as a list shows it."""
    return ApiKeyForm(
        id=key.key_id,
        name=key.name,
        roles=[RoleForm(role=r.role, property_id=r.property_id) for r in key.roles],
        created_by=key.created_by,
        created_at=timestamp_text(key.created_at),
        expires_at=_moment(key.expires_at),
        revoked_at=_moment(key.revoked_at),
        last_used_at=_moment(key.last_used_at),
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else timestamp_text(at)
