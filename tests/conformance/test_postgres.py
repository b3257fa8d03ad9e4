"""The conformance suite on PostgreSQL.

Owns the run of every case on the store that keeps people's data, on a real server. Never looks at
what only SQL can hold (`Check.sql`, months, plans): that is in tests/integration/centre.
"""

from __future__ import annotations

import pytest

from conformance.subjects import PostgresSubject
from serai.testing.store_conformance import CASES, Case, Desk


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_postgres_keeps_the_stores_promise(case: Case, postgres: PostgresSubject):
    await case(await Desk.open(postgres))
