"""An organisation moves to a shard whose primary is lost before any replica has heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from integration.app.programs import Shell
from scenarios.pair import SECONDS, SHARDS, Pair, Till, pulled, token_of, typed
from serai.app.move_run import MoveOptions
from serai.app.moving import Order, move_organisations, resume_moves
from serai.app.promotion import Promoted, _Servers, promote
from serai.app.verifying import verify_organisation

AT_ONCE = Order("a test", MoveOptions(grace_seconds=0))


class Died(BaseException):
    """The command is gone."""


def cut_off(pair: Pair) -> None:
    """Let the replica receive nothing more: whoever sends to it stands still."""
    with psycopg.connect(pair.primary.url("shard"), autocommit=True) as connection:
        ((sender,),) = connection.execute("select pid from pg_stat_replication").fetchall()
    psutil.Process(sender).suspend()


def rows(url: str, org_id: int) -> set[str]:
    """Return the properties that a shard has, by SQL, past everything under test."""
    text = "select id::text from serai.row where org_id = %s and collection = 1"
    with psycopg.connect(url, autocommit=True) as connection:
        return {row_id for (row_id,) in connection.execute(text.encode(), (org_id,))}


def home(pair: Pair, org_id: int) -> tuple[str, int]:
    """Return state and epoch on the second shard, where the organisation comes from."""
    text = "select state, epoch from serai.org where org_id = %s"
    with psycopg.connect(pair.second_url, autocommit=True) as connection:
        (found,) = connection.execute(text.encode(), (org_id,)).fetchall()
    return found


async def written(till: Till, count: int) -> list[str]:
    """Let the till write so many rows; return those that were acknowledged by then."""
    done = asyncio.Event()
    task = asyncio.create_task(till.run(done))
    await till.more(count)
    done.set()
    await task
    return list(till.acknowledged)


async def moved_and_lost(pair: Pair, till: Till) -> tuple[set[str], set[str]]:
    """Move the second organisation to the first shard, write there, and lose the primary. Return
    what was acknowledged before the move, and after it.
    """
    before = set(await written(till, 5))
    cut_off(pair)
    report = await move_organisations(pair.settings, [pair.inns[1].org_id], SHARDS[0], AT_ONCE)
    assert (report.moved, report.swept) == (1, 0), "no replica has it: the old copy stays"
    after = set(await written(till, 5)) - before
    pair.kill_primary()
    return before, after


async def promoted(pair: Pair) -> Promoted:
    return await promote(
        pair.settings,
        SHARDS[0],
        "copy-1",
        synchronous=False,
        primary_is_down=True,
        reason="its machine burned",
    )


async def test_it_is_open_again_where_it_came_from_with_all_that_was_there(
    pair: Pair, tmp_path: Path
):
    shell = Shell(
        tmp_path, {"SERAI_DIRECTORY_URL": pair.settings.directory_url, "SUDO_USER": "ann"}
    )
    org_id = pair.inns[1].org_id
    async with pair.tills() as (_, till):
        token = await token_of(till.api)
        before, after = await moved_and_lost(pair, till)
        words = ("--to", "copy-1", "--primary-is-down", "--reason", "its machine burned", "--json")
        told = (await typed(shell, "promote", SHARDS[0], *words)).json
        assert [each["org_id"] for each in told["brought_back"] + told["waiting"]] == [org_id]
        assert told["brought_back"][0]["shard"] == SHARDS[1]
        assert (told["waiting"], told["missing"]) == ([], [])
        kept = rows(pair.second_url, org_id)
        assert before <= kept, "a row that the old home had is lost"
        assert not after & kept, "the replica had the tail: this test shows nothing"
        state, epoch = home(pair, org_id)
        assert (state, epoch > 1) == ("active", True)
        # The same access token, and the device checks anew instead of missing rows silently.
        async with asyncio.timeout(SECONDS):
            while not (await pulled(till.api, token)).get("mustRefetch"):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)
        more = set(await written(till, 5)) - before - after
        assert rows(pair.second_url, org_id) == kept | more
    history = (await typed(shell, "history", "--json")).json
    brought = [each for each in history if each["subject"] == "org_override"]
    assert brought[0]["reason"] == "promoted copy-1: its machine burned"
    assert brought[0]["actor"].startswith("ann")
    verified = await verify_organisation(pair.settings, str(org_id))
    assert (verified.shard, verified.problems) == (SHARDS[1], [])


@pytest.mark.parametrize("step", ["raise_epochs", "settle_moves", "name"])
async def test_a_promotion_that_is_killed_is_finished_by_whoever_comes_next(
    pair: Pair, step: str, monkeypatch: pytest.MonkeyPatch
):
    done: Callable[[_Servers], Awaitable[Any]] = getattr(_Servers, step)

    async def dies(self: _Servers) -> None:
        await done(self)
        raise Died

    org_id = pair.inns[1].org_id
    async with pair.tills() as (_, till):
        before, _ = await moved_and_lost(pair, till)
        with monkeypatch.context() as patch:
            patch.setattr(_Servers, step, dies)
            with pytest.raises(Died):
                await promoted(pair)
        if step == "name":
            report = await resume_moves(pair.settings, AT_ONCE)
            assert (report.ended, report.stuck) == (1, {})
        else:
            again = await promoted(pair)
            assert [each.org_id for each in again.brought_back] == [org_id]
        assert home(pair, org_id)[0] == "active"
        assert before <= rows(pair.second_url, org_id)
        await written(till, 2)
