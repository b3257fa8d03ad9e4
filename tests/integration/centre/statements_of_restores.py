"""The named statements of restores and exports, with real arguments.

Owns their part of the list. Never judges what a statement read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from integration.centre.full import ORG, ROW, ROWS, USER

Arguments = tuple[object, ...] | Mapping[str, object]
_NOW: Final = datetime.now(UTC)
_NIL: Final = UUID(int=0)
_RESTORE: Final[dict[str, Arguments]] = {
    "lock": {"org": ORG},
    "freeze": {"org": 9_999, "actor": "a", "reason": "r"},
    "thaw": {"org": 9_999},
    "standing": {"org": ORG},
    "entry": {"org": ORG, "number": 500},
    "entries": {"org": ORG, "after": 500, "limit": 50},
    "version_at": {"org": ORG, "moment": _NOW},
    "write": {
        "org": ORG,
        "version": ROWS,
        "number": ROWS,
        "hash": bytes(32),
        "now": _NOW.isoformat(),
        "author": USER,
        "typed": True,
        "logged": True,
        "ops": ["restore"],
        "collections": [0],
        "ids": [_NIL],
        "scopes": [_NIL],
        "docs": ["{}"],
        "changed": [None],
        "diffs": [None],
    },
    "end": {
        "org": 9_997,
        "before": 0,
        "version": 0,
        "number": 0,
        "hash": bytes(32),
        "grants": False,
        "new": True,
    },
    "retype": {"org": 9_999},
    "rows": {"org": ORG, "collection": 5, "after": ROW, "limit": 50},
    "users": {"org": 9_998, "collection": 13, "field": "user_id"},
    "make_new": {"org": 9_999},
    "new_state": {"org": 9_999},
    "open_new": {"org": 9_999},
    "sweep_new": {"org": 9_999},
}
_EXPORT: Final[dict[str, Arguments]] = {
    "standing": {"org": ORG},
    "count_rows": {"org": 9_998},
    "rows": {"org": ORG, "collection": 5, "after": ROW, "limit": 50},
    "refusals": {"org": ORG, "after": 0, "limit": 50},
    "entries": {"org": ORG, "after": 500, "limit": 50},
}
RESTORED: Final[dict[str, Arguments]] = {
    "lock_key": {"key": "k"},
    "unlock_key": {"key": "k"},
    "under_way": {"org": 3},
    "begin": {
        "key": "k",
        "name": "",
        "shard": None,
        "source": 3,
        "at": 1,
        "actor": "a",
        "reason": "r",
    },
    "done": {"org": 3},
    "undone": {"org": 3},
    "list_people": {"org": 3, "users": [USER]},
    "made": {"org": 78},
    "unfinished": {},
}
RESTORE_ON_A_SHARD: Final = {
    **{f"serai.readers.export/export.sql:{name}": given for name, given in _EXPORT.items()},
    **{f"serai.readers.restore/restore.sql:{name}": given for name, given in _RESTORE.items()},
}
