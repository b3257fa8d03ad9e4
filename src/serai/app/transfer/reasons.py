"""Why a property cannot be transferred as things are.

Owns the reasons and their words. Promises that each can be told before anything is changed, but
what only the taker's database knows: that is told when it refuses a row. Never changes anything.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import psycopg

from serai.app.transfer.giver import Giver
from serai.app.transfer.records import Claim
from serai.app.transfer.shape import Shape
from serai.app.transfer.taker import Taker

_GONE: Final = "SE003"
_REFUSED: Final = (psycopg.IntegrityError, psycopg.DataError)


class Untransferable(Exception):
    """The property cannot be transferred as things are; the message says why and what to do."""


def reasons_against(shape: Shape, giver: Giver, taker: Taker, claim: Claim) -> list[str]:
    """Return why a property cannot be transferred as things are, a sentence each."""
    scope, found = claim.property_id, list(shape.problems)
    for place in (giver, taker):
        state = place.standing().state
        if state not in ("active", "absent"):
            found.append(f"Organisation {place.org_id} is {state} where it lives.")
    if not giver.rows_of(shape.place, [scope]):
        found.append(f"Organisation {giver.org_id} has no property {scope}.")
    if taker.rows_of(shape.place, [scope]):
        found.append(f"Organisation {taker.org_id} has a property {scope} already.")
    if taker.buried(shape.place, [scope]).get(scope, scope) is None:
        found.append(f"Organisation {taker.org_id} had the property {scope} and deleted it.")
    return found + (giver.strays(scope) if not shape.problems else [])


@contextmanager
def refusals(collection: str) -> Generator[None]:
    """Tell what the database refuses at the taker in words."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != _GONE and not isinstance(error, _REFUSED):
            raise
        why = str(error).partition("\n")[0]
        raise Untransferable(f"{collection}: the taker refuses it: {why}.") from error
