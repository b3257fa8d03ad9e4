"""The garbage collector of Python, set for a process that does much of the same.

Owns its thresholds. A request, or a line of an import, makes hundreds of objects that die without
the collector; with Python's default of 700 it still looks at all that is young every few requests,
and now and then at everything: a seventh of a server's processor time. Promises that cycles are
found all the same, a little later. Once in a process. Never switches the collector off.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator
from typing import Final

_YOUNG_OBJECTS: Final = 20_000
"""New objects that are still there before the young ones are looked at: a few MB."""
_YOUNG_ROUNDS, _MIDDLE_ROUNDS = 20, 20


@contextlib.contextmanager
def rare_collections() -> Generator[None]:
    """Collect less often, and leave out what is there already: it stays as long as the process."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_ROUNDS, _MIDDLE_ROUNDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
