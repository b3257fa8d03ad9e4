"""What the doctor says of facts: each wrong one is named with what to do, each right one is ok.

Owns the tests of the pure parts of `serai.app.doctor` that judge an installation. The facts are
written here by hand; where they come from is the integration tests' matter.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from serai.app.doctor import judge
from serai.app.doctor.finding import Finding, State, is_well
from serai.app.settings import Settings
from serai.app.signing_keys import KeyState

SAFE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    "session_replication_role": "origin",
    "default_transaction_read_only": "off",
    "autovacuum": "on",
    "data_checksums": "on",
    "password_encryption": "scram-sha-256",
}
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def only(findings: list[Finding], state: State) -> list[str]:
    return [each.check for each in findings if each.state is state]


def test_safe_parameters_are_two_lines() -> None:
    found = judge.judge_parameters("shard-1", SAFE)
    assert [(f.check, f.state) for f in found] == [
        ("durability", State.OK),
        ("parameters", State.OK),
    ]


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("fsync", "off", State.FAILED),
        ("full_page_writes", "off", State.FAILED),
        ("synchronous_commit", "off", State.FAILED),
        ("zero_damaged_pages", "on", State.FAILED),
        ("ignore_checksum_failure", "on", State.FAILED),
        ("session_replication_role", "replica", State.FAILED),
        ("default_transaction_read_only", "on", State.FAILED),
        ("autovacuum", "off", State.WARNING),
        ("data_checksums", "off", State.WARNING),
        ("password_encryption", "md5", State.WARNING),
    ],
)
def test_a_parameter_that_is_not_safe_has_a_line_of_its_own(
    name: str, value: str, state: State
) -> None:
    found = judge.judge_parameters("shard-1", {**SAFE, name: value})
    [wrong] = [each for each in found if each.state is not State.OK]
    assert (wrong.check, wrong.state) == (name, state)
    assert wrong.means.startswith(f"{value}: ")
    assert wrong.remedy.endswith(".")
    assert is_well(found) is (state is State.WARNING)


@pytest.mark.parametrize("value", ["local", "remote_write", "remote_apply"])
def test_other_ways_to_wait_for_the_disk_are_as_durable(value: str) -> None:
    assert is_well(judge.judge_parameters("shard-1", {**SAFE, "synchronous_commit": value}))


def test_a_parameter_that_the_server_does_not_know_is_not_taken_for_safe() -> None:
    few = {name: value for name, value in SAFE.items() if name != "fsync"}
    assert only(judge.judge_parameters("shard-1", few), State.FAILED) == ["fsync"]


@pytest.mark.parametrize(
    ("off", "state", "side"),
    [
        (0, State.OK, "agree"),
        (1, State.OK, "agree"),
        (10, State.WARNING, "10 s ahead of"),
        (-10, State.WARNING, "10 s behind"),
        (-45, State.FAILED, "45 s behind"),
        (4000, State.FAILED, "4000 s ahead of"),
    ],
)
def test_clocks_that_differ_are_told_with_the_side(off: int, state: State, side: str) -> None:
    found = judge.judge_clock("directory", NOW, NOW + timedelta(seconds=off), timedelta(0))
    assert found.state is state
    assert side in found.means


def test_a_slow_answer_is_no_difference_of_clocks() -> None:
    there = NOW + timedelta(seconds=2.5)
    assert judge.judge_clock("directory", NOW, there, timedelta(seconds=5)).state is State.OK


def names(*months: str) -> set[str]:
    return {f"stays_{month}" for month in months} | {"stays_default"}


@pytest.mark.parametrize(
    ("have", "count"),
    [
        ((), 0),
        (("2026_02",), 0),
        (("2026_01",), 1),
        (("2026_01", "2026_02", "2026_04"), 2),
        (("2025_12", "2026_01"), 1),
    ],
)
def test_months_are_counted_from_this_one_to_the_first_gap(have, count: int) -> None:
    assert judge.months_ahead(names(*have), "stays", date(2026, 1, 31)) == count


def test_months_and_days_go_on_across_a_year() -> None:
    months = names("2026_11", "2026_12", "2027_01")
    assert judge.months_ahead(months, "stays", date(2026, 11, 30)) == 3
    days = {"reply_2026_12_31", "reply_2027_01_01", "reply_2027_01_02"}
    assert judge.days_ahead(days, "reply", date(2026, 12, 31)) == 3


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (13, State.OK, "13 months"),
        (12, State.OK, "12"),
        (2, State.WARNING, "only 2"),
        (0, State.WARNING, "none for this month"),
    ],
)
def test_partitions_that_run_out_are_told_before_they_have(
    ahead: int, state: State, said: str
) -> None:
    found = judge.judge_partitions("shard-1", "months", ahead, 12, "month")
    assert found.state is state
    assert said in found.means
    assert ("serai serve" in found.remedy) is (state is not State.OK)


@pytest.mark.parametrize(
    ("host", "encrypted", "state"),
    [
        ("", False, State.OK),
        ("/var/run/postgresql", False, State.OK),
        ("127.0.0.1", False, State.OK),
        ("::1", False, State.OK),
        ("db.example.com", True, State.OK),
        ("db.example.com", False, State.WARNING),
        ("192.0.2.7", False, State.WARNING),
    ],
)
def test_a_line_in_the_clear_to_another_machine_is_told(
    host: str, encrypted: bool, state: State
) -> None:
    assert judge.judge_line("directory", host, encrypted=encrypted).state is state


@pytest.mark.parametrize(
    ("chosen", "checks"),
    [
        ({}, []),
        ({"port": 9000}, []),
        ({"host": "0.0.0.0"}, ["issuer"]),  # noqa: S104 - a setting under test, nobody listens
        ({"host": "192.0.2.1", "issuer": "https://api.example.com"}, []),
        ({"host": "192.0.2.1", "issuer": "http://api.example.com"}, ["encryption"]),
        ({"issuer": "http://localhost:8642"}, []),
    ],
)
def test_settings_that_others_would_trip_over_are_told(chosen, checks: list[str]) -> None:
    assert only(judge.judge_settings(Settings(**chosen)), State.WARNING) == checks


def test_an_old_server_and_a_standby_are_refused() -> None:
    assert not is_well(judge.judge_server("a", "14.9", 140_009, standby=False))
    assert not is_well(judge.judge_server("a", "18.6", 180_006, standby=True))
    assert is_well(judge.judge_server("a", "15.0", 150_000, standby=False))


def test_pools_that_may_ask_for_more_than_the_server_has_are_told() -> None:
    settings = Settings(workers=4, pool_max=50)
    assert judge.judge_room("shard-1", settings, 100).state is State.WARNING
    assert judge.judge_room("shard-1", settings, 300).state is State.OK


def key(state: str) -> KeyState:
    return KeyState("1", state, NOW, None)  # pyright: ignore[reportArgumentType] - one of its words


def test_an_installation_without_keys_that_work_is_told_which_ones() -> None:
    assert only(judge.judge_keys(1, [key("signs"), key("verifies")]), State.FAILED) == []
    assert only(judge.judge_keys(0, [key("signs")]), State.FAILED) == ["token keys"]
    assert only(judge.judge_keys(1, []), State.FAILED) == ["signing keys"]
    assert only(judge.judge_keys(1, [key("over")]), State.FAILED) == ["signing keys"]


def test_of_many_tables_without_a_guard_some_are_named() -> None:
    assert judge.judge_unguarded("a", 9, []).state is State.OK
    found = judge.judge_unguarded("a", 9, ["serai.e", "serai.d", "serai.c", "serai.b", "serai.a"])
    assert found.state is State.FAILED
    assert found.means.endswith("serai.a, serai.b, serai.c and 2 more")


def test_a_message_of_a_library_is_one_line_without_a_password() -> None:
    text = "no answer from\n  postgresql://serai:hush@db.example.com/serai\n"
    assert judge.first_line(text) == "no answer from postgresql://...@db.example.com/serai"
