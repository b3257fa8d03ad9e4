"""Settings: what a wrong one says, and that none is ignored in silence."""

from __future__ import annotations

import pytest

from serai.app.settings import (
    Settings,
    SettingsError,
    describe,
    issued_by_itself,
    load_settings,
    variable,
)

URL = "postgresql://serai:hush@127.0.0.1:5432/serai"


def refusal(**environment: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(environment)
    return str(refused.value)


def test_an_empty_environment_gives_the_published_defaults() -> None:
    found = load_settings({})
    assert (found.directory_url, found.host, found.port) == ("", "127.0.0.1", 8642)
    assert (found.vertical, found.issuer) == ("serai_hospitality:VERTICAL", "http://127.0.0.1:8642")
    assert (found.pool_min, found.pool_max, found.workers) == (5, 50, 1)
    assert (found.oidc_issuers, found.oidc_create_users) == ([], False)
    assert (found.docs, found.cors_origins, found.log_level) == (True, [], "info")


def test_every_variable_is_read() -> None:
    found = load_settings(
        {
            "SERAI_DIRECTORY_URL": URL,
            "SERAI_VERTICAL": "my.hotels:V",
            "SERAI_HOST": "192.0.2.1",
            "SERAI_PORT": "99",
            "SERAI_ISSUER": "https://api.example.com",
            "SERAI_CORS_ORIGINS": "https://a.example.com, http://b.example.com:81,",
            "SERAI_OIDC_ISSUERS": "https://id.example.com https://id.example.com/keys app web, "
            "https://b.example.com https://keys.example.com/b app",
            "SERAI_OIDC_CREATE_USERS": "true",
            "SERAI_DOCS": "false",
            "SERAI_POOL_MIN": "2",
            "SERAI_POOL_MAX": "3",
            "SERAI_WORKERS": "4",
            "SERAI_LOG_LEVEL": "debug",
            "PATH": "/bin",
        }
    )
    assert found == Settings(
        directory_url=URL,
        vertical="my.hotels:V",
        host="192.0.2.1",
        port=99,
        issuer="https://api.example.com",
        cors_origins=["https://a.example.com", "http://b.example.com:81"],
        oidc_issuers=[
            "https://id.example.com https://id.example.com/keys app web",
            "https://b.example.com https://keys.example.com/b app",
        ],
        oidc_create_users=True,
        docs=False,
        pool_min=2,
        pool_max=3,
        workers=4,
        log_level="debug",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERAI_DIRECTORY_URL", "mysql://serai:hush@127.0.0.1/serai"),
        ("SERAI_DIRECTORY_URL", "host=127.0.0.1 password=hush"),
        ("SERAI_DIRECTORY_URL", "postgresql://serai:hush@[::1/serai"),
        ("SERAI_DIRECTORY_URL", "postgresql://serai:hush@127.0.0.1:5432"),
        ("SERAI_DIRECTORY_URL", "postgresql://serai:hush@127.0.0.1/serai?hush=1"),
        ("SERAI_VERTICAL", "no colon, hush"),
        ("SERAI_HOST", ""),
        ("SERAI_PORT", ""),
        ("SERAI_PORT", "http"),
        ("SERAI_PORT", "0"),
        ("SERAI_PORT", "65536"),
        ("SERAI_ISSUER", ""),
        ("SERAI_CORS_ORIGINS", "*"),
        ("SERAI_CORS_ORIGINS", "https://example.com/app"),
        ("SERAI_OIDC_ISSUERS", "https://id.example.com"),
        ("SERAI_OIDC_ISSUERS", "https://id.example.com http://id.example.com/keys app"),
        ("SERAI_OIDC_ISSUERS", "https://id.example.com https://u:hush@id.example.com/keys app"),
        ("SERAI_OIDC_CREATE_USERS", "sometimes"),
        ("SERAI_DOCS", "maybe"),
        ("SERAI_POOL_MIN", "0"),
        ("SERAI_POOL_MAX", "51"),
        ("SERAI_WORKERS", "-1"),
        ("SERAI_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_first_and_never_shows_a_password(
    name: str, value: str
) -> None:
    said = refusal(**{name: value})
    assert said.startswith(f"{name} is ")
    assert said.endswith(".")
    assert "hush" not in said


def test_a_mistyped_variable_is_refused_and_the_right_ones_are_listed() -> None:
    said = refusal(SERAI_PROT="80")
    assert said.startswith("SERAI_PROT is not a setting.")
    assert "SERAI_PORT" in said


def test_a_pool_that_contradicts_itself_is_told_with_both_variables() -> None:
    said = refusal(SERAI_POOL_MIN="9", SERAI_POOL_MAX="3")
    assert "SERAI_POOL_MIN" in said
    assert "SERAI_POOL_MAX" in said


def test_variables_of_the_tests_are_no_settings() -> None:
    assert load_settings({"SERAI_TEST_POSTGRES": "x", "SERAI_SIM_SEED": "1"}) == Settings()


def test_a_flag_wins_over_the_environment_and_a_missing_flag_does_not() -> None:
    assert load_settings({"SERAI_PORT": "81"}, port=82, host=None).port == 82
    assert load_settings({"SERAI_PORT": "81"}, port=None).port == 81


def test_a_flag_is_checked_like_a_variable() -> None:
    with pytest.raises(SettingsError, match="SERAI_PORT is wrong"):
        load_settings({}, port=70_000)


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_says_what_it_means(name: str) -> None:
    assert variable(name) == f"SERAI_{name.upper()}"
    assert describe(name).endswith(".")


@pytest.mark.parametrize(
    ("chosen", "address"),
    [
        ({}, "http://127.0.0.1:8642"),
        ({"port": 9000}, "http://127.0.0.1:9000"),
        ({"host": "hotel.local", "port": 80}, "http://hotel.local:80"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8642"),  # noqa: S104 - a setting under test, nobody listens
        ({"host": "::1", "port": 9000}, "http://[::1]:9000"),
    ],
)
def test_a_lone_process_issues_tokens_in_the_name_of_its_address(chosen, address: str) -> None:
    settings = load_settings({}, **chosen)
    assert settings.address == address
    assert issued_by_itself(settings, {}).issuer == address


def test_an_issuer_that_was_chosen_stands_whatever_the_port() -> None:
    environment = {"SERAI_ISSUER": "https://api.example.com"}
    settings = load_settings(environment, port=9000)
    assert issued_by_itself(settings, environment).issuer == "https://api.example.com"
    assert load_settings({}, port=9000).issuer == "http://127.0.0.1:8642", (
        "processes behind one address would refuse each other's tokens"
    )
