"""The conformance suite on the reference store.

Owns the run of every case on the store in memory, which the simulation and the differential test
stand on. Never needs a database.
"""

from __future__ import annotations

import pytest

from conformance.subjects import MemorySubject
from serai.testing.store_conformance import CASES, Case, Desk


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_reference_keeps_the_stores_promise(case: Case):
    await case(await Desk.open(MemorySubject()))
