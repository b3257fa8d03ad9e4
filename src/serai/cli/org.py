"""`serai org` and `serai user`: organisations and people, by an operator.

Owns nothing but the commands. Promises that doing one twice changes nothing. Never shows a password
that it did not just make.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.audit import app as audit_app
from serai.cli.export import export
from serai.cli.moving import move, verify
from serai.cli.restore import restore
from serai.cli.run import CommandFailed, console, print_json, run
from serai.cli.shut_out import disable, enable, sign_out
from serai.cli.transferring import transfer, transfers
from serai.cli.where import where

app = App(name="org", help="Organisations: where they live, move, transfer, restore, export.")
for each in (audit_app, where, move, verify, transfer, transfers, restore, export):
    app.command(each)
user_app = App(name="user", help="People: create, add to an organisation, password, disable.")
for each in (sign_out, disable, enable):
    user_app.command(each)


@app.command
def create(
    key: Annotated[str, Parameter(help="Its name in commands and sign-ins, such as demo.hotels.")],
    *,
    owner: Annotated[str | None, Parameter(help="E-mail of the owner; made if unknown.")] = None,
    name: Annotated[str, Parameter(help="Its name for people.")] = "",
    as_json: Json = False,
) -> int:
    """Make an organisation, and its owner if given. Doing it again changes nothing."""
    return run(_create(key, owner, name, as_json=as_json))


async def _create(key: str, owner: str | None, name: str, *, as_json: bool) -> int:
    from serai.app.organisations import create_organisation
    from serai.app.people import ensure_user, first_password
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        user = None if owner is None else await ensure_user(runtime, owner)
        org_id = await create_organisation(
            runtime, key, name=name, owner=None if user is None else user.user_id
        )
        password = None if user is None else await first_password(runtime, user)
    if as_json:
        print_json({"org_id": org_id, "key": key, "owner": owner, "password": password})
        return 0
    console.print(f"organisation {key} has number {org_id}")
    if password is not None:
        console.print(f"{owner} signs in with this password, shown once: {password}")
    return 0


@app.command(name="list")
def list_organisations(
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1), help="At most.")] = 50,
    as_json: Json = False,
) -> int:
    """List organisations with their home shard."""
    return run(_list(limit, as_json=as_json))


async def _list(limit: int, *, as_json: bool) -> int:
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        found = [
            {
                "org_id": org_id,
                "key": key,
                "name": name,
                "shard": runtime.directory.resolve(org_id).name,
            }
            for org_id, key, name in await runtime.directory.organisations(limit=limit)
        ]
    if as_json:
        print_json(found)
        return 0
    for row in found:
        print(f"{row['org_id']:>10}  {row['key']:<40} {row['shard']:<12} {row['name']}")
    return 0


@user_app.command(name="create")
def create_user(email: str, *, as_json: Json = False) -> int:
    """Make a user with a new password, shown once. A role in an organisation comes from a
    membership.

    Parameters
    ----------
    email
        How the user signs in.
    """
    return run(_create_user(email, as_json=as_json))


async def _create_user(email: str, *, as_json: bool) -> int:
    from serai.app.people import ensure_user, first_password
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        user = await ensure_user(runtime, email)
        password = await first_password(runtime, user)
    if password is None:
        raise CommandFailed(
            f"{email} exists already. For a new password: serai user password {email}"
        )
    return _tell_password(user.user_id, email, password, as_json=as_json)


@user_app.command(name="password")
def new_password(email: str, *, as_json: Json = False) -> int:
    """Give a user a new password, shown once. Every session of the user ends; identities at OpenID
    Connect providers stay, until `serai user unlink`.

    Parameters
    ----------
    email
        How the user signs in.
    """
    return run(_new_password(email, as_json=as_json))


async def _new_password(email: str, *, as_json: bool) -> int:
    from serai.app.people import issuers_of, new_password_for, user_id_of
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        user_id = await user_id_of(runtime, email)
        if user_id is None:
            raise CommandFailed(f"There is no user {email}. Make one: serai user create {email}")
        password = await new_password_for(runtime, user_id)
        linked = await issuers_of(runtime, user_id)
    if as_json:
        shown = {"user_id": str(user_id), "email": email, "password": password, "linked": linked}
        print_json(shown)
        return 0
    _tell_password(user_id, email, password, as_json=False)
    if linked:
        console.print(
            f"still signed in by their accounts at {', '.join(linked)}. To forget these: "
            f"serai user unlink {email}"
        )
    return 0


@user_app.command
def link(email: str, issuer: str, subject: str, *, as_json: Json = False) -> int:
    """Say which account at an OpenID Connect provider is a user's. Doing it again changes nothing.

    Parameters
    ----------
    email
        The user's e-mail here.
    issuer
        The provider, as `iss` of its ID tokens spells it.
    subject
        The account there: `sub` of its ID tokens.
    """
    return run(_link(email, issuer, subject, as_json=as_json))


async def _link(email: str, issuer: str, subject: str, *, as_json: bool) -> int:
    from serai.app.people import link_identity, user_id_of
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        user_id = await user_id_of(runtime, email)
        if user_id is None:
            raise CommandFailed(f"There is no user {email}. Make one: serai user create {email}")
        await link_identity(runtime, user_id, issuer, subject)
    if as_json:
        print_json({"user_id": str(user_id), "email": email, "issuer": issuer, "subject": subject})
    else:
        console.print(f"{email} signs in as {subject} at {issuer}")
    return 0


@user_app.command
def unlink(email: str, *, as_json: Json = False) -> int:
    """Forget a user's identities at OpenID Connect providers, and end every session. The next
    sign-in with a verified e-mail, of a domain that the provider may vouch for, links anew.

    Parameters
    ----------
    email
        The user's e-mail here.
    """
    return run(_unlink(email, as_json=as_json))


async def _unlink(email: str, *, as_json: bool) -> int:
    from serai.app.people import unlink_identities, user_id_of
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        user_id = await user_id_of(runtime, email)
        if user_id is None:
            raise CommandFailed(f"There is no user {email}.")
        issuers, ended = await unlink_identities(runtime, user_id)
    if as_json:
        print_json(
            {"user_id": str(user_id), "email": email, "unlinked": issuers, "sessions_ended": ended}
        )
    else:
        console.print(f"{email}: identities forgotten: {len(issuers)}; sessions ended: {ended}")
    return 0


def _tell_password(user_id: UUID, email: str, password: str, *, as_json: bool) -> int:
    if as_json:
        print_json({"user_id": str(user_id), "email": email, "password": password})
    else:
        console.print(f"{email} has id {user_id} and this password, shown once: {password}")
    return 0


@user_app.command(name="add")
def add_user(
    email: Annotated[str, Parameter(help="How the user signs in; made if unknown.")],
    *,
    org: Annotated[str, Parameter(help="Key of the organisation.")],
    role: Annotated[str, Parameter(help="A role of the vertical, such as front_desk.")],
    property_id: Annotated[
        UUID | None, Parameter(name="--property", help="Only at this property.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Give a user a role in an organisation. Doing it again changes nothing."""
    return run(_add_user(email, org, role, property_id, as_json=as_json))


async def _add_user(
    email: str, key: str, role: str, property_id: UUID | None, *, as_json: bool
) -> int:
    from serai.app.organisations import give_role
    from serai.app.people import ensure_user, first_password
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        org_id = await runtime.directory.org_by_key(key)
        if org_id is None:
            raise CommandFailed(
                f"There is no organisation {key!r}. Make it: serai org create {key}"
            )
        user = await ensure_user(runtime, email)
        await give_role(runtime, org_id, user.user_id, role, property_id)
        password = await first_password(runtime, user)
    shown = {
        "user_id": str(user.user_id),
        "email": email,
        "org": key,
        "role": role,
        "property": None if property_id is None else str(property_id),
        "password": password,
    }
    if as_json:
        print_json(shown)
        return 0
    console.print(f"{email} has the role {role} in {key}")
    if password is not None:
        console.print(f"password, shown once: {password}")
    return 0
