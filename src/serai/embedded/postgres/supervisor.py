"""The small process between Serai and PostgreSQL: it starts the server and never lets it outlive
its caller.

Owns the server process and all that descends from it. Runs as a script in a session of its own, so
that Ctrl-C in a terminal reaches Serai alone and the server is still there while Serai drains.
Reads one line of JSON (the plan) from its input, then
watches that input: a byte, its end, or the death of the caller is the order to stop. Writes one
line of JSON for every stage. Promises that when it ends no process that it started is left, nor
their shared memory, nor the folders the plan says to remove. Should it be killed itself, the kernel
asks the server for a fast shutdown, and the caller or a later start removes the folders.

Imports only the standard library, and little of that: it is on the path of every start. It is a
process and not a thread because a thread dies with the caller that a SIGKILL ends.
"""

# ruff: noqa: PTH102, PTH104, PTH118, PTH119, PTH120, PTH123, PTH208 - the plan's strings go to the kernel as
# they are, and pathlib is one more import before the server starts

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import time
from typing import Final, TypedDict

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
IPC_RMID: Final = 0

READY_POLL_SECONDS: Final = 0.01
PARENT_POLL_SECONDS: Final = 1.0
"""Only where the kernel has no pidfd: how long the death of a caller that left its pipe to a child
goes unseen."""
IMMEDIATE_SECONDS: Final = 5.0
KILL_SECONDS: Final = 5.0
KILL_ROUND_SECONDS: Final = 0.05
STATUS_LINES: Final = 8
"""Of postmaster.pid once it is whole: process, folder, start, port, sockets, address, shared
memory, status."""
SHARED_MEMORY_LINE: Final = 6
STATUS_LINE: Final = 7
PLAN_BYTES_MAX: Final = 60_000

IGNORED: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)
RESET: Final = (signal.SIGCHLD, signal.SIGTERM, *IGNORED)
"""What this process does not leave as it was; a process that it starts has it as it was."""

LINUX: Final = sys.platform == "linux"


class Plan(TypedDict):
    """What one start needs; `uid` and `gid` are None where the user stays the same."""

    parent: int
    uid: int | None
    gid: int | None
    data: str
    partial: str
    make: list[str] | None
    make_env: dict[str, str]
    files: dict[str, str]
    server: list[str]
    password: str | None
    env: dict[str, str]
    locks: list[int]
    remove: list[str]
    stop_seconds: float


class Stop(Exception):
    """The order to stop came."""


