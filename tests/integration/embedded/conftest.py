"""Folders, users and processes for the tests of the embedded PostgreSQL.

Owns what each test may use: a folder of a user, with a server's data where the test asks for it,
and drivers in processes of their own. Promises that after each test no process uses the folder any
more: a server that is left behind fails the test that left it.
"""

from __future__ import annotations

import os

import pytest

from integration.embedded.processes import (
    Callers,
    copy,
    make_place,
    remove,
    rows,
    users,
    users_of,
)

USERS = users()
ORDINARY = [user for user in USERS if user.uid != 0]
# Chosen before anything is collected: a test that cannot run here is not there, instead of skipped.
collect_ignore = [
    *([] if os.geteuid() == 0 else ["test_as_root.py"]),
    *([] if ORDINARY else ["test_without_rights.py"]),
]


@pytest.fixture(scope="session", params=USERS, ids=lambda user: user.name)
def user(request):
    """Each user who starts servers in these tests."""
    return request.param


@pytest.fixture(scope="session")
def me():
    """The user of this process, for servers that are started in it."""
    return USERS[0]


@pytest.fixture(scope="session")
def every_caller():
    made = Callers()
    yield made
    made.close()


@pytest.fixture
def callers(every_caller):
    """Drivers of one test."""
    yield every_caller
    every_caller.rest()


@pytest.fixture
def place(user):
    yield from _place(user)


@pytest.fixture
def my_place(me):
    yield from _place(me)


def _place(user):
    made = make_place(user)
    yield made
    left = users_of(made.path)
    remove(made.path)
    assert left == [], "processes that outlived the test"


@pytest.fixture(scope="session")
def templates(every_caller):
    """For each user the folder of a server that was stopped, with one committed row."""
    made = {}

    def of(user):
        if user not in made:
            made[user] = place = make_place(user)
            caller = every_caller(user)
            server = caller.start(place.home)
            rows(server["url"], "CREATE TABLE kept AS SELECT 1 AS n")
            caller.ask("stop")
            every_caller.rest()
        return made[user].home

    yield of
    for place in made.values():
        remove(place.path)


@pytest.fixture
def home(place, templates):
    """The folder of a server that was stopped; the table `kept` has one row, 1."""
    copy(templates(place.user), place.home)
    return place.home


@pytest.fixture
def my_home(my_place, templates):
    """The same, of the user of this process."""
    copy(templates(my_place.user), my_place.home)
    return my_place.home


@pytest.fixture(params=ORDINARY, ids=lambda user: user.name)
def closed_to_owner(request, templates):
    """An ordinary user and the folder of a stopped server, for tests that take rights away."""
    for place in _place(request.param):
        copy(templates(place.user), place.home)
        yield place.user, place.home
