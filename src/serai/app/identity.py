"""Identity of one process: wired to the directory and to the homes of organisations.

Owns the wiring alone. Promises that every process of an installation resolves callers alike. Never
handles a request.
"""

from __future__ import annotations

from serai.app.runtime import Runtime
from serai.gate.grants import GrantSource
from serai.gate.issuers import parse_issuers
from serai.gate.service import IdentityService, IdentitySettings


async def open_identity(runtime: Runtime) -> IdentityService:
    """Return the service; whoever opens it closes it.

    Raises:
        SeraiError: `unavailable` and its kin: the directory does not answer.
    """
    settings = runtime.settings

    async def grants(org_id: int) -> GrantSource:
        runtime.directory.resolve(org_id)
        return runtime.homes

    return await IdentityService.open(
        connections=runtime.directory.pool,
        stores=grants,
        vertical=runtime.vertical,
        settings=IdentitySettings(
            issuer=settings.issuer,
            audience=settings.issuer,
            issuers=parse_issuers(settings.oidc_issuers),
            create_users=settings.oidc_create_users,
        ),
        clock=runtime.clock,
    )
