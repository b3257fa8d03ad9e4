"""`serai user sign-out | disable | enable`: people who are to get in no more, or again.

Owns nothing but the commands. Promises that doing one twice changes nothing more. Never removes a
user: what they wrote goes on naming them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import Parameter

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from serai.app.runtime import Runtime

Email = Annotated[str, Parameter(help="How the user signs in.")]


def sign_out(email: Email, *, as_json: Json = False) -> int:
    """End every session of a user, on every device. They may sign in again, with the password that
    they have.
    """
    user_id, ended = run(_done(email, _signed_out))
    if as_json:
        print_json({"user_id": str(user_id), "email": email, "sessions_ended": ended})
    else:
        console.print(f"{email} is signed out; sessions ended: {ended}")
    return 0


def disable(email: Email, *, as_json: Json = False) -> int:
    """Let a user sign in no more, in any way, and end every session. Their password, roles and
    rows stay as they are, and so do API keys that they made.
    """
    user_id, ended = run(_done(email, _disabled))
    if as_json:
        shown = {"user_id": str(user_id), "email": email, "state": "disabled"}
        print_json({**shown, "sessions_ended": ended})
    else:
        console.print(f"{email} is disabled; sessions ended: {ended}")
        console.print("API keys that they made go on: see /v1/api-keys of their organisations")
    return 0


def enable(email: Email, *, as_json: Json = False) -> int:
    """Let a user who was disabled sign in again, with the password and the roles of before."""
    user_id, _ = run(_done(email, _enabled))
    if as_json:
        print_json({"user_id": str(user_id), "email": email, "state": "active"})
    else:
        console.print(f"{email} may sign in")
    return 0


async def _done(email: str, work: Callable[[Runtime, UUID], Awaitable[int]]) -> tuple[UUID, int]:
    """Do something to the user with this e-mail; return who that is, and what came of it."""
    from serai.app.people import user_id_of
    from serai.app.runtime import open_runtime

    async with open_runtime(load_settings(), as_owner=True) as runtime:
        user_id = await user_id_of(runtime, email)
        if user_id is None:
            raise CommandFailed(f"There is no user {email}.")
        return user_id, await work(runtime, user_id)


async def _signed_out(runtime: Runtime, user_id: UUID) -> int:
    from serai.app.people import sign_out_everywhere

    return await sign_out_everywhere(runtime, user_id)


async def _disabled(runtime: Runtime, user_id: UUID) -> int:
    from serai.app.people import shut_out

    return await shut_out(runtime, user_id)


async def _enabled(runtime: Runtime, user_id: UUID) -> int:
    from serai.app.people import let_in

    await let_in(runtime, user_id)
    return 0
