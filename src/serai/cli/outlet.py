"""`serai outlet`: copies changes to a bus; status, rewind, off.

Owns nothing but the commands. What an operator changes asks for a reason, which the directory's
audit table keeps beside who and when. Never shows the user and password of a URL.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import msgspec
import uvloop
from cyclopts import App, Parameter, validators

from serai.app.settings import load_settings
from serai.cli import Json
from serai.cli.run import CommandFailed, console, print_json, run
from serai.cli.words import Reason

if TYPE_CHECKING:
    from serai.app.outlet import OutletProcess, Sent
    from serai.app.outlet_care import OutletFacts
    from serai.app.settings import Settings

app = App(name="outlet", help="The outlet: changes to NATS or Kafka; status, rewind, off.")


@app.default
def outlet(
    *,
    once: Annotated[bool, Parameter(negative=(), help="End when nothing is left to send.")] = False,
    shard: Annotated[
        list[str] | None, Parameter(negative=(), help="Only this shard; may be given again.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Copy every organisation's changes to the bus of SERAI_OUTLET_URL, until interrupted.

    Any number of these may run: one at a time serves a shard, the others wait for its end.
    """
    return uvloop.run(_run(load_settings(), shard or [], once=once, as_json=as_json))


async def _run(settings: Settings, only: list[str], *, once: bool, as_json: bool) -> int:
    from serai.app.outlet import open_outlet
    from serai.app.shard_facts import ShardError
    from serai.app.telemetry import Telemetry
    from serai.ports.outlet import BusDown, BusRefused

    telemetry = Telemetry(settings, person=not as_json)
    try:
        async with (
            telemetry.shown(),
            open_outlet(settings, only=only, recorder=telemetry.recorder) as process,
        ):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, process.stop)
            if once:
                return _told(await process.run_once(), as_json=as_json)
            await _until_stopped(process, as_json=as_json)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    except BusDown as error:
        raise CommandFailed(f"The bus takes nothing ({error}). What is left stays due.") from error
    except BusRefused as error:
        raise CommandFailed(f"The bus refuses a message: {error}.") from error
    finally:
        telemetry.close()
    return 0


async def _until_stopped(process: OutletProcess, *, as_json: bool) -> None:
    if as_json:
        print_json({"started": True})
    else:
        console.print("The outlet runs")
    await process.run()


def _told(sent: Sent, *, as_json: bool) -> int:
    if as_json:
        print_json(msgspec.to_builtins(sent))
    else:
        print(f"{sent.messages} messages, {sent.bytes:,} B, {sent.begun} organisations anew")
        for name in sent.elsewhere:
            print(f"{name}: another process is its outlet")
    return 1 if sent.elsewhere else 0


@app.command
def status(*, as_json: Json = False) -> int:
    """Tell how far behind the outlet of each shard is. 1 unless all of them send."""
    return run(_status(as_json=as_json))


async def _status(*, as_json: bool) -> int:
    from serai.app.outlet_care import outlet_status

    found = await outlet_status(load_settings())
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        for each in found:
            _tell(each)
    return 0 if all(each.state == "sends" for each in found) else 1


def _tell(facts: OutletFacts) -> None:
    if facts.problem is not None:
        print(f"{facts.shard:<16} does not answer: {facts.problem}")
        return
    waiting = f"{'at least ' if facts.more else ''}{facts.orgs} organisations wait"
    behind = f", {facts.versions} versions and {facts.seconds:.1f} s at most" if facts.orgs else ""
    looking = "; those that wrote before are being looked through" if facts.looking else ""
    print(f"{facts.shard:<16} {facts.state:<8} {waiting}{behind}{looking}")


@app.command
def rewind(
    *,
    to: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=0),
            help="The version after which it goes on; 0 for all.",
        ),
    ],
    reason: Reason,
    org: Annotated[str | None, Parameter(help="Key or number of an organisation.")] = None,
    everyone: Annotated[
        bool, Parameter(name="--all", negative=(), help="Every organisation.")
    ] = False,
    shard: Annotated[str | None, Parameter(help="With --all: only those of this shard.")] = None,
    as_json: Json = False,
) -> int:
    """Send again what the bus has lost: everything after a version.

    Messages that are sent again have other ids than the first time, so that no bus takes them for
    repetitions. Where the log does not reach back so far, the organisation begins again.
    """
    if (org is None) is not everyone or (shard is not None and not everyone):
        raise CommandFailed("Name one organisation with --org, or all with --all.")
    return run(_rewind(to, org, shard, reason, as_json=as_json))


async def _rewind(
    to: int, org: str | None, shard: str | None, reason: str, *, as_json: bool
) -> int:
    from serai.app.outlet_care import rewind_all, rewind_one
    from serai.app.shard_facts import ShardError
    from serai.cli.importing import progress_bar

    settings = load_settings()
    try:
        if org is not None:
            done = int(await rewind_one(settings, org, to, reason=reason))
        else:
            with progress_bar() as bar:
                task = bar.add_task("organisations", total=None, visible=False)
                done = await rewind_all(
                    settings,
                    to,
                    reason=reason,
                    only=shard,
                    progress=lambda count: bar.update(task, completed=count, visible=True),
                )
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json({"organisations": done, "to": to})
    else:
        print(f"{done} organisations are sent again from after version {to}")
    return 0


@app.command
def off(
    shard: Annotated[str, Parameter(help="Name of the shard, such as shard-2.")],
    *,
    reason: Reason,
    as_json: Json = False,
) -> int:
    """Note no more for the outlet of a shard: its writes pay nothing for it. The next `serai
    outlet` switches it on again, and sends what was written meanwhile.
    """
    return run(_off(shard, reason, as_json=as_json))


async def _off(shard: str, reason: str, *, as_json: bool) -> int:
    from serai.app.outlet_care import switch_off
    from serai.app.shard_facts import ShardError

    try:
        was_on = await switch_off(load_settings(), shard, reason=reason)
    except ShardError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json({"shard": shard, "was_on": was_on})
    else:
        console.print(f"nothing of {shard} is noted for the outlet")
    return 0