class Supervisor:
    """One server from its first process to its last."""

    def __init__(self, plan: Plan, *, stopped: bool) -> None:
        # A caller may start servers from a thread that blocks signals, and the mask is inherited.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self.plan: Final = plan
        self.pid: Final = os.getpid()
        self.libc: Final = ctypes.CDLL(None, use_errno=True)
        self.exits: dict[int, int] = {}
        self.poll: Final = select.poll()
        self.wake: Final = self._wake_on_signals()
        self.parent_fd: Final = _pidfd(plan["parent"])
        self.poll.register(0, select.POLLIN | select.POLLHUP)
        self.poll.register(self.wake, select.POLLIN)
        if self.parent_fd is not None:
            self.poll.register(self.parent_fd, select.POLLIN)
        if LINUX:
            # Processes whose parent dies come to this one, which can then wait for them or end
            # them.
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.terminated = stopped

    def _wake_on_signals(self) -> int:
        """Make SIGCHLD and SIGTERM readable, so that one `poll` waits for everything."""
        read_end, write_end = os.pipe()
        for end in (read_end, write_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        for ignored in IGNORED:
            signal.signal(ignored, signal.SIG_IGN)
        return read_end

    def _on_terminate(self, _number: int, _frame: object) -> None:
        self.terminated = True

    # --- running ---

    def run(self) -> int:
        """Start, wait for the order or the end of the server, clean up. Returns the exit status of
        this process.
        """
        try:
            return self._serve()
        except Stop:
            return 0
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        """End what is left, remove what is ours, let go of the locks, in this order."""
        if not self._end_all():
            # The locks stay with the process that even SIGKILL did not end: no server may start on
            # what it can still write.
            return
        self._remove_segment()
        for path in (*self.plan["remove"], self.plan["partial"]):
            if os.path.lexists(path):
                shutil.rmtree(path)
        for lock in self.plan["locks"]:
            # A child of the caller may hold a copy of this descriptor: closing it would not be
            # enough.
            fcntl.flock(lock, fcntl.LOCK_UN)

    def _serve(self) -> int:
        self._wait(0)
        make = self.plan["make"]
        if make is not None:
            _tell(os.path.basename(make[0]))
            if not self._make_cluster(make):
                return 1
        _tell("starting")
        server = self._spawn(self.plan["server"], self.plan["data"], signal.SIGINT, None)
        try:
            while not self._is_ready(server):
                self._wait(READY_POLL_SECONDS)
                if server in self.exits:
                    _tell("failed", f"the server ended with status {self.exits[server]}")
                    return 1
            _tell("ready", server)
            while server not in self.exits:
                self._wait(None)
            _tell("exited", self.exits[server])
            return 1
        except Stop:
            self._shut_down(server)
            raise

    def _make_cluster(self, make: list[str]) -> bool:
        """Make the data directory beside its place and move it there whole: a crash leaves all of
        it or none.
        """
        partial, data, uid, gid = (
            self.plan["partial"],
            self.plan["data"],
            self.plan["uid"],
            self.plan["gid"],
        )
        if os.path.lexists(partial):
            shutil.rmtree(partial)
        os.mkdir(partial, 0o700)
        if uid is not None and gid is not None:
            os.chown(partial, uid, gid, follow_symlinks=False)
        child = self._spawn(make, partial, signal.SIGKILL, self.plan["password"])
        while child not in self.exits:
            self._wait(None)
        if self.exits[child] != 0:
            program = os.path.basename(make[0])
            _tell("failed", f"{program} ended with status {self.exits[child]}")
            return False
        for name, content in self.plan["files"].items():
            # The folder is another user's by now: nothing that stands there is followed.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            file = os.open(os.path.join(partial, name), flags, 0o600)
            if uid is not None and gid is not None:
                os.fchown(file, uid, gid)
            os.write(file, content.encode())
            os.fsync(file)
            os.close(file)
        os.rename(partial, data)
        home = os.open(os.path.dirname(data), os.O_RDONLY)
        os.fsync(home)
        os.close(home)
        return True

    def _is_ready(self, server: int) -> bool:
        """True once the server says so in its pid file, which is where pg_ctl looks too."""
        lines = self._pid_file()
        return (
            len(lines) >= STATUS_LINES and lines[0] == str(server) and lines[STATUS_LINE] == "ready"
        )

    def _pid_file(self) -> list[str]:
        try:
            name = os.path.join(self.plan["data"], "postmaster.pid")
            # The second line is the path of the folder, which may be any bytes.
            with open(name, encoding="latin-1") as file:
                return [line.strip() for line in file]
        except FileNotFoundError:
            return []

    def _wait(self, seconds: float | None) -> None:
        """Until a child ends, the order to stop comes (raises Stop) or the time is over. Children
        are reaped.
        """
        if self.parent_fd is None and (seconds is None or seconds > PARENT_POLL_SECONDS):
            seconds = PARENT_POLL_SECONDS
        events = self.poll.poll(None if seconds is None else max(0, round(seconds * 1000)))
        ready = {descriptor for descriptor, _ in events}
        if self.wake in ready:
            os.read(self.wake, 4096)
        self._reap()
        if (
            self.terminated
            or 0 in ready
            or self.parent_fd in ready
            or os.getppid() != self.plan["parent"]
        ):
            raise Stop

    def _reap(self) -> bool:
        """Collect every child that has ended. Returns whether any is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.exits[pid] = os.waitstatus_to_exitcode(status)

    # --- starting a process ---

    def _spawn(
        self, argv: list[str], directory: str, death_signal: signal.Signals, password: str | None
    ) -> int:
        # This process ignores some of these signals, and so does its copy until it has changed
        # that: an order to stop that came in between would be lost, not late.
        signal.pthread_sigmask(signal.SIG_BLOCK, RESET)
        pid = os.fork()
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, RESET)
            return pid
        try:
            self._become(directory, death_signal)
            if password is not None:
                argv = [*argv, f"--pwfile=/dev/fd/{_readable(password)}"]
            making = argv is not self.plan["server"]
            env = {**self.plan["env"], **(self.plan["make_env"] if making else {})}
            os.execve(argv[0], argv, env)
        except BaseException as error:  # noqa: BLE001 - the parent reads it in the log, whatever it was
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(127)

    def _become(self, directory: str, death_signal: signal.Signals) -> None:
        """Turn the new process into one that may run PostgreSQL: user, folder, descriptors,
        signals.
        """
        signal.set_wakeup_fd(-1)
        for number in RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, RESET)
        # Before the user changes: the new one may not reach the folder by its path (see
        # `server.arguments`).
        os.chdir(directory)
        os.umask(0o077)
        uid, gid = self.plan["uid"], self.plan["gid"]
        if uid is not None and gid is not None:
            try:
                os.setgroups([gid])
                os.setgid(gid)
                os.setuid(uid)
            except OSError as error:
                raise OSError(
                    error.errno, f"could not change user to {uid}: {error.strerror}"
                ) from error
        if LINUX:
            if uid is not None:
                prctl(PR_SET_NO_NEW_PRIVS, 1)
            # After the user changed: the kernel forgets the wish when credentials change.
            prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != self.pid:
            os._exit(127)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        for lock in self.plan["locks"]:
            # The server and its processes keep the locks, so that they are free only when the last
            # one is gone.
            os.set_inheritable(lock, True)  # noqa: FBT003 - a function of os takes it by position only

    # --- ending processes ---

    def _shut_down(self, server: int) -> None:
        """Fast shutdown, then one without a checkpoint, each with its bound. `_end_all` ends what
        refuses both.
        """
        for number, seconds in (
            (signal.SIGINT, self.plan["stop_seconds"]),
            (signal.SIGQUIT, IMMEDIATE_SECONDS),
        ):
            deadline = time.monotonic() + seconds
            if server not in self.exits:
                os.kill(server, number)
            while server not in self.exits and time.monotonic() < deadline:
                self._wait_for_child(deadline - time.monotonic())

    def _end_all(self) -> bool:
        """Kill what is left and wait until it is gone. Orphans come to this process, so a few
        rounds find all. Returns whether all are gone.
        """
        deadline = time.monotonic() + KILL_SECONDS
        while self._reap():
            if time.monotonic() > deadline:
                return False
            for pid in _children_of(self.pid):
                os.kill(pid, signal.SIGKILL)
            self._wait_for_child(KILL_ROUND_SECONDS)
        return True

    def _wait_for_child(self, seconds: float) -> None:
        """Until a child ends or the time is over, whatever else is asked meanwhile."""
        if select.select([self.wake], [], [], max(0.0, seconds))[0]:
            os.read(self.wake, 4096)
        self._reap()

    def _remove_segment(self) -> None:
        """Remove the System V segment of a server that was killed: its pid file is still there and
        names it.
        """
        lines = self._pid_file()
        if len(lines) <= SHARED_MEMORY_LINE:
            return
        if not lines[0].isdigit() or int(lines[0]) not in self.exits:
            return
        # Its key and its number; the line is empty for a server that had none.
        words = lines[SHARED_MEMORY_LINE].split()
        if words and self.libc.shmctl(int(words[-1]), IPC_RMID, None) != 0:
            number = ctypes.get_errno()
            if number not in (errno.EINVAL, errno.EIDRM):
                raise OSError(
                    number, f"could not remove shared memory {words[1]}: {os.strerror(number)}"
                )


def prctl(option: int, value: int) -> None:
    """Ask the kernel of Linux for something about this process. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")


def _tell(stage: str, detail: int | str | None = None) -> None:
    """One line for the caller. A caller that no longer listens is an order to stop."""
    try:
        os.write(1, json.dumps({"stage": stage, "detail": detail}).encode() + b"\n")
    except BrokenPipeError as error:
        raise Stop from error


def _pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the kernel or the
    sandbox has none.

    The pipe alone would not do: a child that the caller forked holds a copy of its end and can live
    on.
    """
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        # It has ended already, which `_wait` sees too.
        return None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return None


def _readable(text: str) -> int:
    """A descriptor that holds the text. Made by the user who will open it: a pipe belongs to its
    maker.
    """
    read_end, write_end = os.pipe()
    os.write(write_end, text.encode() + b"\n")
    os.close(write_end)
    os.set_inheritable(read_end, True)  # noqa: FBT003 - a function of os takes it by position only
    return read_end


def _children_of(parent: int) -> list[int]:
    """Processes whose parent is this one, ended or not. Elsewhere than on Linux orphans do not come
    here.
    """
    if not LINUX:
        return []
    found: list[int] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            # It ended between the listing and the reading.
            continue
        if int(fields[1]) == parent:
            found.append(int(name))
    return found


def _read_plan() -> tuple[Plan, bool] | None:
    """The first line of the input, and whether the order to stop has come behind it; None if the
    caller ended before it had sent the line.
    """
    received = b""
    while b"\n" not in received:
        part = os.read(0, PLAN_BYTES_MAX)
        if not part:
            return None
        received += part
    line, _, order = received.partition(b"\n")
    return json.loads(line), bool(order)


def main() -> int:
    """The life of this process."""
    received = _read_plan()
    if received is None:
        return 0
    plan, stopped = received
    return Supervisor(plan, stopped=stopped).run()


if __name__ == "__main__":
    sys.exit(main())
