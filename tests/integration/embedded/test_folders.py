"""Folders that a person may name by mistake or after an accident: each is refused in words that say
what to do, and nothing in it is touched; or it is served.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.abandoned import abandoned
from integration.embedded.processes import (
    SHORT_LIVED,
    open_files,
    rows,
    short_lived_folder,
    users_of,
    wait_for_end,
)
from serai.embedded.postgres import (
    AlreadyRunning,
    DataDirectoryUnusable,
    EmbeddedPostgres,
    EmbeddedPostgresSettings,
    StartFailed,
    WrongVersion,
)
from serai.embedded.postgres.home import LOG_BYTES_MAX

LOCK = "serai-postgres.lock"


@asynccontextmanager
async def running(home, **settings):
    async with EmbeddedPostgres(EmbeddedPostgresSettings(data_dir=home, **settings)) as server:
        yield server


def contents(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every name below the folder with its owner, mode and the time of its last change. The lock is
    signed and the log written by any start that gets so far.
    """
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_uid,
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.name not in {LOCK, "server.log"}
    }


def descriptors() -> set[str]:
    """What this process has open. The event loop opens its own once, which later tests find."""
    return set(open_files())


async def refused(home, kind, **settings):
    """The error of a start that must fail; it leaves no descriptor, no folder and no process."""
    before, folders = descriptors(), abandoned()
    with pytest.raises(kind) as raised:
        async with running(home, **settings):
            pass
    assert descriptors() <= before
    assert abandoned() <= folders
    return raised.value


def a_file(home):
    home.write_text("not a folder")


def foreign_files(home):
    home.mkdir()
    (home / "letters.txt").write_text("dear")


def somebody_elses_cluster(home):
    home.mkdir()
    (home / "PG_VERSION").write_text("18\n")
    (home / "base").mkdir()


@pytest.mark.parametrize(
    ("make", "reason", "remedy"),
    [
        (a_file, "a file where a folder must be", "Choose a folder."),
        (foreign_files, "it has other files", "Choose an empty or a new folder."),
        (somebody_elses_cluster, "that PostgreSQL made", "Choose an empty or a new folder."),
    ],
)
async def test_a_folder_that_is_not_ours_is_left_alone(my_place, make, reason, remedy):
    make(my_place.home)
    before = contents(my_place.path)
    error = await refused(my_place.home, DataDirectoryUnusable)
    assert reason in error.reason
    assert error.remedy == remedy
    assert str(my_place.home) in str(error)
    assert contents(my_place.path) == before


async def test_a_folder_below_a_file_is_refused(my_place):
    a_file(my_place.home)
    error = await refused(my_place.home / "below", DataDirectoryUnusable)
    assert "a file where a folder must be" in error.reason


def data_is_a_file(home):
    shutil.rmtree(home / "data")
    (home / "data").write_text("")


def data_is_empty(home):
    shutil.rmtree(home / "data")
    (home / "data").mkdir()


def data_is_on_a_disk_that_is_not_mounted(home):
    shutil.rmtree(home / "data")
    (home / "data").symlink_to(home.parent / "disk")


def password_is_missing(home):
    (home / "password").unlink()


def password_is_empty(home):
    (home / "password").write_text("\n")


def password_is_binary(home):
    (home / "password").write_bytes(b"\x00\xff\xfe")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (data_is_a_file, "`data` is not the data of PostgreSQL"),
        (data_is_empty, "`data` is not the data of PostgreSQL"),
        (data_is_on_a_disk_that_is_not_mounted, "`data` is not the data of PostgreSQL"),
        (password_is_missing, "the file `password` is missing"),
        (password_is_empty, "the file `password` is damaged"),
        (password_is_binary, "the file `password` is damaged"),
    ],
)
async def test_a_damaged_folder_is_refused_and_nothing_new_is_made_in_it(my_home, damage, reason):
    damage(my_home)
    before = contents(my_home)
    error = await refused(my_home, DataDirectoryUnusable)
    assert error.reason == reason
    assert "empty folder" in error.remedy
    assert contents(my_home) == before


