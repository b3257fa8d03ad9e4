"""The way from an owner's URL to the role's: the same database, another login."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from serai.shard.role import RequestRole

ROLE = RequestRole("guest", "p@ss/word")


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (
            "postgresql://o:secret@db.example:5433/s?sslmode=require",
            {"host": "db.example", "port": "5433", "dbname": "s", "sslmode": "require"},
        ),
        ("postgresql://db.example/s", {"host": "db.example", "dbname": "s"}),
        (
            "postgres:///s?user=o&password=secret&host=/run/pg&port=6000",
            {"host": "/run/pg", "port": "6000", "dbname": "s"},
        ),
        ("postgresql://o@[::1]:5432/s", {"host": "::1", "port": "5432", "dbname": "s"}),
        ("postgresql://o:a@b@h/s", {"host": "h", "dbname": "s"}),
    ],
)
def test_the_role_connects_to_the_same_database_with_its_own_login(
    owner: str, expected: dict[str, str]
):
    found = conninfo_to_dict(ROLE.url(owner))
    assert found == {"user": "guest", "password": "p@ss/word", **expected}


def test_a_url_of_the_role_names_the_role():
    url = ROLE.url("postgresql://o:secret@h/s")
    assert RequestRole.of_url(url) == ROLE
    assert ROLE.url(url) == url


def test_the_password_is_in_no_representation():
    assert "p@ss" not in repr(ROLE)
