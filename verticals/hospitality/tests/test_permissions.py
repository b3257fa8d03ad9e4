"""The table of roles, against one written by hand from what each person's work is.

Owns the grid below. It is not made from the code: letters are written role by role.

    R read   C create   U update   D delete
    s submit   a approve   p pay   v void   i import   w review   o reopen   g assign
"""

from __future__ import annotations

from itertools import product

import pytest

from house import A, B, named, person
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai_hospitality import VERTICAL
from serai_hospitality.permissions import PERMISSIONS, ROLES
from serai_hospitality.rules.expenses import APPROVAL_LIMITS
from serai_hospitality.rules.people import GIVES

GRID = """
                owner        admin   accountant  manager  front_desk  staff  auditor
properties      RCUD         RCU     R           RU       R           R      R
room_inventory  RCUD         RCUD    R           RCUD     R           R      R
accounts        RCUD         R       RCUD        R        R           -      R
vendors         RCUD         RCUD    RCUD        RCU      R           -      R
guests          RCUD         RCUD    R           RCUD     RCU         -      -
stays           RCUDo        RCUDo   R           RCUDo    RCU         R      R
revenues        RCUDw        RCU     RCUDw       RCUD     RCU         -      R
expenses        RCUDsapvwi   RCUsa   RCUDsapvw   RCUDsa   RCUs        -      R
staff           RCUD         RCUD    R           RCUD     R           R      R
staff_pay       RCUD         -       RCUD        -        -           -      R
shifts          RCUDg        RCUDg   R           RCUDg    RCU         RCU    R
day_closes      RC           R       RC          RC       R           -      R
memberships     RCD          RCD     -           R        -           -      R
"""
LETTERS = {
    "R": "read",
    "C": "create",
    "U": "update",
    "D": "delete",
    "s": "submit",
    "a": "approve",
    "p": "pay",
    "v": "void",
    "i": "import",
    "w": "review",
    "o": "reopen",
    "g": "assign",
}


def grid() -> dict[tuple[str, str], set[str]]:
    """Read the grid: (role, collection) -> actions."""
    header, *lines = [line.split() for line in GRID.strip().splitlines()]
    return {
        (role, line[0]): {LETTERS[letter] for letter in cell if letter != "-"}
        for line in lines
        for role, cell in zip(header, line[1:], strict=True)
    }


NAMES = [c.name for c in VERTICAL.collections]


@pytest.mark.parametrize(("role", "collection"), list(product(ROLES, NAMES)))
def test_a_role_may_do_what_the_grid_says_and_no_more(role, collection):
    expected = grid()[role, collection]
    assert PERMISSIONS.get((role, collection), frozenset()) == expected
    who = person("x", role)
    allowed = {action for action in LETTERS.values() if who.may(collection, action, A)}
    assert allowed == expected


def test_the_grid_speaks_of_every_collection_and_role():
    assert set(grid()) == set(product(ROLES, NAMES))
    assert VERTICAL.roles == set(ROLES)


def test_every_word_of_the_table_is_known():
    assert {word for words in PERMISSIONS.values() for word in words} == set(LETTERS.values())


def test_nobody_writes_what_they_cannot_read():
    assert all("read" in words for words in PERMISSIONS.values())


def test_an_auditor_changes_nothing():
    assert {w for (role, _), words in PERMISSIONS.items() if role == "auditor" for w in words} == {
        "read"
    }


def test_a_role_at_one_property_is_none_at_another():
    who = person("max", "manager", at=A)
    assert who.may("stays", "update", A)
    assert not who.may("stays", "read", B)
    assert not who.may("stays", "read", ALL_SCOPES)
    assert who.may("vendors", "read", ORG_SCOPE)


def test_only_the_roles_that_see_pay_have_its_channel():
    bit = 1 << VERTICAL.by_name["staff_pay"].number
    seen = {role for role in ROLES if VERTICAL.readable_mask(role, organisation=False) & bit}
    assert seen == {"owner", "accountant", "auditor"}


def test_no_role_keeps_the_books_alone():
    """One person who enters, approves and pays is what four eyes are against; the rule sees to the
    person, the table to the roles: who may pay is never only a manager or an admin."""
    payers = {role for (role, _), words in PERMISSIONS.items() if "pay" in words}
    assert payers == {"owner", "accountant"}
    importers = {role for (role, _), words in PERMISSIONS.items() if "import" in words}
    assert importers == {"owner"}


def test_who_may_approve_has_a_limit_and_who_may_give_roles_may_write_them():
    approvers = {role for (role, _), words in PERMISSIONS.items() if "approve" in words}
    assert approvers == set(APPROVAL_LIMITS)
    givers = {r for (r, c), w in PERMISSIONS.items() if c == "memberships" and "create" in w}
    assert givers == set(GIVES)
    assert all(role not in GIVES["admin"] for role in ("owner", "admin"))


def test_a_person_in_no_role_may_do_nothing():
    nobody = person("nobody")
    assert not any(nobody.may(c, a, A) for c, a in product(NAMES, LETTERS.values()))
    assert named("nobody") == nobody.user_id
