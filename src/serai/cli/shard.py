"""`serai shard`: shards, by an operator: list, add, open, close, check.

Owns nothing but the commands. Every change asks for a reason, which the directory's audit table
keeps beside who and when. Never shows the user and password of a shard's URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import App, Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.moving import drain, move_share
from serai.cli.run import CommandFailed, console, print_json, run
from serai.cli.words import Reason, Url, read_url

if TYPE_CHECKING:
    from serai.app.shard_facts import Change, RangeFacts, ShardFacts
    from serai.schema.migrate import Progress

app = App(name="shard", help="Shards: list, add, open, close, move, drain, check.")
app.command("serai.cli.replica:app", name="replica", help="Replicas of a shard.")
app.command(
    "serai.cli.replica:promote",
    name="promote",
    help="Put a replica in the place of its shard's primary.",
)
app.command(move_share, name="move")
app.command(drain)

Name = Annotated[str, Parameter(help="Name of the shard, such as shard-2.")]
Orgs = Annotated[
    int,
    Parameter(
        validator=validators.Number(gte=1, lte=1_000_000_000), help="How many numbers it may give."
    ),
]


@app.command(name="list")
def list_shards(*, as_json: Json = False) -> int:
    """List shards: state, organisations, size on disk, version of the schema, ranges."""
    return run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> int:
    from serai.app.shard_facts import list_shards

    shards = await list_shards(load_settings())
    if as_json:
        print_json(msgspec.to_builtins(shards))
    else:
        for each in shards:
            _tell_shard(each)
    return 1 if any(each.problem for each in shards) else 0


def _tell_shard(facts: ShardFacts) -> None:
    size = "-" if facts.bytes is None else f"{facts.bytes / 2**20:,.1f} MiB"
    schema = "-" if facts.schema is None else str(facts.schema)
    ranges = ", ".join(f"{r.first}-{r.stop - 1}" for r in facts.ranges) or "no range"
    print(
        f"{facts.name:<16} {facts.state:<9} {facts.organisations:>10} organisations  {size:>12}  "
        f"schema {schema:<3} {ranges}  {facts.address}"
    )
    if facts.problem is not None:
        print(f"{'':<16} does not answer: {facts.problem}")


@app.command
def add(
    name: Name, url: Url, *, reason: Reason, orgs: Orgs = 10_000_000, as_json: Json = False
) -> int:
    """Make an empty database a shard that takes new organisations. Doing it again changes
    nothing.
    """
    return run(_add(name, read_url(url), orgs, reason, as_json=as_json))


async def _add(name: str, url: str, orgs: int, reason: str, *, as_json: bool) -> int:
    from serai.app.shard_facts import ShardError
    from serai.app.shards import add_shard

    def tell(step: Progress) -> None:
        if not as_json:
            console.print(f"{step.database}: {step.state} {step.detail} {step.done}/{step.total}")

    try:
        given = await add_shard(load_settings(), name, url, orgs=orgs, reason=reason, progress=tell)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    return _tell_range(name, given, as_json=as_json)


@app.command
def extend(name: Name, *, reason: Reason, orgs: Orgs = 10_000_000, as_json: Json = False) -> int:
    """Give a shard another range of numbers, when those that it has are nearly used up."""
    return run(_extend(name, orgs, reason, as_json=as_json))


async def _extend(name: str, orgs: int, reason: str, *, as_json: bool) -> int:
    from serai.app.shard_facts import ShardError
    from serai.app.shards import extend

    try:
        given = await extend(load_settings(), name, orgs, reason=reason)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    return _tell_range(name, given, as_json=as_json)


def _tell_range(name: str, given: RangeFacts, *, as_json: bool) -> int:
    if as_json:
        print_json({"shard": name, "first": given.first, "stop": given.stop})
    else:
        console.print(f"{name} has the numbers {given.first} to {given.stop - 1}")
    return 0


@app.command(name="open")
def open_shard(name: Name, *, reason: Reason, as_json: Json = False) -> int:
    """Let a shard take new organisations. They go to the open shard with the fewest."""
    return run(_state(name, "open", reason, as_json=as_json))


@app.command
def close(name: Name, *, reason: Reason, as_json: Json = False) -> int:
    """Let a shard take no new organisations. It keeps and serves those that it has."""
    return run(_state(name, "closed", reason, as_json=as_json))


async def _state(name: str, state: Literal["open", "closed"], reason: str, *, as_json: bool) -> int:
    from serai.app.shard_facts import ShardError, list_states
    from serai.app.shards import set_state

    settings = load_settings()
    try:
        await set_state(settings, name, state, reason=reason)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    states = await list_states(settings)
    if as_json:
        still_open = [each for each, its in states.items() if its == "open"]
        print_json({"shard": name, "state": states[name], "open": still_open})
        return 0
    console.print(f"{name} is {states[name]}")
    if "open" not in states.values():
        console.print("No shard is open: new organisations are refused until one is.")
    return 0


@app.command(name="url")
def set_url(name: Name, url: Url, *, reason: Reason, as_json: Json = False) -> int:
    """Say where a shard's database is now. Refused if its organisations are not there."""
    return run(_set_url(name, read_url(url), reason, as_json=as_json))


async def _set_url(name: str, url: str, reason: str, *, as_json: bool) -> int:
    from serai.app.shard_facts import ShardError
    from serai.app.shards import set_url
    from serai.schema.database_url import address_of

    try:
        await set_url(load_settings(), name, url, reason=reason)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json({"shard": name, "address": address_of(url)})
    else:
        console.print(f"{name} is at {address_of(url)}")
    return 0


@app.command
def history(
    *,
    limit: Annotated[
        int, Parameter(validator=validators.Number(gte=1), help="How many at most.")
    ] = 50,
    as_json: Json = False,
) -> int:
    """List changes of placement, newest first: what, who, when, why."""
    return run(_history(limit, as_json=as_json))


async def _history(limit: int, *, as_json: bool) -> int:
    from serai.app.shard_facts import history

    changes = await history(load_settings(), limit)
    if as_json:
        print_json(msgspec.to_builtins(changes))
    else:
        for each in changes:
            print(_line(each))
    return 0


def _line(change: Change) -> str:
    from serai.core.clock import timestamp_text

    words = {"org_override": "move", "org_range": "range", "shard": "shard"}
    what = ", ".join(f"{k}={v}" for k, v in change.what.items() if not k.endswith("_at"))
    return (
        f"{change.version:>8}  {timestamp_text(change.at)}  {change.actor}  "
        f"{words.get(change.subject, change.subject)} {change.action}: {what}  ({change.reason})"
    )


@app.command
def check(*, as_json: Json = False) -> int:
    """Compare directory and shards: does each organisation live where it is looked for, and nowhere
    else? Status 1 if anything failed.
    """
    return run(_check(as_json=as_json))


async def _check(*, as_json: bool) -> int:
    from serai.app.shard_check import check_shards
    from serai.cli.doctor_shown import tell
    from serai.cli.importing import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("organisations", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        findings = await check_shards(load_settings(), show)
    return tell({}, findings, as_json=as_json)
