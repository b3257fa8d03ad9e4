"""Identity as one object: what the HTTP routes of `/v1/auth`, `/v1/me` and `/v1/api-keys` call.

Owns the order of the steps of a sign-in, a refresh, a new password, and the giving of API keys.
Promises that a connection to the directory is never held while a password is hashed, that a
stranger's e-mail costs what a user's wrong password costs, and that nobody gives a machine more
than they may do themselves. Never knows HTTP: it takes and returns wire forms and raises
SeraiError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from serai.core.clock import Clock, SystemClock
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES
from serai.gate import api_keys, people, sessions
from serai.gate.access import AccessTokens
from serai.gate.api_keys import ApiKeys, KeyRole
from serai.gate.attempts import SignInAttempts
from serai.gate.caller import Caller
from serai.gate.forms import api_key_form, organisation_form, role_forms
from serai.gate.grants import GrantCache
from serai.gate.identity import Identity, Stores
from serai.gate.issuers import TrustedIssuer
from serai.gate.issuing import Issuing, named
from serai.gate.mirror import Connections, DirectoryMirror
from serai.gate.oidc import OidcSignIn
from serai.gate.passwords import PasswordCost, Passwords, prepared
from serai.gate.people import User
from serai.gate.sessions import Session
from serai.model import Vertical
from serai.shard.connection import Connection
from serai.wire.identity import (
    ApiKeyCreated,
    ApiKeyRequest,
    ApiKeysAnswer,
    MeAnswer,
    OidcRequest,
    PasswordRequest,
    RefreshRequest,
    SignInRequest,
    SignOutRequest,
    TokenAnswer,
)

_OLD_IS_WRONG: Final = "The old password is wrong."


@dataclass(frozen=True)
class IdentitySettings:
    """What a deployment chooses.

    Attributes:
        issuer: who signs access tokens; its public address in a real deployment.
        audience: whom they are for.
        password_cost: of new hashes.
        issuers: whose ID tokens are believed; none switches sign-in by OpenID Connect off.
        create_users: whether such a sign-in makes a user for a verified e-mail that nobody has.
    """

    issuer: str = "serai"
    audience: str = "serai"
    password_cost: PasswordCost = field(default_factory=PasswordCost)
    issuers: tuple[TrustedIssuer, ...] = ()
    create_users: bool = False


class IdentityService:
    """All of identity for one process: `await IdentityService.open(...)`, and `close()` at the end.

    Attributes:
        identity: resolves the caller of each request.
        grants: tell it `notice(org_id, grants_version)` whenever an organisation's head was read.
        passwords: hashes the passwords of new users.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        stores: Stores,
        vertical: Vertical,
        clock: Clock,
        mirror: DirectoryMirror,
        tokens: AccessTokens,
        settings: IdentitySettings,
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._vertical = vertical
        self._mirror = mirror
        self._tokens = tokens
        self._issuing = Issuing(tokens, mirror)
        self._attempts = SignInAttempts(clock)
        self._api_keys = ApiKeys(connections, clock)
        self._oidc = OidcSignIn(
            connections=connections,
            clock=clock,
            issuing=self._issuing,
            attempts=self._attempts,
            issuers=settings.issuers,
            create_users=settings.create_users,
        )
        self.passwords = Passwords(settings.password_cost)
        self.grants = GrantCache(clock)
        self.identity = Identity(
            tokens=tokens,
            mirror=mirror,
            api_keys=self._api_keys,
            grants=self.grants,
            stores=stores,
            vertical=vertical,
        )

    @classmethod
    async def open(
        cls,
        *,
        connections: Connections,
        stores: Stores,
        vertical: Vertical,
        settings: IdentitySettings | None = None,
        clock: Clock | None = None,
    ) -> IdentityService:
        """Read the signing keys (making the first one if there is none) and return the service.

        Args:
            connections: to the directory, such as a `PinnedPool`.
            stores: organisation -> the store of its home shard.
            vertical: what roles mean.
            settings: of the deployment.
            clock: the wall clock unless given.

        Raises:
            SeraiError: `unavailable` and its kin.
        """
        chosen, time = settings or IdentitySettings(), clock or SystemClock()
        mirror = DirectoryMirror(connections, time)
        ring = await mirror.start()
        return cls(
            connections=connections,
            stores=stores,
            vertical=vertical,
            clock=time,
            mirror=mirror,
            tokens=AccessTokens(chosen.issuer, chosen.audience, time, ring),
            settings=chosen,
        )

    def close(self) -> None:
        """End the hashing threads."""
        self.passwords.close()

    async def sign_in(self, request: SignInRequest, *, address: str) -> TokenAnswer:
        """Check e-mail and password and start a session. `address` is the client's, for the limit
        of attempts.

        Raises:
            SeraiError: `credentials`, `rate_limited`, `overloaded`, `forbidden` (the organisation
                named is not the user's), `device_unknown`.
        """
        email = people.normal_email(request.email) or request.email
        self._attempts.take(email=email, address=address)
        async with self._connections.connection() as directory:
            found = await people.user_of_email(directory, email)
        user, stored = found or (None, None)
        matches = await self.passwords.verify(stored, request.password)
        if not matches or user is None or stored is None or not user.active:
            raise SeraiError(Code.CREDENTIALS)
        current = await self._renewed(user, stored, request.password)
        await self._issuing.ready()
        async with self._connections.connection() as directory, directory.transaction():
            session = await self._start(directory, user, current, request)
            if session is None:
                raise SeraiError(Code.CREDENTIALS)
            return await self._issuing.answer(directory, session)

    async def sign_in_oidc(self, request: OidcRequest, *, address: str) -> TokenAnswer:
        """Start a session with an ID token; see `serai.gate.oidc`.

        Raises:
            SeraiError: `oidc_off`, `id_token_invalid`, `identity_unknown`, `issuer_away`,
                `rate_limited`, `forbidden`, `device_unknown`.
        """
        return await self._oidc.sign_in(request, address=address)

    async def refresh(self, request: RefreshRequest) -> TokenAnswer:
        """Go on with a session.

        Raises:
            SeraiError: `refresh_invalid`, `refresh_reused`, `forbidden` (the organisation named is
                not the user's).
        """
        token, wanted = request.refresh_token, request.organisation
        await self._issuing.ready()
        async with self._connections.connection() as directory:
            org_id: int | None = None
            if wanted is not None:
                user_id = await sessions.user_of_token(directory, token)
                if user_id is None:
                    raise SeraiError(Code.REFRESH_INVALID)
                org_id = (await named(directory, user_id, wanted)).org_id
            session = await sessions.refresh(
                directory, refresh_token=token, org_id=org_id, now=self._clock.now()
            )
            return await self._issuing.answer(directory, session)

    async def sign_out(self, request: SignOutRequest) -> None:
        """End the session of the token. A token that is not there is no error: the wish is
        fulfilled (RFC 7009).
        """
        async with self._connections.connection() as directory:
            session_id = await sessions.end_session(
                directory, refresh_token=request.refresh_token, now=self._clock.now()
            )
        if session_id is not None:
            self._mirror.end(session_id)

    async def change_password(
        self, caller: Caller, request: PasswordRequest, *, address: str
    ) -> TokenAnswer:
        """Give the caller a new password, end every session of theirs, and start one in the place
        of the caller's own.

        Raises:
            SeraiError: `forbidden` for a machine; `password_weak`, `fields_invalid`; `rate_limited`
                (with the attempts to sign in); `credentials` if the old password is wrong, or was
                replaced meanwhile; `unauthenticated` if the session has ended; `overloaded`.
        """
        session_id = caller.device_id
        if caller.machine or session_id is None:
            raise SeraiError(Code.FORBIDDEN, "An API key has no password.")
        self.passwords.refuse_unfit(request.new_password, name="newPassword")
        async with self._connections.connection() as directory:
            found = await people.user_of_id(directory, caller.user_id)
            old = await people.password_hash_of(directory, caller.user_id)
        if found is None:
            raise SeraiError(Code.UNAUTHENTICATED)
        self._attempts.take(email=found.email, address=address)
        if not await self.passwords.verify(old, request.old_password) or old is None:
            raise SeraiError(Code.CREDENTIALS, _OLD_IS_WRONG)
        if prepared(request.new_password) == prepared(request.old_password):
            # Who changes a password that others know must not be told that they did.
            raise SeraiError(Code.FIELDS_INVALID, errors=(("newPassword", "is the old one"),))
        new = await self.passwords.hash(request.new_password)
        await self._issuing.ready()
        now = self._clock.now()
        async with self._connections.connection() as directory, directory.transaction():
            ended = await people.replace_password(
                directory, user_id=caller.user_id, old=old, new=new, now=now
            )
            if ended is None:
                raise SeraiError(Code.CREDENTIALS, _OLD_IS_WRONG)
            if session_id not in ended:
                # Signed out elsewhere: its access token may still run for some seconds.
                raise SeraiError(Code.UNAUTHENTICATED)
            session = await sessions.succeed_session(
                directory, session_id=session_id, org_id=caller.org_id, now=now
            )
            answer = await self._issuing.answer(directory, session)
        for over in ended:
            self._mirror.end(over)
        return answer

    async def me(self, caller: Caller) -> MeAnswer:
        """Tell the caller who it is."""
        async with self._connections.connection() as directory:
            organisation = await people.organisation_of_id(directory, caller.org_id)
            if caller.machine:
                key = await api_keys.api_key_of_id(directory, caller.user_id)
                email, name = None, None if key is None else key.name
            else:
                user = await people.user_of_id(directory, caller.user_id)
                email, name = (None, None) if user is None else (user.email, user.name)
        if organisation is None or name is None:
            raise SeraiError(Code.FORBIDDEN)
        return MeAnswer(
            kind="apiKey" if caller.machine else "user",
            id=caller.user_id,
            email=email,
            name=name,
            organisation=organisation_form(organisation),
            roles=role_forms(caller.grant),
        )

    async def create_api_key(self, caller: Caller, request: ApiKeyRequest) -> ApiKeyCreated:
        """Give a machine a key of the caller's organisation.

        Raises:
            SeraiError: `forbidden` for a machine, and for roles beyond the caller's own;
                `fields_invalid`; `rule`.
        """
        roles = [KeyRole(r.role, r.property_id) for r in request.roles]
        self._may_manage_keys(caller)
        self._may_give(caller, roles)
        async with self._connections.connection() as directory:
            key, secret = await api_keys.create_api_key(
                directory,
                org_id=caller.org_id,
                name=request.name,
                roles=roles,
                created_by=caller.user_id,
                expires_at=request.expires_at,
                now=self._clock.now(),
            )
        return ApiKeyCreated(key=api_key_form(key), secret=secret)

    async def list_api_keys(self, caller: Caller) -> ApiKeysAnswer:
        """List the keys of the caller's organisation.

        Raises:
            SeraiError: `forbidden`.
        """
        self._may_manage_keys(caller)
        async with self._connections.connection() as directory:
            keys = await api_keys.list_api_keys(directory, caller.org_id)
        return ApiKeysAnswer(keys=[api_key_form(key) for key in keys])

    async def revoke_api_key(self, caller: Caller, key_id: UUID) -> None:
        """End a key of the caller's organisation.

        Raises:
            SeraiError: `forbidden`, `not_found`.
        """
        self._may_manage_keys(caller)
        async with self._connections.connection() as directory:
            await api_keys.revoke_api_key(
                directory, org_id=caller.org_id, key_id=key_id, now=self._clock.now()
            )
        self._api_keys.forget()

    async def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys, for others who verify access tokens (`/.well-
        known/jwks.json`).
        """
        return (await self._mirror.fresh()).jwks()

    async def _renewed(self, user: User, stored: str, password: str) -> str:
        """Return the user's hash, made again if hashes have become costlier since."""
        if not self.passwords.outdated(stored):
            return stored
        new = await self.passwords.rehash(password)
        async with self._connections.connection() as directory:
            kept = await people.replace_hash(directory, user_id=user.user_id, old=stored, new=new)
        return new if kept else stored

    async def _start(
        self, directory: Connection, user: User, password_hash: str, request: SignInRequest
    ) -> Session | None:
        now = self._clock.now()
        chosen = await self._issuing.place(directory, user.user_id, request, now)
        return await sessions.open_session(
            directory,
            user_id=user.user_id,
            password_hash=password_hash,
            org_id=chosen,
            device_id=request.device_id,
            now=now,
        )

    def _may_manage_keys(self, caller: Caller) -> None:
        """Refuse who may not give roles, and every machine: a key that makes keys would outlive its
        own end.
        """
        where = self._vertical.grants.collection
        if caller.machine or not caller.may(where, "create", ALL_SCOPES):
            raise SeraiError(Code.FORBIDDEN)

    def _may_give(self, caller: Caller, roles: list[KeyRole]) -> None:
        unknown = sorted({r.role for r in roles} - self._vertical.roles)
        if unknown:
            errors = tuple(("roles", f"there is no role {role!r}") for role in unknown)
            raise SeraiError(Code.FIELDS_INVALID, errors=errors)
        for role in roles:
            scope = ALL_SCOPES if role.property_id is None else role.property_id
            for (name, collection), actions in self._vertical.permissions.items():
                if name == role.role and not all(
                    caller.may(collection, action, scope) for action in actions
                ):
                    detail = f"The role {role.role!r} may do more than you."
                    raise SeraiError(Code.FORBIDDEN, detail)
