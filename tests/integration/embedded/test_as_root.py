"""Serai as root, as in most containers: PostgreSQL refuses root, so it runs as somebody else, who
reaches neither the folder nor the program by its path.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

import pytest

from integration.embedded.processes import SHORT_LIVED, make_place, remove, rows, short_lived_folder
from serai.embedded.postgres.binaries import LIBRARIES, PACKAGE

DAEMON = pwd.getpwnam("daemon")
NOBODY = pwd.getpwnam("nobody")


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def test_the_server_of_root_has_no_rights_of_root(callers, my_home, me):
    caller = callers(me)
    found = status(caller.start(my_home)["pid"])
    caller.ask("stop")
    assert found["Uid"] == [str(NOBODY.pw_uid)] * 4
    assert found["Gid"] == [str(NOBODY.pw_gid)] * 4
    assert found["Groups"] == [str(NOBODY.pw_gid)]
    assert found["NoNewPrivs"] == ["1"]
    assert int(found["CapEff"][0], 16) == 0


def test_a_folder_that_only_root_reaches_holds_data(callers, my_place, my_home, me):
    closed = my_place.path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "new").mkdir(mode=0o700)
    caller = callers(me)
    for home, expected in ((my_home.rename(closed / "old"), [(1,)]), (closed / "new/db", None)):
        server = caller.start(home)
        rows(server["url"], "CREATE TABLE IF NOT EXISTS kept (n int)")
        assert expected is None or rows(server["url"]) == expected
        caller.ask("stop")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert (home / "data").stat().st_uid == NOBODY.pw_uid


def test_data_keeps_the_user_it_was_made_by(callers, my_place, me):
    caller = callers(me)
    for settings in ({"run_as": "daemon"}, {}):
        server = caller.start(my_place.home, **settings)
        assert status(server["pid"])["Uid"][0] == str(DAEMON.pw_uid)
        caller.ask("stop")
    refusal = caller.failed(my_place.home, run_as="nobody")
    assert refusal.kind == "DataDirectoryUnusable"
    assert f"belongs to user {DAEMON.pw_uid}" in refusal.text
    assert f"chown -R {NOBODY.pw_uid}" in refusal.text


def test_root_serves_the_folder_of_an_ordinary_user_and_hands_it_back(callers, templates, user, me):
    place = make_place(user)
    try:
        shutil.copytree(templates(user), place.home)
        for path in (place.home, *place.home.rglob("*")):
            os.chown(path, DAEMON.pw_uid, DAEMON.pw_gid)
        caller = callers(me)
        server = caller.start(place.home)
        found = status(server["pid"])["Uid"][0], rows(server["url"])
        caller.ask("stop")
        assert found == (str(DAEMON.pw_uid), [(1,)])
        owners = {path.stat().st_uid for path in (place.home / "data").rglob("*")}
        assert owners == {DAEMON.pw_uid}
    finally:
        remove(place.path)


@pytest.mark.parametrize(
    ("run_as", "said"), [("root", "root is root"), ("no-such-user", "no user no-such-user")]
)
def test_a_user_that_cannot_serve_is_refused(callers, my_home, me, run_as, said):
    refusal = callers(me).failed(my_home, run_as=run_as)
    assert refusal.kind == "StartFailed"
    assert said in refusal.text


@pytest.fixture(scope="module")
def closed_wheel(me):
    """The wheel where only root reaches it, as in a virtual environment below /root."""
    place = make_place(me)
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    packages = place.path / "packages"
    for source in (package, package.parent / LIBRARIES):
        shutil.copytree(source, packages / source.name, symlinks=True)
    packages.chmod(0o700)
    yield packages
    remove(place.path)


def program_of(server) -> Path:
    return Path(f"/proc/{server['pid']}/exe").readlink()


def test_a_program_that_only_root_reaches_is_copied_once(
    callers, my_place, my_home, me, closed_wheel
):
    cache = my_place.path / "cache"
    left = cache / "postgres-1-2-3.partial"
    left.mkdir(parents=True)
    caller = callers.special(me, path=closed_wheel)
    seen = []
    for _ in range(2):
        server = caller.start(my_home, cache_dir=str(cache))
        assert rows(server["url"]) == [(1,)]
        seen.append((program_of(server), program_of(server).stat().st_ino))
        caller.ask("stop")
    assert seen[0] == seen[1]
    assert seen[0][0].is_relative_to(cache)
    assert len(list(cache.iterdir())) == 1
    assert {path.stat().st_uid for path in cache.rglob("*")} == {0}
    assert not any(
        path.stat().st_mode & 0o022 for path in cache.rglob("*") if not path.is_symlink()
    )


def test_two_starts_that_need_the_copy_make_one(callers, my_place, templates, me, closed_wheel):
    cache = my_place.path / "cache"
    both = [callers.special(me, path=closed_wheel) for _ in range(2)]
    for number in range(len(both)):
        shutil.copytree(templates(me), my_place.path / f"{number}", symlinks=True)
        for path in (my_place.path / f"{number}/data", *my_place.path.glob(f"{number}/data/**/*")):
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    for number, caller in enumerate(both):
        caller.send("start", data_dir=str(my_place.path / f"{number}"), cache_dir=str(cache))
    programs = {program_of(caller.answer()) for caller in both}
    for caller in both:
        caller.ask("stop")
    assert len(programs) == len(list(cache.iterdir())) == 1


def a_cache_below_a_file(place):
    (place.path / "file").touch()
    return place.path / "file/cache"


def a_cache_that_others_can_write(place):
    (place.path / "open").mkdir()
    (place.path / "open").chmod(0o777)
    return place.path / "open"


def a_cache_that_is_closed(place):
    (place.path / "closed").mkdir(mode=0o700)
    return place.path / "closed/cache"


@pytest.mark.parametrize(
    "make", [a_cache_below_a_file, a_cache_that_others_can_write, a_cache_that_is_closed]
)
def test_without_a_cache_that_can_be_trusted_the_program_lives_as_long_as_its_server(
    callers, my_place, my_home, me, closed_wheel, make
):
    cache = make(my_place)
    caller = callers.special(me, path=closed_wheel)
    server = caller.start(my_home, cache_dir=str(cache))
    program = program_of(server)
    found = rows(server["url"])
    caller.ask("stop")
    assert program.is_relative_to(short_lived_folder(server))
    assert found == [(1,)]
    assert not program.exists()
    assert not cache.is_dir() or list(cache.iterdir()) == []


def test_folders_in_tmp_that_are_not_ours_are_left_alone(callers, my_home, me):
    theirs = SHORT_LIVED / "serai-pg-of-nobody"
    theirs.mkdir()
    os.chown(theirs, NOBODY.pw_uid, NOBODY.pw_gid)
    link, file = SHORT_LIVED / "serai-pg-a-link", SHORT_LIVED / "serai-pg-a-file"
    link.symlink_to(my_home)
    file.touch()
    caller = callers(me)
    caller.start(my_home)
    caller.ask("stop")
    left = theirs.is_dir(), link.is_symlink(), file.is_file(), (my_home / "data").is_dir()
    theirs.rmdir()
    link.unlink()
    file.unlink()
    assert left == (True, True, True, True)
