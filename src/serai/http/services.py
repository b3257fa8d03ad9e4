"""What the HTTP side is given, and what it may be told.

Owns the two structs that the application's wiring fills in. Promises that settings which load are
consistent (`HttpSettings` checks them). Never builds anything: stores, identity and clocks come
from outside, so the simulation and the tests hand in theirs.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar
from uuid import UUID

from serai.core.clock import Clock
from serai.core.limits import BODY_BYTES_MAX, REQUEST_DEADLINE_SECONDS, SEGMENT_BLOCK_ROWS
from serai.core.token import Position, TokenSealer
from serai.gate.caller import Caller
from serai.log.coalesce import Coalescer
from serai.log.copies import Copies
from serai.model import Vertical
from serai.ports.reader import Since
from serai.ports.store import Store
from serai.telemetry.recorder import SILENT, Recorder
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

_ORIGIN: Final = re.compile(
    r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?"
)


T = TypeVar("T")


class AtHome(Protocol):
    """Runs work at an organisation's home shard; `serai.app.homes.Homes` is the one that runs."""

    def __call__(
        self,
        org_id: int,
        work: Callable[[Store, Coalescer], Awaitable[T]],
        *,
        verified: bool = False,
    ) -> Awaitable[T]:
        """Run `work` with the store and the write path of the shard; run it once more, at the new
        home, if the shard says that the organisation is not there. So `work` may be done twice.

        Args:
            verified: ask the shard after `work` whether the organisation is there still: for reads
                that do not ask by themselves.
        """
        ...


class Callers(Protocol):
    """Resolves who asks; `serai.gate.identity.Identity` is the one that runs."""

    async def resolve(self, authorization: str | None) -> Caller:
        """Return the caller, or raise an error of the catalogue."""
        ...

    async def resolve_own(self, authorization: str | None) -> Caller:
        """Return the caller, who needs no role, or raise an error of the catalogue."""
        ...


class Grants(Protocol):
    """Remembers grants for a moment."""

    def notice(self, org_id: int, grants_version: int) -> None:
        """Hear that an organisation's grants have this version now."""
        ...


class IdentityRoutes(Protocol):
    """What the identity routes call; `serai.gate.service.IdentityService` is the one that runs."""

    @property
    def identity(self) -> Callers: ...
    @property
    def grants(self) -> Grants: ...

    async def sign_in(self, request: SignInRequest, *, address: str) -> TokenAnswer: ...
    async def sign_in_oidc(self, request: OidcRequest, *, address: str) -> TokenAnswer: ...
    async def refresh(self, request: RefreshRequest) -> TokenAnswer: ...
    async def sign_out(self, request: SignOutRequest) -> None: ...
    async def change_password(
        self, caller: Caller, request: PasswordRequest, *, address: str
    ) -> TokenAnswer: ...
    async def me(self, caller: Caller) -> MeAnswer: ...
    async def create_api_key(self, caller: Caller, request: ApiKeyRequest) -> ApiKeyCreated: ...
    async def list_api_keys(self, caller: Caller) -> ApiKeysAnswer: ...
    async def revoke_api_key(self, caller: Caller, key_id: UUID) -> None: ...
    async def jwks(self) -> dict[str, list[dict[str, str]]]: ...


async def always_ready() -> bool:
    """Tell that requests can be served; for processes without anything to wait for."""
    return True


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What a deployment chooses. Bounds may be lowered, never raised above `serai.core.limits`.

    Attributes:
        cors_origins: origins whose pages may call the API from a browser, as browsers spell them.
        docs: whether `/docs` and `/openapi.json` are served.
        body_bytes_max: of one request.
        deadline_seconds: of one request.
        compression: whether answers may be compressed.
        block_rows: rows of a page from which on it is made of sealed blocks where there are some.
    """

    cors_origins: tuple[str, ...] = ()
    docs: bool = True
    body_bytes_max: int = BODY_BYTES_MAX
    deadline_seconds: float = REQUEST_DEADLINE_SECONDS
    compression: bool = True
    block_rows: int = SEGMENT_BLOCK_ROWS

    def __post_init__(self) -> None:
        """Refuse settings that contradict the limits (ValueError)."""
        for origin in self.cors_origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"cors_origins: {origin!r} is no origin: scheme://host or scheme://host:port,"
                    " lower case, without a path; there is no wildcard"
                )
        if not 1 <= self.body_bytes_max <= BODY_BYTES_MAX:
            raise ValueError(f"body_bytes_max: from 1 to {BODY_BYTES_MAX}")
        if not 0 < self.deadline_seconds <= REQUEST_DEADLINE_SECONDS:
            raise ValueError(f"deadline_seconds: above 0, at most {REQUEST_DEADLINE_SECONDS}")


@dataclass(frozen=True, slots=True)
class HttpServices:
    """Everything that the HTTP side works with.

    Attributes:
        vertical: the declaration.
        identity: who asks, and the identity routes.
        at_home: runs work at an organisation's home shard.
        sealer: of since-tokens.
        clock: of the server.
        version: of Serai, for the document.
        copies_for: organisation -> reads of its shard's replicas; None: there are none.
        ready: whether this process can serve requests now.
        recorder: is told of requests and pages.
    """

    vertical: Vertical
    identity: IdentityRoutes
    at_home: AtHome
    sealer: TokenSealer
    clock: Clock
    version: str
    settings: HttpSettings = field(default_factory=HttpSettings)
    ready: Callable[[], Awaitable[bool]] = always_ready
    recorder: Recorder = SILENT
    copies_for: Callable[[int], Awaitable[Copies]] | None = None

    async def read(
        self,
        org_id: int,
        need: Position | None,
        work: Callable[[Since], Awaitable[T]],
        *,
        verified: bool = False,
    ) -> T:
        """Run work that only reads: at a replica that has reached `need`, else at home.

        Args:
            need: what the caller must see; None: the newest, or what `work` says at each read.
            verified: as of `AtHome`. A replica's answer verifies itself.
        """
        if self.copies_for is not None:
            found = await (await self.copies_for(org_id)).answered(need, work)
            if found is not None:
                return found[0]
        return await self.at_home(org_id, lambda store, _: work(lambda _: store), verified=verified)
