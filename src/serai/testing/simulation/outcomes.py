"""What became of writes: how the trace names it, and whether a server still knows.

Owns the reading of outcomes and of what is kept of them. Promises nothing but words and a yes or
no. Never changes anything.
"""

from __future__ import annotations

from serai.adapters.memory.store import Organisation
from serai.ports.store import Committed, Failed, Gap, IdempotencyKey, MutationKey, Outcome


def name_of(once: MutationKey | IdempotencyKey | None) -> str:
    """Return what the trace calls a write."""
    match once:
        case MutationKey():
            return f"mutation {once.device_id.int % 1000}/{once.number}"
        case IdempotencyKey():
            return f"key {once.key}"
        case None:
            return "import"


def said(outcome: Outcome) -> str:
    """Return what the trace says of an outcome."""
    match outcome:
        case Committed(version):
            return f"committed {version}"
        case Failed(code):
            return f"failed {code.text}"
        case Gap(expected):
            return f"gap, expected {expected}"
        case _:
            return type(outcome).__name__.lower()


def is_kept(kept: Organisation, once: object) -> bool:
    """Tell whether a server still knows that something was carried out."""
    if isinstance(once, MutationKey):
        return once.number <= kept.devices.get(once.device_id, (once.user_id, 0))[1]
    return once in kept.replies
