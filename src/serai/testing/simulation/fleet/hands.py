"""Blocking code in virtual time: a thread that runs only while the loop stands still.

Owns the handing over. Promises that at any moment either the loop or one hand runs, so a run stays
what its seed says; that a hand which waits lets virtual time pass; and that one which is killed
stops where it waits, as a process does: nothing of it runs afterwards but what its death undoes.
Never used for code that can await.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

_LOCAL: Final = threading.local()


class Killed(BaseException):
    """The process is gone. Not an Exception: nobody cleans up behind a process that was killed."""


class Hand:
    """One piece of blocking work.

    Args:
        work: what is to be done.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        """Do nothing yet; `drive` does it."""
        self._work = work
        self._mine = threading.Semaphore(0)
        self._loops = threading.Semaphore(0)
        self._seconds = 0.0
        self._killed = False
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    async def drive(self) -> Any:
        """Do the work; return its result, or raise its error."""
        self._thread.start()
        while not self._turn():  # noqa: ASYNC110 - the sleep is the work's own wait
            await asyncio.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        return self._result

    def kill(self) -> None:
        """Let it end at its next turn."""
        self._killed = True

    def end(self) -> None:
        """Kill it and wait until it has ended."""
        self._killed = True
        if self._thread.is_alive():
            while not self._turn():
                pass

    def wait(self, seconds: float) -> None:
        """Within the work: let so much time pass."""
        if not self._killed:
            self._seconds = seconds
            self._loops.release()
            self._mine.acquire()
        if self._killed:
            raise Killed

    def _turn(self) -> bool:
        """Let it run until it waits or has ended; tell whether it has."""
        if not self._done:
            self._mine.release()
            self._loops.acquire()
        if self._done:
            self._thread.join()
        return self._done

    def _run(self) -> None:
        self._mine.acquire()
        _LOCAL.hand = self
        try:
            if self._killed:
                raise Killed
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the work is waited for
            self._error = error
        finally:
            self._done = True
            self._loops.release()


def wait(seconds: float) -> None:
    """Let time pass in the hand that calls this."""
    hand: Hand = _LOCAL.hand
    hand.wait(seconds)
