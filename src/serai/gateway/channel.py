"""The front's end of the channel to one table.

Owns what waits to be sent, sockets included. Promises that messages go in order and that a socket
that was handed over is closed here once it has gone. Never waits: a table that does not read makes
this queue longer, and `waiting` tells.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable

from serai.gateway.messages import Receiver, ToFront, ToTable, packed, send_with, to_front


class Channel:
    """To one table.

    Args:
        end: this end of a stream socket pair.
        said: takes what the table says.
        gone: is called once, when the table has ended.
    """

    def __init__(
        self,
        end: socket.socket,
        said: Callable[[Channel, ToFront], None],
        gone: Callable[[Channel], None],
    ) -> None:
        """Listen to the table."""
        self._end, self._said, self._gone = end, said, gone
        end.setblocking(False)  # noqa: FBT003 - the form of a socket
        self._receiver = Receiver(end, to_front)
        self._queue: deque[tuple[bytes, int | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end, self._read)
        self.waiting = 0

    def send(self, message: ToTable, handed: int | None = None) -> None:
        """Send a message, and a socket with it, which belongs to the table from now on."""
        if self._end.fileno() < 0:
            if handed is not None:
                os.close(handed)
            return
        data = packed(message, sockets=0 if handed is None else 1)
        self._queue.append((data, handed))
        self.waiting += len(data)
        if len(self._queue) == 1:
            self._write()

    def _write(self) -> None:
        while self._queue:
            data, handed = self._queue[0]
            try:
                sent = send_with(self._end, data, [] if handed is None else [handed])
            except BlockingIOError:
                self._loop.add_writer(self._end, self._write)
                return
            except OSError:
                self._lost()
                return
            if handed is not None:
                os.close(handed)
            self.waiting -= sent
            if sent == len(data):
                self._queue.popleft()
            else:
                self._queue[0] = data[sent:], None
        self._loop.remove_writer(self._end)

    def _read(self) -> None:
        try:
            messages = self._receiver.receive()
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._lost()
            return
        for message, _ in messages:
            self._said(self, message)

    def _lost(self) -> None:
        self.close()
        self._gone(self)

    def close(self) -> None:
        """Close this end: the table ends, and with it its sockets."""
        if self._end.fileno() < 0:
            return
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()
        for _, handed in self._queue:
            if handed is not None:
                os.close(handed)
        self._queue.clear()
