"""Organisations and their first rows: made so that a half-made one can be finished.

Owns the order of making an organisation: directory, shard, owner. Promises that doing it again
changes nothing. Never deletes one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import NAMESPACE_URL, UUID, uuid5

from serai.app.runtime import Runtime, Shard
from serai.app.system_actor import SystemActor
from serai.core.errors import Code, SeraiError
from serai.gate import people
from serai.log.intent import RowIntent, WriteIntent
from serai.model import Row


async def create_organisation(
    runtime: Runtime, key: str, *, name: str = "", owner: UUID | None = None
) -> int:
    """Return the number of the organisation with this key, made now if there was none.

    Args:
        owner: the user who gets the vertical's owner role at every property.
    """
    org_id = await runtime.directory.create_organisation(key, name=name, created_by=owner)
    await runtime.homes.at_home(org_id, lambda store, _: store.create_org(org_id))
    if owner is not None:
        await give_role(runtime, org_id, owner, runtime.vertical.owner_role, None)
    return org_id


async def give_role(
    runtime: Runtime, org_id: int, user_id: UUID, role: str, property_id: UUID | None
) -> None:
    """Give a user a role at a property, or (None) at all of them, and list the organisation at the
    user's sign-in. Doing it again changes nothing.

    Raises:
        SeraiError: `fields_invalid` for a role that the vertical does not have, `reference_missing`
            for a property that is not there.
    """
    if role not in runtime.vertical.roles:
        known = ", ".join(sorted(runtime.vertical.roles))
        raise SeraiError(Code.FIELDS_INVALID, f"There is no role {role!r}. Roles: {known}.")
    async with runtime.directory.pool.connection() as directory:
        await people.add_to_organisation(
            directory, user_id=user_id, org_id=org_id, now=runtime.clock.now()
        )
    source = runtime.vertical.grants
    collection = runtime.vertical.by_name[source.collection]
    row: Row = dict.fromkeys(collection.fields)
    row |= {
        source.user_field: str(user_id),
        source.role_field: role,
        source.property_field: None if property_id is None else str(property_id),
    }
    row_id = uuid5(NAMESPACE_URL, f"serai:role:{org_id}:{user_id}:{role}:{property_id}")
    home = await runtime.shard_for(org_id)
    await insert_missing(runtime, home, org_id, [(source.collection, row_id, row)])


async def insert_missing(
    runtime: Runtime, shard: Shard, org_id: int, rows: Iterable[tuple[str, UUID, Row]]
) -> int:
    """Insert the rows that are not there yet, in their order; return how many were."""
    actor = SystemActor(runtime.vertical)
    made = 0
    for name, row_id, row in rows:
        wish = RowIntent(runtime.vertical.by_name[name], "insert", row_id, row)
        digest = hashlib.sha256(row_id.bytes).digest()
        try:
            await shard.coalescer.submit(WriteIntent(org_id, actor, (wish,), None, digest))
            made += 1
        except SeraiError as error:
            if error.code is not Code.ROW_EXISTS:
                raise
    return made
