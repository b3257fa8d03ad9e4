"""How several processes show their numbers as one.

Owns a piece of memory without a name, cut into segments: each worker writes its numbers into one,
once a second, and the parent reads all of them when it is asked. Promises that counters do not go
back when a worker dies (what it had counted is kept), that nothing is left behind however the
processes end, and that a reader never sees half a snapshot (a checksum is over it). Never is on the
path of a request.

A segment belongs to who holds the lock on its byte: the kernel lets go of the lock with the
process, so a dead worker's segment is told from a live one's, and process numbers that come again
do not matter. Rejected: files in a folder (they stay after a kill, and somebody must clean them);
a port for each worker (operators scrape one address a server); asking the workers at each scrape
(one that is busy would make the scrape wait).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from serai.core.limits import METRIC_SEGMENT_BYTES
from serai.telemetry.registry import Series, Snapshot, lasting, merge, snapshot
from serai.telemetry.top import TopState

_HEAD: Final = struct.Struct("<III")
"""Checksum of the rest, bytes of the names, bytes of the numbers; then both."""
_READS_MAX: Final = 20


class _Names(msgspec.Struct, array_like=True):
    """What the numbers are called, and the top organisations."""

    series: list[tuple[str, tuple[str, ...], int]]
    top: dict[str, tuple[dict[int, float], float, float]]


_names_decoder: Final = msgspec.msgpack.Decoder(_Names)
_encode: Final = msgspec.msgpack.Encoder().encode


def packed(series: Sequence[Series], values: Sequence[float], top: TopState) -> bytes:
    """Return a process's numbers as the bytes of a segment."""
    names, numbers = _encode(_Names(list(series), top)), array("d", values).tobytes()
    lengths = struct.pack("<II", len(names), len(numbers))
    checksum = zlib.crc32(numbers, zlib.crc32(names, zlib.crc32(lengths)))
    return _HEAD.pack(checksum, len(names), len(numbers)) + names + numbers


def unpacked(data: bytes | memoryview) -> tuple[Snapshot, TopState] | None:
    """Return what `packed` was given, None for an empty segment or one that is being written."""
    checksum, names, numbers = _HEAD.unpack_from(data)
    end = _HEAD.size + names + numbers
    if names == 0 or end > len(data):
        return None
    body = bytes(data[4:end])
    if zlib.crc32(body) != checksum:
        return None
    found = _names_decoder.decode(body[8 : 8 + names])
    values = array("d", body[8 + names :])
    return snapshot(found.series, values), found.top


class Segment:
    """One worker's place, held until the process ends.

    Attributes:
        inherited: what a dead worker had counted here; the new owner counts on from it.
    """

    def __init__(self, path: str, count: int) -> None:
        """Take one of the `count` places of the memory at `path`.

        Raises:
            OSError: none is free, or the parent is gone.
        """
        # Kept open: closing any descriptor of the file would let go of the lock.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        number = next((n for n in range(count) if _locked(self._descriptor, n)), None)
        if number is None:
            os.close(self._descriptor)
            raise OSError(f"all {count} places for the numbers of workers are taken")
        self._map = mmap.mmap(
            self._descriptor, METRIC_SEGMENT_BYTES, offset=number * METRIC_SEGMENT_BYTES
        )
        found = unpacked(memoryview(self._map))
        self.inherited: Snapshot = {} if found is None else lasting(found[0])

    def publish(self, data: bytes) -> None:
        """Show these numbers from now on."""
        assert len(data) <= METRIC_SEGMENT_BYTES, "the number of series is bounded"
        self._map[: len(data)] = data


class SharedNumbers:
    """The parent's side.

    Attributes:
        path: what a worker opens; it works for processes of the same user.
        count: places: more than workers, because a dead one's may still be looked at when its
            successor starts.
    """

    def __init__(self, workers: int) -> None:
        """Make the memory; nothing of it is used before a worker writes."""
        self.count = 2 * workers + 2
        self._descriptor = os.memfd_create("serai-metrics")
        os.ftruncate(self._descriptor, self.count * METRIC_SEGMENT_BYTES)
        self._map = mmap.mmap(self._descriptor, self.count * METRIC_SEGMENT_BYTES)
        self._last: dict[int, tuple[Snapshot, TopState]] = {}
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def read(self) -> tuple[Snapshot, list[TopState]]:
        """Return the numbers of all workers together, and each one's top organisations."""
        numbers: Snapshot = {}
        tops: list[TopState] = []
        for place in range(self.count):
            found = self._read(place)
            if found is None:
                continue
            dead = _locked(self._descriptor, place)
            if dead:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, place)
            merge(numbers, lasting(found[0]) if dead else found[0])
            tops.append(found[1])
        return numbers, tops

    def close(self) -> None:
        """Let go of the memory; the kernel frees it with the last process that has it."""
        self._map.close()
        os.close(self._descriptor)

    def _read(self, place: int) -> tuple[Snapshot, TopState] | None:
        """Return the place's numbers; those of the last time if it is written again and again."""
        start = place * METRIC_SEGMENT_BYTES
        with memoryview(self._map) as whole, whole[start : start + METRIC_SEGMENT_BYTES] as part:
            for _ in range(_READS_MAX):
                found = unpacked(part)
                if found is not None:
                    self._last[place] = found
                    return found
                if _HEAD.unpack_from(part)[1] == 0:
                    return None
        return self._last.get(place)


def _locked(descriptor: int, place: int) -> bool:
    """Take the lock of a place if nobody has it."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):
        return False
    return True
