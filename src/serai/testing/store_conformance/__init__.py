"""The conformance suite of `serai.ports.store.Store`: what an adapter must do, as cases.

Owns the cases. A case is an async function of a `Desk`: one organisation of its own on the store
under test. Promises that every method and every outcome of the protocol is looked at, and that
a case which fails raises AssertionError. Never names an adapter, and needs no test runner:

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
    async def test_store(case, subject):
        await case(await Desk.open(subject))

An adapter passes when every case passes on the tables of `serai.testing.vertical.VERTICAL`. What
stands in `Check.sql` is not looked at here: an adapter without SQL cannot know it.
"""

from __future__ import annotations

from typing import Final

from serai.testing.store_conformance import (
    auditing,
    committing,
    constraining,
    fencing,
    filling,
    listing,
    living,
    once,
    ordering,
    reading_log,
    refusing,
    sealing,
)
from serai.testing.store_conformance.desk import Case, Desk, Subject

CASES: Final[tuple[Case, ...]] = (
    *committing.CASES,
    *constraining.CASES,
    *fencing.CASES,
    *once.CASES,
    *ordering.CASES,
    *refusing.CASES,
    *reading_log.CASES,
    *filling.CASES,
    *listing.CASES,
    *auditing.CASES,
    *living.CASES,
    *sealing.CASES,
)

__all__ = ["CASES", "Case", "Desk", "Subject"]
