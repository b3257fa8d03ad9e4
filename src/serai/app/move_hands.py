"""The threads of a run of moves, and their connections.

Owns both. Promises that a thread keeps its connections from batch to batch, and that `close` waits
for what is under way and closes them. Never knows what a thread does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serai.readers.move import Places, Records
from serai.readers.move.ends import End
from serai.readers.move.link import Conn, connect
from serai.shard.placement import ShardRef

T = TypeVar("T")


class ThreadHands:
    """Threads that move.

    Args:
        directory_url: as its owner.
        shards: all of the fleet.
        workers: batches at a time.
    """

    def __init__(self, directory_url: str, shards: Sequence[ShardRef], workers: int) -> None:
        """Start no thread yet."""
        self._directory = directory_url
        self._urls = {ref.id: ref.url for ref in shards}
        # One more, for signs of life.
        self._threads = ThreadPoolExecutor(workers + 1, thread_name_prefix="serai move")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._closing = contextlib.ExitStack()

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def close(self) -> None:
        """Wait for the threads, and close their connections."""
        await asyncio.to_thread(self._threads.shutdown)
        self._closing.close()

    @contextlib.contextmanager
    def records(self) -> Generator[Records]:
        """Yield the record of moves, over this thread's connection."""
        conn = self._local.__dict__.get("directory")
        if conn is None or conn.closed:
            conn = self._local.directory = connect(self._directory)
            with self._lock:
                self._closing.callback(conn.close)
        yield Records(conn)

    @contextlib.contextmanager
    def server(self, url: str) -> Generator[End]:
        """Yield one server of a shard, over this thread's connection."""
        known: dict[str, Conn] = self._local.__dict__.setdefault("servers", {})
        conn = known.get(url)
        if conn is None or conn.closed:
            conn = known[url] = connect(url)
            with self._lock:
                self._closing.callback(conn.close)
        yield End(conn)

    def places(self, source: int, target: int) -> Places:
        """Return this thread's way to two shards."""
        known: dict[tuple[int, int], Places] = self._local.__dict__.setdefault("places", {})
        found = known.get((source, target))
        if found is None:
            found = known[source, target] = Places(
                self._directory, self._urls[source], self._urls[target]
            )
            with self._lock:
                self._closing.callback(found.close)
        return found
