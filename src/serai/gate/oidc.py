"""Sign-in by OpenID Connect: an ID token for tokens of Serai.

Owns the order of the steps: the limit of attempts, the keys, the checks, whose identity it is, the
session. Promises that a token opens one session, that a refusal says nothing of the reason (the log
does), and that no connection to the directory is held while an issuer is asked. Never makes a user
unless the settings say so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from serai.core.clock import Clock
from serai.core.errors import Code, SeraiError
from serai.gate import external, sessions
from serai.gate.attempts import SignInAttempts
from serai.gate.id_tokens import IdToken, NotBelieved, ReadToken
from serai.gate.issuer_keys import IssuerKeys
from serai.gate.issuers import TrustedIssuer
from serai.gate.issuing import Issuing
from serai.gate.mirror import Connections
from serai.wire.identity import OidcRequest, TokenAnswer

_log: Final = logging.getLogger(__name__)


class OidcSignIn:
    """Exchanges ID tokens.

    Args:
        connections: to the directory.
        clock: of the server.
        issuing: gives the tokens.
        attempts: the limit, shared with the sign-in by password.
        issuers: that are believed; none switches this off.
        create_users: make a user for a verified e-mail that nobody has.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        clock: Clock,
        issuing: Issuing,
        attempts: SignInAttempts,
        issuers: Iterable[TrustedIssuer],
        create_users: bool,
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._issuing = issuing
        self._attempts = attempts
        self._create_users = create_users
        self._issuers = {i.issuer: (i, IssuerKeys(i.keys_url, clock)) for i in issuers}

    async def sign_in(self, request: OidcRequest, *, address: str) -> TokenAnswer:
        """Start a session for the user whose identity the token proves.

        Raises:
            SeraiError: `oidc_off`, `rate_limited`, `id_token_invalid`, `identity_unknown`,
                `issuer_away`, `forbidden` (the organisation named is not the user's),
                `device_unknown`.
        """
        if not self._issuers:
            raise SeraiError(Code.OIDC_OFF)
        self._attempts.take_address(address)
        try:
            token = await self._believed(request)
        except NotBelieved as reason:
            raise _refused(reason) from None
        await self._issuing.ready()
        now = self._clock.now()
        async with self._connections.connection() as directory, directory.transaction():
            # First, so that two requests with one token wait for each other here. A sign-in that
            # fails takes it back: nothing was opened, and the person may choose otherwise.
            if not await external.use_token(directory, token):
                raise _refused("used before")
            user_id = await external.user_of_identity(
                directory, token, create=self._create_users, now=now
            )
            chosen = await self._issuing.place(directory, user_id, request, now)
            session = await sessions.open_session_of_identity(
                directory, user_id=user_id, org_id=chosen, device_id=request.device_id, now=now
            )
            if session is None:
                raise SeraiError(Code.IDENTITY_UNKNOWN)
            return await self._issuing.answer(directory, session)

    async def _believed(self, request: OidcRequest) -> IdToken:
        read = ReadToken(request.id_token)
        found = self._issuers.get(read.issuer)
        if found is None:
            raise NotBelieved("iss is not one of the settings")
        issuer, keys = found
        key = await keys.key(read.kid)
        if key is None:
            raise NotBelieved("the issuer has no such key")
        return read.believed(issuer, key, request.nonce_verifier, self._clock.now())


def _refused(reason: NotBelieved | str) -> SeraiError:
    _log.info("an ID token was not accepted: %s", reason)
    return SeraiError(Code.ID_TOKEN_INVALID)
