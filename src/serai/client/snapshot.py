"""A file of SQLite and its log, read into memory as of one moment.

Owns the reading of the two without SQLite's help. Promises that neither is changed, locked or
recovered, that nothing is written anywhere, so that no copy of somebody's rows is left behind
whatever ends the process, and that no more than `BYTES_MAX` is read.

SQLite itself cannot do that: `mode=ro` makes a `-shm` file beside the log, or needs the locks that
the client holds, `immutable=1` leaves out what is in the log alone, and a temporary copy stays when
the process is killed. So the log is put into the image here, by the rules of
https://www.sqlite.org/fileformat2.html#the_write_ahead_log: frames count up to the last commit
before the first frame whose salts or checksum are wrong.
"""

from __future__ import annotations

import stat
import struct
from pathlib import Path
from typing import Final, NamedTuple

from serai.client.file import FileDamaged, FileInUse, FileOfOtherFormat

BYTES_MAX: Final = 512 * 1024 * 1024
"""Of a file and its log together. Up to twice that is held while SQLite takes its own copy."""

_MAGIC: Final = b"SQLite format 3\0"
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_FILE_HEAD: Final = struct.Struct(">16sH2s80x")
_LOG_HEAD: Final = struct.Struct(">8I")
_FRAME_HEAD: Final = struct.Struct(">6I")
_LOG_MAGIC: Final = 0x377F0682
"""The lowest bit besides: words are summed as big-endian."""
_LOG_VERSION: Final = 3_007_000
_SUMMED_OF_LOG_HEAD: Final = 24
_SUMMED_OF_FRAME_HEAD: Final = 8
_U32: Final = 0xFFFFFFFF
_READS_MAX: Final = 5
_Mark = tuple[int, int, bytes] | None


class FileTooLarge(Exception):
    """The file and its log are larger than what is read into memory."""


class _Log(NamedTuple):
    """What a log holds: where the newest text of each page begins, and the pages of the whole."""

    pages: dict[int, int]
    page_count: int


def image_of(path: Path) -> bytearray:
    """Return the bytes of a database that holds what the file and its log hold.

    Raises:
        FileOfOtherFormat: it is no file of SQLite.
        FileDamaged: its header or its log is none that SQLite writes.
        FileInUse: somebody writes to it all the time.
        FileTooLarge: the two have more than `BYTES_MAX` bytes.
        OSError: it is not there, or may not be read.
    """
    log_path = path.with_name(path.name + "-wal")
    for _ in range(_READS_MAX):
        before = _mark(path), _mark(log_path)
        size = _page_size(path, before[0])
        _bound(path, sum(mark[1] for mark in before if mark is not None))
        image = _read(path, before[0])
        log = _read(log_path, before[1])
        if (_mark(path), _mark(log_path)) == before:
            return _merged(path, image, log, size)
    raise FileInUse(f"{path} is being written: close the app, then look again")


def _mark(path: Path) -> _Mark:
    """Return what differs after a write: time, size, and the head, in which a log that begins anew
    has other salts.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise FileOfOtherFormat(f"{path} is not a file")
        with path.open("rb") as file:
            return state.st_mtime_ns, state.st_size, file.read(_FILE_HEAD.size)
    except FileNotFoundError:
        return None


def _page_size(path: Path, mark: _Mark) -> int:
    if mark is None:
        raise FileNotFoundError(2, "No such file", str(path))
    head = mark[2]
    if not head.startswith(_MAGIC):
        raise FileOfOtherFormat(f"{path} is not a file of this client")
    if len(head) < _FILE_HEAD.size:
        raise FileDamaged(f"{path} is damaged: it ends in its header")
    _, size, versions = _FILE_HEAD.unpack(head)
    size = 1 << 16 if size == 1 else size
    if size not in _PAGE_SIZES or not {*versions} <= {1, 2}:
        raise FileDamaged(f"{path} is damaged: its header is none that SQLite writes")
    return size


def _bound(path: Path, size: int) -> None:
    if size > BYTES_MAX:
        raise FileTooLarge(
            f"{path} has {size >> 20} MiB with its log, and at most {BYTES_MAX >> 20} are read: "
            "close the app, which shortens the log, and look again, or ask the server with "
            "serai doctor device"
        )


def _read(path: Path, mark: _Mark) -> bytearray:
    """Return what the file had when it was marked, no more if it grows."""
    if mark is None:
        return bytearray()
    content = bytearray(mark[1])
    try:
        with path.open("rb") as file:
            file.readinto(content)
    except FileNotFoundError:
        return bytearray()  # a log that went meanwhile: its mark tells, and all is read again
    return content


def _merged(path: Path, image: bytearray, log: bytearray, size: int) -> bytearray:
    held = _frames(path, log, size)
    if held.page_count:
        _bound(path, held.page_count * size)
        del image[held.page_count * size :]
        image.extend(bytes(held.page_count * size - len(image)))
        for page, start in held.pages.items():
            if page <= held.page_count:
                image[(page - 1) * size : page * size] = log[start : start + size]
    # A database in memory has no log. Both bytes say so; the pages are the same.
    image[18:20] = b"\1\1"
    return image


def _frames(path: Path, log: bytearray, size: int) -> _Log:
    """Return what was committed in the log."""
    held = _Log({}, 0)
    if len(log) < _LOG_HEAD.size:
        return held
    magic, version, log_size, _, *salts, first, second = _LOG_HEAD.unpack_from(log)
    pairs = struct.Struct(">II" if magic & 1 else "<II")
    view = memoryview(log)
    sums = _summed(pairs, view[:_SUMMED_OF_LOG_HEAD], (0, 0))
    if magic & ~1 != _LOG_MAGIC or sums != (first, second):
        return held  # SQLite takes it for an empty one
    if version != _LOG_VERSION or log_size != size:
        raise FileDamaged(f"{path} is damaged: the log beside it is of another file")
    pages: dict[int, int] = {}
    for at in range(
        _LOG_HEAD.size, len(log) - _FRAME_HEAD.size - size + 1, _FRAME_HEAD.size + size
    ):
        page, count, *its_salts, first, second = _FRAME_HEAD.unpack_from(log, at)
        start = at + _FRAME_HEAD.size
        if its_salts != salts or page == 0:
            break
        sums = _summed(pairs, view[at : at + _SUMMED_OF_FRAME_HEAD], sums)
        sums = _summed(pairs, view[start : start + size], sums)
        if sums != (first, second):
            break
        pages[page] = start
        if count:
            held.pages.update(pages)
            held = _Log(held.pages, count)
            pages.clear()
    return held


def _summed(pairs: struct.Struct, words: memoryview, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    for one, other in pairs.iter_unpack(words):
        first = (first + one + second) & _U32
        second = (second + other + first) & _U32
    return first, second
