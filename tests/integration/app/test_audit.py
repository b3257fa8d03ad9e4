"""The audit record by command: what the API and commands did is in it, and damage has a status.

Owns `serai org audit` on a running server. Promises that no password and no token is in a record.
Never looks at each kind of damage: tests of the centre do.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from integration.app.programs import Shell
from integration.app.test_people import Api, House, api, house

__all__ = ["api", "house"]


def listed(shell: Shell, key: str, *words: str) -> list[dict[str, Any]]:
    out = shell.ok("org", "audit", "list", key, "--json", *words).out
    return [json.loads(line) for line in out.splitlines()]


async def test_who_wrote_what_is_listed_and_holds_no_secret(
    api: Api, house: House, shell: Shell
) -> None:
    signed_in = await api.sign_in(house.owner, house.password)
    token = signed_in["accessToken"]
    status, made = await api.post("/v1/vendors", {"name": "Linen", "active": True}, token)
    assert status == 201, made
    status, me = await api.get("/v1/me", token)
    form = {"name": "till", "roles": [{"role": "front_desk"}]}
    _, created = await api.post("/v1/api-keys", form, token)
    status, refused = await api.post(
        "/v1/staff_pay", {"password": house.password}, created["secret"]
    )
    assert status in (403, 422), refused
    (entry,) = listed(shell, house.key, "--row", made["id"])
    assert (entry["user"], entry["via"], entry["op"]) == (me["id"], "rest", "insert")
    assert entry["device"] is not None
    assert json.loads(entry["content"]) == made["data"]
    assert [e["number"] for e in listed(shell, house.key, "--user", me["id"])] == [entry["number"]]
    everything = shell.ok("org", "audit", "list", house.key, "--json").out
    for secret in (house.password, token, signed_in["refreshToken"], created["secret"]):
        assert secret not in everything
    first = listed(shell, house.key)[-1]
    assert (first["via"], first["collection"], first["number"]) == ("system", "memberships", 1)
    shown = shell.ok("org", "audit", "list", house.key).out
    assert "vendors" in shown


def test_a_whole_record_is_status_0_and_a_damaged_one_status_1(
    house: House, shell: Shell, fleet: tuple[str, str]
) -> None:
    good = shell.ok("org", "audit", "verify", house.key, "--json").json
    assert (good["ok"], good["entries"], good["broken"]) == (True, 1, None)
    noted = f"{good['number']}:{good['hash']}"
    shell.ok("org", "audit", "verify", house.key, "--expect", noted)
    wrong = shell.run("org", "audit", "verify", house.key, "--expect", f"1:{'00' * 32}")
    assert wrong.status == 1
    assert "broken at entry 1" in wrong.err
    with psycopg.connect(fleet[1], autocommit=True) as shard:
        shard.execute("ALTER TABLE serai.audit DISABLE TRIGGER append_only")
        shard.execute("UPDATE serai.audit SET content = '{}' WHERE org_id = %s", (house.org_id,))
        shard.execute("ALTER TABLE serai.audit ENABLE ALWAYS TRIGGER append_only")
    bad = shell.run("org", "audit", "verify", house.key, "--json")
    assert bad.status == 1
    assert (bad.json["ok"], bad.json["broken"]["number"]) == (False, 1)
    assert bad.json["broken"]["kind"] == "changed"


@pytest.mark.parametrize("words", [("verify", "nobody"), ("list", "nobody")], ids=" ".join)
def test_an_unknown_organisation_is_told_in_words(shell: Shell, words: tuple[str, str]) -> None:
    done = shell.run("org", "audit", *words)
    assert (done.status, done.out) == (1, "")
    assert "There is no organisation 'nobody'." in done.err


def test_a_head_that_is_none_is_told_with_its_form(shell: Shell) -> None:
    done = shell.run("org", "audit", "verify", "x", "--expect", "12")
    assert done.status == 1
    assert "NUMBER:HASH" in done.err


def test_nothing_of_the_record_is_dropped_unless_an_operator_says_so(
    shell: Shell, fleet: tuple[str, str]
) -> None:
    kept = shell.ok("org", "audit", "keep", "--json").json
    assert kept == {"shard": "shard-1", "months": None}
    month = """
    CREATE TABLE serai.audit_2019_05 (LIKE serai.audit INCLUDING ALL);
    ALTER TABLE serai.audit ATTACH PARTITION serai.audit_2019_05
    FOR VALUES FROM ('2019-05-01 00:00Z') TO ('2019-06-01 00:00Z')
    """
    with psycopg.connect(fleet[1], autocommit=True) as shard:
        for statement in month.split(";"):
            shard.execute(statement.encode())
    assert shell.ok("org", "audit", "prune", "--before", "2019-05").out == ""
    for words, dropped in ((("--dry-run",), False), ((), True)):
        done = shell.ok("org", "audit", "prune", "--before", "2019-06", "--json", *words).json
        assert (done["month"], done["dropped"]) == ("2019-05", dropped)
    # Neither the present month nor the one before may go, so none of them is said to.
    assert shell.ok("org", "audit", "prune", "--before", "9999-12").out == ""
    assert "nothing to drop" in shell.ok("org", "audit", "prune", "--before", "2019-06").err
    assert shell.ok("org", "audit", "keep", "--months", "24").out == "shard-1  24 months\n"
    assert shell.ok("org", "audit", "keep", "--for-ever").out == "shard-1  for ever\n"


def test_a_month_that_is_none_is_told_with_its_form(shell: Shell) -> None:
    done = shell.run("org", "audit", "prune", "--before", "may")
    assert done.status == 1
    assert "such as 2026-01" in done.err