@pytest.mark.parametrize("name", ["serai-postgres.lock", "server.log", "password"])
async def test_a_file_of_ours_that_became_a_folder_is_refused(my_home, name):
    (my_home / name).unlink()
    (my_home / name).mkdir()
    error = await refused(my_home, DataDirectoryUnusable)
    assert name in error.reason


async def test_a_log_that_points_elsewhere_is_not_followed(my_home):
    target = my_home.parent / "precious"
    target.write_text("as it was")
    (my_home / "server.log").unlink()
    (my_home / "server.log").symlink_to(target)
    await refused(my_home, DataDirectoryUnusable)
    assert target.read_text() == "as it was"


async def test_data_of_another_major_version_is_refused_and_says_how_to_move_it(my_home):
    (my_home / "data/PG_VERSION").write_text("15\n")
    before = contents(my_home)
    error = await refused(my_home, WrongVersion)
    assert (error.found, error.expected) == ("15", "18")
    assert "Dump it with the version that wrote it" in str(error)
    assert contents(my_home) == before


async def test_a_password_of_another_backup_is_named_as_the_cause(my_home):
    (my_home / "password").write_text("of-another-backup\n")
    error = await refused(my_home, StartFailed)
    assert error.reason == "it takes no login with the password of the folder"
    assert "Put back the file `password`" in str(error)
    assert users_of(my_home) == []


