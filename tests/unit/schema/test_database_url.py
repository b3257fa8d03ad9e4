"""What is said of a database's URL, and that nothing of a password is in it.

Owns passwords with each character that a URL has a use for, as people paste them.
"""

from __future__ import annotations

import psycopg
import pytest

from serai.app.settings import SettingsError, load_settings
from serai.schema.database_url import address_of, failure_of, fault_of

PASTED = ["hu@sh-secret", "hu/sh-secret", "hu?sh-secret", "hu#sh-secret", "hu%sh-secret"]


@pytest.mark.parametrize("password", PASTED)
def test_a_password_that_shifts_the_parts_is_refused_and_not_quoted(password: str) -> None:
    url = f"postgresql://serai:{password}@127.0.0.1:1/db"
    with pytest.raises(SettingsError) as refused:
        load_settings({"SERAI_DIRECTORY_URL": url})
    said = str(refused.value)
    assert said.startswith("SERAI_DIRECTORY_URL is ")
    for part in ("hu", "sh", "secret"):
        assert part not in said
    if "%" not in password:
        assert "write @ as %40" in said


@pytest.mark.parametrize(
    "password", ["hu:sh", "hu%40sh", "hu%2Fsh", "hu%3Ash", "hu%3Fsh", "hu%23sh", "hu%25sh"]
)
def test_an_escaped_password_is_taken_and_only_the_address_is_told(password: str) -> None:
    url = f"postgresql://serai:{password}@db.example.com:1/db"
    assert fault_of(url) is None
    assert load_settings({"SERAI_DIRECTORY_URL": url}).directory_url == url
    assert address_of(url) == "db.example.com:1"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://serai:hush@db.example.com/db", "db.example.com:5432"),
        ("postgresql://serai:hush@[::1]:7/db", "::1:7"),
        ("postgresql://one,two:2/db", "one,two:,2"),
        ("postgresql:///db?host=/run/postgresql", "/run/postgresql:5432"),
        (f"postgresql:///db?host=/{'a' * 80}", f"/{'a' * 80}:5432"),
        ("postgresql:///db", "the local socket:5432"),
    ],
)
def test_other_forms_of_a_url_are_taken(url: str, address: str) -> None:
    assert fault_of(url) is None
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://serai:hu/sh",
        "postgresql://serai:hu[sh@127.0.0.1/db",
        "postgresql://serai:hush@a..b/db",
        "postgresql://serai:hush@127.0.0.1",
        "host=127.0.0.1 password=hush dbname=db",
    ],
)
def test_what_a_library_would_stumble_over_is_told_before(url: str) -> None:
    assert "no PostgreSQL URL" in (fault_of(url) or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("failed to resolve host 'sh-secret@127.0.0.1'", "the host's name is not known"),
        ('FATAL: password authentication failed for user "sh-secret"', "password is wrong"),
        ("connection timeout expired, sh-secret", "no answer in time"),
        ("something new about sh-secret", "OperationalError"),
    ],
)
def test_a_failure_is_told_by_its_class_and_never_in_the_words_of_the_library(
    text: str, said: str
) -> None:
    told = failure_of(psycopg.OperationalError(text))
    assert told.startswith("OperationalError")
    assert said in told
    assert "sh-secret" not in told
