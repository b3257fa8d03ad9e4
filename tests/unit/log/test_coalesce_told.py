"""What the write path tells: every write's outcome, every transaction, and for whom one failed.

Owns the tests of the coalescer's recorder and of the lane's context: a lane serves many requests,
so nothing that is logged in it may carry the id of the one that happened to start it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from serai.adapters.memory import MemoryStore
from serai.core.errors import Code
from serai.log.coalesce import Coalescer
from serai.ports.store import Outcome, PlannedWrite
from serai.telemetry.exchange import CURRENT, Exchange
from serai.telemetry.recorder import Recorder
from unit.log.house import HOUSE, ORG, caller, opened, rest, stay
from unit.log.queueing import answers, code, nights


class Heard(Recorder):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, int, int]] = []
        self.batches: list[int] = []
        self.failed: list[tuple[int, str, list[str]]] = []
        self.spans: list[tuple[str, list[str]]] = []

    def span(
        self, name: str, exchanges: Iterable[Exchange | None] = ()
    ) -> AbstractContextManager[object]:
        self.spans.append((name, [e.id for e in exchanges if e is not None]))
        return nullcontext()

    def batch(self, writes: int, seconds: float) -> None:
        assert seconds >= 0
        self.batches.append(writes)

    def batch_failed(self, writes: int, error: BaseException, exchanges: list[Exchange]) -> None:
        self.failed.append((writes, type(error).__name__, [e.id for e in exchanges]))

    def write(self, outcome: str, org_id: int, rows: int, waited_seconds: float) -> None:
        assert waited_seconds >= 0
        self.writes.append((outcome, org_id, rows))


class Broken(MemoryStore):
    """A store that is lost in the middle of a commit."""

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        raise ConnectionResetError(len(writes))


class Asking(MemoryStore):
    """A store that looks on whose behalf it is asked."""

    asked_for: Exchange | None = None

    async def commit(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        self.asked_for = CURRENT.get()
        return await super().commit(writes)


async def test_each_write_and_each_transaction_is_told() -> None:
    heard = Heard()
    coalescer = Coalescer(await opened(), HOUSE, recorder=heard)
    once = rest(caller(), stay(1), key="k-1")
    await answers(coalescer, once, rest(caller(), stay(2)))
    await answers(coalescer, once)
    assert heard.writes == [("committed", ORG, 1)] * 2 + [("replayed", ORG, 1)]
    assert heard.batches == [2, 1]
    assert [name for name, _ in heard.spans] == ["serai.decide", "serai.commit"] * 2


async def test_a_failed_transaction_names_the_requests_that_it_failed_for() -> None:
    heard = Heard()
    store = Broken(HOUSE)
    await store.create_org(ORG)
    coalescer = Coalescer(store, HOUSE, recorder=heard)
    token = CURRENT.set(Exchange("r-1"))
    first = coalescer.enqueue(rest(caller(), stay(1)))
    CURRENT.set(Exchange("r-2"))
    second = coalescer.enqueue(rest(caller(), stay(2)))
    CURRENT.reset(token)
    third = coalescer.enqueue(rest(caller(), stay(3)))
    done = await asyncio.gather(first, second, third, return_exceptions=True)
    assert [type(each) for each in done] == [ConnectionResetError] * 3
    assert heard.failed == [(3, "ConnectionResetError", ["r-1", "r-2"])]


async def test_a_transaction_runs_for_no_single_request() -> None:
    store = Asking(HOUSE)
    await store.create_org(ORG)
    token = CURRENT.set(Exchange("r-1"))
    heard = Heard()
    await answers(Coalescer(store, HOUSE, recorder=heard), rest(caller(), stay(1)))
    CURRENT.reset(token)
    assert store.asked_for is None
    assert ("serai.commit", ["r-1"]) in heard.spans


async def test_the_queues_length_can_be_looked_up() -> None:
    coalescer = Coalescer(await opened(), HOUSE)
    waiting = [coalescer.enqueue(rest(caller(), stay(n))) for n in (1, 2, 3)]
    assert coalescer.queued == 3
    await asyncio.gather(*waiting)
    assert coalescer.queued == 0


async def test_a_refused_write_is_no_outcome_of_a_transaction() -> None:
    heard = Heard()
    coalescer = Coalescer(await opened(), HOUSE, recorder=heard)
    [answer] = await answers(coalescer, rest(caller(), nights(9, 2)))
    assert code(answer) is Code.NOT_FOUND
    assert heard.writes == []
