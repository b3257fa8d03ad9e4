"""`serai shard replica` and `serai shard promote`: copies of a shard, by an operator.

Owns nothing but the commands. Every change asks for a reason, which the directory's audit table
keeps beside who and when. Never shows the user and password of a URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run
from serai.cli.words import Reason, Url, read_url

if TYPE_CHECKING:
    from serai.app.promotion import Promoted

app = App(name="replica", help="Replicas of a shard: list, add, remove.")

Shard = Annotated[str, Parameter(help="Name of the shard, such as shard-2.")]
Name = Annotated[str, Parameter(help="Name of the replica, such as copy-1.")]


@app.command(name="list")
def list_replicas(*, as_json: Json = False) -> int:
    """List replicas: address, whether each follows its primary, how far behind it is."""
    return run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> int:
    from serai.app.replicas import list_replicas

    found = await list_replicas(load_settings())
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        for each in found:
            behind = "-" if each.behind_bytes is None else f"{each.behind_bytes:,} B behind"
            print(f"{each.shard:<16} {each.name:<16} {each.state:<10} {behind:>16}  {each.address}")
    return 1 if any(each.state != "follows" for each in found) else 0


@app.command
def add(shard: Shard, name: Name, url: Url, *, reason: Reason, as_json: Json = False) -> int:
    """Let a streaming replica of the shard answer reads. Doing it again changes nothing, or the
    URL.
    """
    return run(_add(shard, name, read_url(url), reason, as_json=as_json))


async def _add(shard: str, name: str, url: str, reason: str, *, as_json: bool) -> int:
    from serai.app.replicas import add
    from serai.app.shard_facts import ShardError

    try:
        await add(load_settings(), shard, name, url, reason=reason)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json({"shard": shard, "replica": name})
    else:
        console.print(f"{name} answers reads of {shard}")
    return 0


@app.command
def remove(shard: Shard, name: Name, *, reason: Reason, as_json: Json = False) -> int:
    """Send no more reads to a replica. It runs on."""
    return run(_remove(shard, name, reason, as_json=as_json))


async def _remove(shard: str, name: str, reason: str, *, as_json: bool) -> int:
    from serai.app.replicas import remove
    from serai.app.shard_facts import ShardError

    try:
        await remove(load_settings(), shard, name, reason=reason)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json({"shard": shard, "replica": name})
    else:
        console.print(f"{name} answers no more reads of {shard}")
    return 0


def promote(
    name: Shard,
    *,
    to: Name,
    reason: Reason,
    synchronous: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Commits waited for this replica: nothing acknowledged is lost, the epoch stays.",
        ),
    ] = False,
    primary_is_down: Annotated[
        bool,
        Parameter(
            negative=(), help="The old primary does not run, and will not by itself: do not ask it."
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    """Put a replica in the place of its shard's primary. Cut off, the same again finishes it.

    An old primary that answers is made read-only first and its log is waited for, so nothing is
    lost. One that is down cannot be asked: unless commits waited for the replica, the end of the
    log may be lost, and every device of the shard checks its rows anew.
    """
    return run(
        _promote(
            name,
            to,
            reason,
            synchronous=synchronous,
            primary_is_down=primary_is_down,
            as_json=as_json,
        )
    )


async def _promote(
    name: str, to: str, reason: str, *, synchronous: bool, primary_is_down: bool, as_json: bool
) -> int:
    from serai.app.promotion import promote
    from serai.app.shard_facts import ShardError
    from serai.cli.importing import progress_bar

    try:
        with progress_bar() as bar:
            task = bar.add_task("epochs", total=None, visible=False)
            done = await promote(
                load_settings(),
                name,
                to,
                synchronous=synchronous,
                primary_is_down=primary_is_down,
                reason=reason,
                progress=lambda count: bar.update(task, completed=count, visible=True),
            )
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json(msgspec.to_builtins(done))
        return 0
    _tell_promoted(done)
    return 0


def _tell_promoted(done: Promoted) -> None:
    name, to = done.shard, done.replica
    console.print(f"{to} is the primary of {name}, after {done.seconds:g} s")
    if done.epochs:
        console.print(f"{done.epochs} organisations have a new epoch: their devices check anew")
    for each in done.brought_back:
        console.print(f"{each.key} is back on {each.shard}: it had just left it")
    for each in done.waiting:
        console.print(f"{each.key} is to be back on {each.shard}, and waits: {each.waits}")
    for each in done.missing:
        console.print(f"{each.key} ({each.org_id}) is lost: no shard has a copy")
    if done.left_out:
        console.print("Left out until they follow it: let each do so, then type for it")
        for each in done.left_out:
            console.print(
                f"serai shard replica add {name} {each} - --reason 'follows {to}'  # its URL on"
                " standard input"
            )
