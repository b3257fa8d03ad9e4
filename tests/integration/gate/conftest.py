"""A directory with users in it, and the identity service over it.

Owns the house that the tests of the gate's database part move into: two organisations, a user of
one, a user of both, on real PostgreSQL. Each test has its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from uuid import UUID

import pytest
import pytest_asyncio

from integration.gate.provider import Provider, provider
from serai.core.errors import Code, SeraiError
from serai.gate import people
from serai.gate.caller import Caller
from serai.gate.issuers import TrustedIssuer
from serai.gate.passwords import PasswordCost
from serai.gate.service import IdentityService, IdentitySettings
from serai.ports.store import Store
from serai.shard.connection import Connection
from serai.shard.pools import PinnedPool
from serai.wire.identity import OidcRequest, SignInRequest, TokenAnswer
from unit.gate.made_tokens import VERIFIER
from unit.gate.support import VERTICAL, Memberships, SetClock

INN, MILL = 7, 8
PASSWORD = "a long enough one"
CHEAP = PasswordCost(memory_kib=64, passes=1)


@dataclass
class House:
    """Everything a test needs."""

    pool: PinnedPool
    clock: SetClock
    service: IdentityService
    ana: UUID
    ben: UUID
    memberships: Memberships = field(default_factory=Memberships)

    async def sign_in(
        self,
        email: str = "ana@example.org",
        password: str = PASSWORD,
        organisation: int | str | None = None,
        device_id: UUID | None = None,
    ) -> TokenAnswer:
        request = SignInRequest(
            email=email, password=password, organisation=organisation, device_id=device_id
        )
        return await self.service.sign_in(request, address="192.0.2.1")

    async def caller(self, access_token: str | None) -> Caller:
        return await self.service.identity.resolve(f"Bearer {access_token}")

    async def sql(self, statement: str, *args: object) -> list[dict[str, object]]:
        async with self.pool.connection() as directory:
            return [dict(row.items()) for row in await directory.fetch(statement, *args)]


async def open_service(
    pool: PinnedPool,
    clock: SetClock,
    memberships: Memberships,
    *,
    cost: PasswordCost = CHEAP,
    issuers: tuple[TrustedIssuer, ...] = (),
    create_users: bool = False,
) -> IdentityService:
    """Return a service as another process would have it."""

    async def stores(org_id: int) -> Store:
        if org_id not in (INN, MILL):
            raise SeraiError(Code.NOT_FOUND)
        return memberships.as_store()

    return await IdentityService.open(
        connections=pool,
        stores=stores,
        vertical=VERTICAL,
        settings=IdentitySettings(password_cost=cost, issuers=issuers, create_users=create_users),
        clock=clock,
    )


async def add_user(
    directory: Connection, service: IdentityService, clock: SetClock, email: str, *orgs: int
) -> UUID:
    user_id = await people.create_user(
        directory,
        email=email,
        name=email.split("@", maxsplit=1)[0].title(),
        password_hash=await service.passwords.hash(PASSWORD),
        now=clock.now(),
    )
    for org_id in orgs:
        await people.add_to_organisation(directory, user_id=user_id, org_id=org_id, now=clock.now())
    return user_id


@pytest_asyncio.fixture
async def house(migrated_database: str) -> AsyncIterator[House]:
    clock, memberships = SetClock(), Memberships()
    async with PinnedPool(migrated_database, size_min=1, size_max=8, wait_seconds=20) as pool:
        service = await open_service(pool, clock, memberships)
        async with pool.connection() as directory:
            await directory.execute(
                "INSERT INTO serai_directory.organisation (org_id, key, name)"
                " VALUES (7, 'inn', 'The Inn'), (8, 'mill', 'The Mill')"
            )
            ana = await add_user(directory, service, clock, "ana@example.org", INN)
            ben = await add_user(directory, service, clock, "ben@example.org", INN, MILL)
        memberships.give(INN, ana, ("owner", None))
        memberships.give(INN, ben, ("desk", None))
        memberships.give(MILL, ben, ("manager", None))
        yield House(pool, clock, service, ana, ben, memberships)
        service.close()


@dataclass
class Door:
    """The house, a provider that it believes, and the service that does."""

    house: House
    provider: Provider
    service: IdentityService

    def sign_in(
        self,
        token: str | None = None,
        *,
        verifier: str = VERIFIER,
        organisation: int | str | None = None,
        device_id: UUID | None = None,
        address: str = "192.0.2.1",
    ) -> Awaitable[TokenAnswer]:
        request = OidcRequest(
            id_token=self.provider.token() if token is None else token,
            nonce_verifier=verifier,
            organisation=organisation,
            device_id=device_id,
        )
        return self.service.sign_in_oidc(request, address=address)

    async def refused(
        self, token: str, *, verifier: str = VERIFIER, address: str = "192.0.2.1"
    ) -> Code:
        return await code_of(self.sign_in(token, verifier=verifier, address=address))


async def code_of(attempt: Awaitable[object]) -> Code:
    with pytest.raises(SeraiError) as refused:
        await attempt
    return refused.value.code


@pytest_asyncio.fixture
async def door(house: House) -> AsyncIterator[Door]:
    async with provider(house.clock) as made:
        service = await open_service(
            house.pool, house.clock, house.memberships, issuers=(made.trusted,)
        )
        yield Door(house, made, service)
        service.close()


async def links(house: House) -> list[tuple[object, object]]:
    rows = await house.sql(
        "SELECT subject, user_id FROM serai_directory.external_identity ORDER BY subject"
    )
    return [(row["subject"], row["user_id"]) for row in rows]
