"""Who may do what: one table of (role, collection) -> actions.

Owns the roles and their rights. What is not here is not allowed. `read`, `create`, `update` and
`delete` are enforced by the platform at the scope of the row; the other words are enforced by the
collection's rule: `submit`, `approve`, `pay`, `void`, `import` (expenses), `review` (revenues,
expenses), `reopen` (stays), `assign` (shifts). A role without `update` that has one of them may
change the field of that step and nothing else. Limits of amounts are in `rules.expenses`.
"""

from __future__ import annotations

from typing import Final

ROLES: Final = ("owner", "admin", "accountant", "manager", "front_desk", "staff", "auditor")

_FULL: Final = "read create update delete"
_KEEP: Final = "read create update"

_TABLE: Final[dict[str, dict[str, str]]] = {
    "properties": {
        "owner": _FULL,
        "admin": _KEEP,
        "accountant": "read",
        "manager": "read update",
        "front_desk": "read",
        "staff": "read",
        "auditor": "read",
    },
    "room_inventory": {
        "owner": _FULL,
        "admin": _FULL,
        "accountant": "read",
        "manager": _FULL,
        "front_desk": "read",
        "staff": "read",
        "auditor": "read",
    },
    "accounts": {
        "owner": _FULL,
        "admin": "read",
        "accountant": _FULL,
        "manager": "read",
        "front_desk": "read",
        "auditor": "read",
    },
    "vendors": {
        "owner": _FULL,
        "admin": _FULL,
        "accountant": _FULL,
        "manager": _KEEP,
        "front_desk": "read",
        "auditor": "read",
    },
    # An audit needs stays and amounts, not the names of guests.
    "guests": {
        "owner": _FULL,
        "admin": _FULL,
        "accountant": "read",
        "manager": _FULL,
        "front_desk": _KEEP,
    },
    "stays": {
        "owner": f"{_FULL} reopen",
        "admin": f"{_FULL} reopen",
        "accountant": "read",
        "manager": f"{_FULL} reopen",
        "front_desk": _KEEP,
        "staff": "read",
        "auditor": "read",
    },
    "revenues": {
        "owner": f"{_FULL} review",
        "admin": _KEEP,
        "accountant": f"{_FULL} review",
        "manager": _FULL,
        "front_desk": _KEEP,
        "auditor": "read",
    },
    "expenses": {
        "owner": f"{_FULL} submit approve pay void review import",
        "admin": f"{_KEEP} submit approve",
        "accountant": f"{_FULL} submit approve pay void review",
        "manager": f"{_FULL} submit approve",
        "front_desk": f"{_KEEP} submit",
        "auditor": "read",
    },
    "staff": {
        "owner": _FULL,
        "admin": _FULL,
        "accountant": "read",
        "manager": _FULL,
        "front_desk": "read",
        "staff": "read",
        "auditor": "read",
    },
    # Who hands out roles does not thereby see pay. Labour is the largest cost of a house:
    # an audit without it is none.
    "staff_pay": {"owner": _FULL, "accountant": _FULL, "auditor": "read"},
    # `staff` and `front_desk` write their own shifts only; `assign` is for those of others.
    "shifts": {
        "owner": f"{_FULL} assign",
        "admin": f"{_FULL} assign",
        "accountant": "read",
        "manager": f"{_FULL} assign",
        "front_desk": _KEEP,
        "staff": _KEEP,
        "auditor": "read",
    },
    # A close is made, never changed and never deleted: nobody has the words.
    "day_closes": {
        "owner": "read create",
        "admin": "read",
        "accountant": "read create",
        "manager": "read create",
        "front_desk": "read",
        "auditor": "read",
    },
    "memberships": {
        "owner": "read create delete",
        "admin": "read create delete",
        "manager": "read",
        "auditor": "read",
    },
}

PERMISSIONS: Final = {
    (role, collection): frozenset(words.split())
    for collection, roles in _TABLE.items()
    for role, words in roles.items()
}
