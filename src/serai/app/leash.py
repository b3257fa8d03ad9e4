"""The leash: worker processes end with the process that started them, however that one ends.

Owns a pipe that nobody writes to, whose other end the parent alone holds, and what a worker does
when it closes. Promises that a worker whose parent was killed finishes the requests that are under
way as if it had been told to stop, and is gone after `stop_seconds` even if it does not listen; one
that only starts is gone at once. Never is needed for a stop in order: then the parent waits for its
workers.

On Linux the kernel tells the worker, as the supervisor of the embedded PostgreSQL has it tell the
server. Elsewhere a thread does, that waits for the pipe. Not both: a server that is told to stop
twice (granian 2.8) waits for a lock for ever, and lets no other thread run meanwhile. So the last
word is a timer of the kernel's, too.
"""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from serai.embedded.postgres.supervisor import LINUX, PR_SET_PDEATHSIG, prctl


class Leash:
    """Made by the parent, and given to its workers; they may be forked or spawned.

    Args:
        stop_seconds: what a worker may take to finish after its parent has died.
    """

    def __init__(self, stop_seconds: float) -> None:
        """Open the pipe."""
        self._parent = os.getpid()
        self._stop_seconds = stop_seconds
        self._serving = False
        self._end: Connection
        self._held: Connection | None
        self._end, self._held = Pipe(duplex=False)
        # A worker that is forked must not keep the pipe open for its brothers.
        os.register_at_fork(after_in_child=self._held.close)

    def __getstate__(self) -> dict[str, object]:
        """Leave the parent's end with the parent."""
        return {**self.__dict__, "_held": None}

    def follow(self) -> None:
        """Tie this worker to its parent; the first thing that a worker does, in its main thread."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        # Nothing is under way yet, and a server that just starts may not hear anything milder.
        self._expect(signal.SIGKILL)
        threading.Thread(target=self._watch, name="serai-leash", daemon=True).start()

    def serving(self) -> None:
        """From now on requests may be under way, and are finished before this worker ends."""
        self._expect(signal.SIGTERM)
        self._serving = True

    def _expect(self, number: signal.Signals) -> None:
        """Ask the kernel for a signal when the parent dies."""
        if LINUX:
            prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != self._parent:
            # It died before the kernel was asked.
            os._exit(1)

    def _watch(self) -> None:
        """End this process when the parent has ended."""
        wait([self._end])
        if not self._serving:
            os.kill(os.getpid(), signal.SIGKILL)
        # Its default is the end, and it needs no thread that could run.
        signal.setitimer(signal.ITIMER_REAL, self._stop_seconds)
        if not LINUX:
            os.kill(os.getpid(), signal.SIGTERM)