async def test_a_path_longer_than_the_system_takes_is_refused(my_place):
    home = my_place.path.joinpath(*["n" * 200] * 18)
    error = await refused(home, DataDirectoryUnusable)
    assert error.remedy == "Choose a shorter one."
    assert list(my_place.path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b"])
async def test_a_path_that_postgresql_cannot_write_down_is_refused(my_place, name):
    await refused(my_place.path / name, DataDirectoryUnusable)
    assert list(my_place.path.iterdir()) == []


@pytest.mark.parametrize(
    "names",
    [["n" * 200] * 8, ["with space, quote ' and \"", "Dvořák 東京"], [os.fsdecode(b"\xff\xfe")]],
    ids=["1,600 bytes", "spaces and letters", "no text at all"],
)
async def test_a_folder_of_any_name_keeps_its_data(my_place, my_home, names):
    home = my_place.path.joinpath(*names)
    home.parent.mkdir(parents=True, exist_ok=True)
    my_home.rename(home)
    for expected in ([(1,)], [(1,), (2,)]):
        async with running(home) as server:
            assert rows(server.url()) == expected
            rows(server.url(), "INSERT INTO kept VALUES (2)")


async def test_a_relative_path_is_one_of_the_callers_folder(my_home, monkeypatch):
    monkeypatch.chdir(my_home.parent)
    async with running(Path(my_home.name)) as server:
        assert server.data_dir == my_home
        assert rows(server.url()) == [(1,)]


async def test_a_file_system_of_its_own_is_an_empty_folder(my_place):
    (my_place.home / "lost+found").mkdir(parents=True)
    async with running(my_place.home) as server:
        assert rows(server.url(), "SELECT 1") == [(1,)]


async def test_a_taken_port_is_named_as_the_cause(my_home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = await refused(my_home, StartFailed, port=taken.getsockname()[1])
    assert "choose another one" in str(error)
    assert "Address already in use" in error.log_tail


async def test_a_setting_that_postgresql_does_not_know_is_named(my_home):
    error = await refused(my_home, StartFailed, settings={"no_such_setting": 1})
    assert "no_such_setting" in error.log_tail
    assert "Remove the setting that the log names." in str(error)


async def test_a_start_that_takes_too_long_ends_and_says_what_to_raise(my_home):
    error = await refused(my_home, StartFailed, start_seconds_max=0.001)
    assert "was not ready within 0.001 s" in str(error)
    assert "start_seconds_max" in str(error)
    assert users_of(my_home) == []


async def test_a_large_log_is_set_aside_once(my_home):
    log = my_home / "server.log"
    (my_home / "server.log.1").write_text("older")
    with log.open("ab") as opened:
        opened.truncate(LOG_BYTES_MAX + 1)
    async with running(my_home):
        pass
    assert (my_home / "server.log.1").stat().st_size == LOG_BYTES_MAX + 1
    assert 0 < log.stat().st_size < 100_000
    async with running(my_home):
        pass
    assert (my_home / "server.log.1").stat().st_size == LOG_BYTES_MAX + 1


async def test_a_pid_file_of_a_killed_server_does_not_stop_the_next_one(my_home, user):
    # In a container, numbers start from 1 again: the number is taken, by another program.
    alive = os.getpid() if user.uid == os.geteuid() else 1
    file = my_home / "data/postmaster.pid"
    file.write_text(f"{alive}\n{my_home}/data\n1760000000\n5432\n/tmp\n127.0.0.1\n 1 2\nready   \n")
    owner = (my_home / "data").stat()
    os.chown(file, owner.st_uid, owner.st_gid)
    async with running(my_home) as server:
        assert rows(server.url()) == [(1,)]


def program_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def by_hand_on(data: Path, program: str) -> subprocess.Popen[str]:
    owner = data.stat()
    return subprocess.Popen(
        [program, "-D", ".", "-k", str(SHORT_LIVED), "-c", "listen_addresses=", "-p", "1"],
        cwd=data,
        user=None if os.geteuid() else owner.st_uid,
        group=None if os.geteuid() else owner.st_gid,
        extra_groups=None if os.geteuid() else [],
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_a_server_that_somebody_started_by_hand_keeps_its_data(my_home):
    async with running(my_home) as server:
        program = program_of(server.pid)
    with by_hand_on(my_home / "data", program) as by_hand:
        assert by_hand.stderr is not None
        while "ready to accept connections" not in by_hand.stderr.readline():
            assert by_hand.poll() is None
        error = await refused(my_home, AlreadyRunning)
        by_hand.terminate()
    assert error.pid == by_hand.pid


def test_of_two_starts_at_the_same_moment_exactly_one_wins(callers, place):
    both = [callers(place.user), callers(place.user)]
    for caller in both:
        caller.send("start", data_dir=str(place.home))
    outcomes = {caller.pid: caller.outcome() for caller in both}
    winners = [pid for pid, outcome in outcomes.items() if isinstance(outcome, dict)]
    losers = [outcome for outcome in outcomes.values() if not isinstance(outcome, dict)]
    assert len(winners) == len(losers) == 1
    assert losers[0].kind == "AlreadyRunning"
    assert losers[0].pid == winners[0]
    assert f"Stop process {winners[0]}" in losers[0].text
    (winner,) = [caller for caller in both if caller.pid == winners[0]]
    winner.ask("stop")


def test_two_callers_in_one_folder_by_two_names_are_seen(callers, home, user):
    first, second = callers(user), callers(user)
    first.start(home)
    alias = home.with_name("alias")
    alias.symlink_to(home)
    refusal = second.failed(alias)
    first.ask("stop")
    assert (refusal.kind, refusal.pid) == ("AlreadyRunning", first.pid)


def test_what_a_crash_while_the_data_was_made_left_is_made_anew(callers, place):
    place.home.mkdir()
    (place.home / LOCK).touch()
    (place.home / "data.partial").mkdir()
    (place.home / "data.partial/half").write_text("a half")
    (place.home / "password.partial").write_text("a ha")
    for path in (place.home, *place.home.rglob("*")):
        os.chown(path, place.user.uid, place.user.gid)
    caller = callers(place.user)
    server = caller.start(place.home)
    assert rows(server["url"], "SELECT 1") == [(1,)]
    family = caller.family()[1:]
    caller.ask("stop")
    wait_for_end(family)
    assert not short_lived_folder(server).exists()
    assert {entry.name for entry in place.home.iterdir()} == {
        "data",
        "password",
        "server.log",
        LOCK,
    }
