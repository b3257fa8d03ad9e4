"""The conformance suite on the reference store.

Owns the run of every case on the store in memory, which the simulation and the differential test
stand on. Never needs a database.
"""

from __future__ import annotations

import pytest

from conformance.subjects import MemorySubject
from serai.testing.store_conformance import CASES, Case, Desk
from serai.testing.store_conformance.ordering import (
    a_number_is_known_for_good,
    a_number_with_another_body_is_told_apart_for_long,
)


class Forgetful(MemorySubject):
    """A store that keeps no hash of what it has answered."""

    async def forget_replies(self, org_id: int) -> None:
        await super().forget_replies(org_id)
        self.store.organisations[org_id].past.clear()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_reference_keeps_the_stores_promise(case: Case):
    await case(await Desk.open(MemorySubject()))


async def test_a_store_that_takes_any_body_for_an_old_number_is_found():
    await a_number_is_known_for_good(await Desk.open(Forgetful()))
    with pytest.raises(AssertionError):
        await a_number_with_another_body_is_told_apart_for_long(await Desk.open(Forgetful()))
