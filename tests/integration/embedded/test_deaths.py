"""kill -9 of the caller, of the supervisor and of the server: nothing is left, nothing committed is
lost, and the next start works.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from integration.embedded.processes import (
    Refused,
    rows,
    short_lived_folder,
    users_of,
    wait_for_end,
    words_of,
)


def commit_two(server):
    rows(server["url"], "INSERT INTO kept VALUES (2)")


def assert_all_is_there(callers, user, home):
    """The next start works, in a process that knows nothing of the one before."""
    caller = callers(user)
    server = caller.start(home)
    found = rows(server["url"])
    caller.ask("stop")
    assert found == [(1,), (2,)]


def test_a_killed_caller_leaves_no_process_and_no_folder(callers, home, user):
    caller = callers(user)
    server = caller.start(home)
    commit_two(server)
    family = caller.family()
    caller.kill()
    wait_for_end(family)
    assert not short_lived_folder(server).exists()
    assert users_of(home) == []
    assert "database system is shut down" in (home / "server.log").read_text()
    assert_all_is_there(callers, user, home)


def test_a_killed_caller_without_a_folder_of_its_own_leaves_no_data_in_tmp(callers, user):
    caller = callers(user)
    server = caller.start()
    family = caller.family()
    caller.kill()
    wait_for_end(family)
    assert not short_lived_folder(server).exists()


def test_a_child_that_the_killed_caller_left_does_not_keep_the_server(callers, home, user):
    caller = callers(user)
    caller.start(home)
    child = caller.ask("fork")
    family = [process for process in caller.family() if process.pid != child]
    # Its output stays open in the child, so that its end cannot be read there.
    os.kill(caller.pid, signal.SIGKILL)
    wait_for_end(family)
    left = psutil.pid_exists(child)
    os.kill(child, signal.SIGKILL)
    wait_for_end([child])
    caller.close()
    assert left
    assert users_of(home) == []


def test_a_child_that_lives_on_does_not_keep_the_folder_after_a_stop(callers, my_home, me):
    caller = callers(me)
    caller.start(my_home)
    child = caller.ask("fork")
    family = [process for process in caller.family()[1:] if process.pid != child]
    caller.ask("stop")
    wait_for_end(family)
    other = callers(me)
    server = other.start(my_home)
    found = rows(server["url"])
    other.ask("stop")
    os.kill(child, signal.SIGKILL)
    assert found == [(1,)]


def test_a_caller_killed_while_the_data_directory_is_made_leaves_nothing_of_it(callers, my_place):
    caller = callers(my_place.user)
    caller.send("start", data_dir=str(my_place.home))
    caller.until("initdb")
    family = caller.family()
    caller.kill()
    wait_for_end(family)
    assert {entry.name for entry in my_place.home.iterdir()} == {
        "password",
        "serai-postgres.lock",
        "server.log",
    }
    again = callers(my_place.user)
    server = again.start(my_place.home)
    assert again.stages == ["locked", "initdb", "starting", "ready"]
    assert rows(server["url"], "SELECT 1") == [(1,)]
    again.ask("stop")


def test_a_start_right_after_a_kill_waits_for_the_dying_server(callers, my_home, me):
    first, second = callers(me), callers(me)
    commit_two(first.start(my_home))
    # The server cannot end before the second start has seen that it is still there.
    os.kill(supervisor := first.supervisor(), signal.SIGSTOP)
    first.kill()
    second.send("start", data_dir=str(my_home))
    assert second.asleep(), "it neither failed nor started"
    os.kill(supervisor, signal.SIGCONT)
    found = rows(second.answer()["url"])
    second.ask("stop")
    assert found == [(1,), (2,)]


def test_a_killed_supervisor_does_not_leave_the_server_behind(callers, home, user):
    caller = callers(user)
    server = caller.start(home)
    commit_two(server)
    family = caller.family()[1:]
    os.kill(caller.supervisor(), signal.SIGKILL)
    caller.ask("wait")
    wait_for_end(family)
    assert users_of(home) == [caller.pid], "it reads the log until it stops"
    assert "database system is shut down" in (home / "server.log").read_text()
    caller.ask("stop")
    assert not short_lived_folder(server).exists()
    assert rows(caller.ask("again")["url"]) == [(1,), (2,)]
    caller.ask("stop")


def test_a_stop_waits_for_the_server_of_a_killed_supervisor(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home)
    family = caller.family()[1:]
    os.kill(server["pid"], signal.SIGSTOP)
    os.kill(caller.supervisor(), signal.SIGKILL)
    caller.send("stop")
    assert caller.asleep(), "it said that the server had ended"
    os.kill(server["pid"], signal.SIGCONT)
    caller.answer()
    assert not short_lived_folder(server).exists()
    wait_for_end(family)


def test_a_supervisor_killed_while_the_data_directory_is_made_fails_the_start_only(
    callers, my_place
):
    caller = callers(my_place.user)
    caller.send("start", data_dir=str(my_place.home))
    caller.until("initdb")
    family = caller.family()[1:]
    os.kill(caller.supervisor(), signal.SIGKILL)
    with pytest.raises(Refused, match="its supervisor ended"):
        caller.answer()
    wait_for_end(family)
    assert users_of(my_place.path) == []
    server = caller.start(my_place.home)
    assert rows(server["url"], "SELECT 1") == [(1,)]
    caller.ask("stop")


def test_the_next_start_removes_what_a_killed_caller_and_a_killed_supervisor_left(callers, user):
    caller = callers(user)
    server = caller.start()
    family = caller.family()
    os.kill(caller.supervisor(), signal.SIGKILL)
    caller.kill()
    wait_for_end(family)
    folder = short_lived_folder(server)
    assert (folder / "home/data/PG_VERSION").exists()
    again = callers(user)
    again.start()
    again.ask("stop")
    assert not folder.exists()


def test_a_terminated_supervisor_stops_the_server_in_order(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home)
    os.kill(caller.supervisor(), signal.SIGTERM)
    caller.ask("wait")
    assert not short_lived_folder(server).exists()
    assert "database system is shut down" in (my_home / "server.log").read_text()
    caller.ask("stop")


def test_a_server_that_dies_is_noticed_and_leaves_no_process_and_no_shared_memory(
    callers, home, user
):
    caller = callers(user)
    server = caller.start(home)
    commit_two(server)
    segments = Path("/proc/sysvipc/shm").read_text().split()
    assert str(server["pid"]) in segments
    family = caller.family()[1:]
    os.kill(server["pid"], signal.SIGKILL)
    caller.ask("wait")
    wait_for_end(family)
    assert str(server["pid"]) not in Path("/proc/sysvipc/shm").read_text().split()
    assert not short_lived_folder(server).exists()
    caller.ask("stop")
    assert_all_is_there(callers, user, home)


def test_a_server_that_refuses_to_end_is_killed_and_recovers(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home, stop_seconds_max=0.1)
    commit_two(server)
    family = caller.family()[1:]
    os.kill(server["pid"], signal.SIGSTOP)
    caller.ask("stop")
    wait_for_end(family)
    assert not short_lived_folder(server).exists()
    assert_all_is_there(callers, me, my_home)


def test_a_second_interrupt_does_not_cut_the_shutdown_short(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home)
    commit_two(server)
    family = caller.family()
    caller.send("stop_and_leave")
    caller.answer()
    wait_for_end(family)
    assert not short_lived_folder(server).exists()
    assert_all_is_there(callers, me, my_home)
    assert "was not properly shut down" not in (my_home / "server.log").read_text()


def test_a_server_stops_for_a_caller_that_blocks_signals(callers, my_home, me):
    caller = callers.special(me, "blocked")
    server = caller.start(my_home)
    os.kill(server["pid"], signal.SIGINT)
    caller.ask("wait")
    caller.ask("stop")
    assert users_of(my_home) == []


def test_a_killed_postgres_process_does_not_end_the_server(callers, my_home, me):
    caller = callers(me)
    server = caller.start(my_home)
    (checkpointer,) = [
        process
        for process in psutil.Process(server["pid"]).children()
        if "checkpointer" in words_of(process)
    ]
    os.kill(checkpointer.pid, signal.SIGKILL)
    wait_for_end([checkpointer])
    caller.ask("stop")
    assert users_of(my_home) == []
