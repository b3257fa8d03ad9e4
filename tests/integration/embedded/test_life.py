"""Start, use, stop, start again: what a user of a laptop does, as root and as an ordinary user."""

from __future__ import annotations

import stat
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from integration.embedded.processes import Refused, rows, short_lived_folder, users_of, wait_for_end


def test_what_was_committed_is_there_after_a_restart(callers, place):
    caller = callers(place.user)
    server = caller.start(place.home)
    rows(server["url"], "CREATE TABLE kept AS SELECT 7 AS n")
    family = caller.family()[1:]
    caller.ask("stop")
    assert not short_lived_folder(server).exists()
    wait_for_end(family)
    assert users_of(place.path) == []
    assert caller.stages == ["locked", "initdb", "starting", "ready"]
    again = caller.ask("again")
    assert caller.stages[4:] == ["locked", "starting", "ready"]
    assert rows(again["url"]) == rows(again["socket_url"]) == [(7,)]
    caller.ask("stop")


def test_a_server_without_a_folder_leaves_none(callers, user):
    caller = callers(user)
    server = caller.start()
    folder = short_lived_folder(server)
    assert rows(server["url"], "SELECT 1") == [(1,)]
    assert (folder / "home/data/PG_VERSION").exists()
    family = caller.family()[1:]
    caller.ask("stop")
    wait_for_end(family)
    assert not folder.exists()


def test_nobody_else_can_read_the_data_the_password_or_the_log(callers, home, user):
    caller = callers(user)
    server = caller.start(home)
    modes = {
        name: stat.S_IMODE((home / name).stat().st_mode)
        for name in ("data", "password", "server.log", "serai-postgres.lock")
    }
    sockets = stat.S_IMODE((short_lived_folder(server) / "s").stat().st_mode)
    caller.ask("stop")
    assert modes == {
        "data": 0o700,
        "password": 0o600,
        "server.log": 0o600,
        "serai-postgres.lock": 0o600,
    }
    assert sockets == 0o700


@pytest.mark.parametrize("way", ["url", "socket_url"])
@pytest.mark.parametrize("password", ["wrong", ""])
def test_no_way_in_without_the_password(callers, my_home, me, way, password):
    caller = callers(me)
    server = caller.start(my_home)
    right = (my_home / "password").read_text().strip()
    with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no password"):
        psycopg.connect(server[way].replace(right, password), passfile="/dev/null")
    caller.ask("stop")


def test_a_server_listens_on_this_machine_only(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home)
    port = int(str(conninfo_to_dict(server["url"])["port"]))
    listening = {
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{server['pid']}/net/{table}").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    caller.ask("stop")
    assert listening == {f"0100007F:{port:04X}"}


def test_settings_of_the_caller_arrive_and_durability_stays_on(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home, max_connections=17, settings={"work_mem": "5MB"})
    names = ("max_connections", "work_mem", "fsync", "full_page_writes", "synchronous_commit")
    found = [rows(server["url"], f"SHOW {name}")[0][0] for name in names]
    caller.ask("stop")
    assert found == ["17", "5MB", "on", "on", "on"]


def test_the_environment_of_the_caller_does_not_change_the_server(
    callers, my_home, me, monkeypatch
):
    for name, value in {
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGOPTIONS": "-c statement_timeout=1",
        "LC_ALL": "xx_XX",
        "TZ": "Asia/Tokyo",
    }.items():
        monkeypatch.setenv(name, value)
    caller = callers(me)
    server = caller.start(my_home)
    monkeypatch.undo()
    found = [rows(server["url"], f"SHOW {name}")[0][0] for name in ("TimeZone", "lc_messages")]
    caller.ask("stop")
    assert found == ["UTC", "C"]


def test_text_sorts_by_code_point_on_every_system(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home)
    found = rows(
        server["url"],
        "SELECT string_agg(t, '' ORDER BY t) FROM unnest('{b,B,a,é,Z}'::text[]) t",
    )
    caller.ask("stop")
    assert found == [("BZabé",)]


def test_a_second_start_of_a_running_server_is_refused_and_a_second_stop_is_none(
    callers, my_home, me
):
    caller = callers(me)
    server = caller.start(my_home)
    with pytest.raises(Refused, match="stop it first"):
        caller.ask("again")
    assert rows(server["url"]) == [(1,)]
    caller.ask("stop")
    caller.ask("stop")
