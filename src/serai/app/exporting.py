"""An export as a folder: files, a manifest with their sums, whole or not there.

Owns the folder. Promises that it has its name only when everything in it is written and on disk; an
export that is killed leaves `NAME.partial`, which the next one to the same name removes; that the
manifest names every file with its bytes, lines and SHA-256. Never overwrites anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psycopg

from serai.app.runtime import load_vertical
from serai.app.settings import Settings
from serai.app.shard_facts import ShardError
from serai.app.whereabouts import home_of
from serai.core.clock import SystemClock, timestamp_text
from serai.readers.export import FORMS, Snapshot, snapshot_of
from serai.readers.export.lines import person_line
from serai.shard.queries import load_queries

FORMAT: Final = "serai-export/1"
MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
README: Final = "README.txt"
_LOCK: Final = ".lock"
_TOLD_EVERY: Final = 1_000
_SQL: Final = {
    name: text.encode() for name, text in load_queries("serai.app", "exporting.sql").items()
}


class ExportedFile(msgspec.Struct, frozen=True):
    """A file of an export. `lines`: rows, entries, people."""

    path: str
    bytes: int
    lines: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What an export is.

    Attributes:
        epoch, version: of the organisation at the moment of the snapshot.
        record_first, record_last: entries of the audit record that are in it; record_before: the
            hash that the first one goes on from; record_hash: of the last one.
    """

    format: str
    org_id: int
    key: str
    epoch: int
    version: int
    exported_at: str
    record_first: int
    record_last: int
    record_before: str
    record_hash: str
    files: list[ExportedFile]


@dataclass(frozen=True, slots=True)
class Exported:
    """Where it is, and what it says of itself."""

    folder: Path
    manifest: Manifest


class ExportStopped(Exception):
    """The command was told to stop; nothing is left."""


Progress = Callable[[int, int], None]


async def export_organisation(
    settings: Settings, name: str, folder: Path, *, progress: Progress = lambda _, __: None
) -> Exported:
    """Export an organisation into a folder that is not there yet.

    Raises:
        ShardError: there is no such organisation, or the folder is there.
        SeraiError: see `snapshot_of`. OSError: the folder cannot be written.
        psycopg.OperationalError: a database does not answer.
    """
    org_id, key, home = await home_of(settings, name)
    stop = threading.Event()

    def told(done: int, total: int) -> None:
        if stop.is_set():
            raise ExportStopped
        progress(done, total)

    work = _Work(settings, home.url, (org_id, key), folder, told)
    running = asyncio.ensure_future(asyncio.to_thread(work.run))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.gather(running, return_exceptions=True)
        raise


@dataclass(frozen=True, slots=True)
class _Work:
    """One export, in a thread."""

    settings: Settings
    url: str
    org: tuple[int, str]
    folder: Path
    progress: Progress

    def run(self) -> Exported:
        """Write it."""
        org_id, _ = self.org
        vertical = load_vertical(self.settings.vertical)
        with (
            _partial(self.folder) as partial,
            snapshot_of(self.url, org_id, vertical) as snapshot,
        ):
            files = self._files(partial, snapshot)
            manifest = self._manifest(snapshot, files)
            text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
            files.append(_written(partial, MANIFEST, [text]))
            sums = [f"{each.sha256}  {each.path}".encode() for each in files]
            _written(partial, SUMS, sums)
            _synced(partial)
        return Exported(self.folder, manifest)

    def _files(self, partial: Path, snapshot: Snapshot) -> list[ExportedFile]:
        done = 0

        def counted(lines: Iterable[bytes]) -> Iterable[bytes]:
            nonlocal done
            for line in lines:
                yield line
                done += 1
                if done % _TOLD_EVERY == 0:
                    self.progress(done, snapshot.total)

        files = [_written(partial, part.path, counted(part.lines)) for part in snapshot.parts]
        self.progress(snapshot.total, snapshot.total)
        files.append(_written(partial, "people.jsonl", self._people()))
        files.append(_written(partial, README, _readme()))
        return files

    def _people(self) -> list[bytes]:
        with psycopg.connect(self.settings.directory_url, connect_timeout=10) as conn:
            found = conn.execute(_SQL["people"], {"org": self.org[0]}).fetchall()
        return [person_line(*row) for row in found]

    def _manifest(self, snapshot: Snapshot, files: list[ExportedFile]) -> Manifest:
        return Manifest(
            format=FORMAT,
            org_id=snapshot.org_id,
            key=self.org[1],
            epoch=snapshot.epoch,
            version=snapshot.version,
            exported_at=timestamp_text(SystemClock().now()),
            record_first=snapshot.dropped[0] + 1,
            record_last=snapshot.record[0],
            record_before=snapshot.dropped[1].hex(),
            record_hash=snapshot.record[1].hex(),
            files=list(files),
        )


def _readme() -> list[bytes]:
    forms = [f"  {path:<18} {meaning}" for path, meaning in FORMS.items()]
    text = [
        "Everything of one organisation at one moment, in UTF-8, one JSON object a line (.jsonl).",
        "",
        *forms,
        "",
        "manifest.json says of which version it is, and of each file its bytes, lines and SHA-256.",
        "`sha256sum -c SHA256SUMS` in this folder checks that nothing was changed.",
        "",
        "Each entry of the audit record has a hash: SHA-256 over the hash before (32 bytes; of",
        "the first one: recordBefore of the manifest) and this text, parts joined by line feeds:",
        "orgId, number, version, at, userId, deviceId (empty if null), via, op, collection, rowId,",
        "scope, content.",
    ]
    return [line.encode() for line in text]


@contextlib.contextmanager
def _partial(folder: Path) -> Generator[Path]:
    """Yield a folder beside the one that is wanted, which gets its name if all goes well.

    Raises:
        ShardError: the wanted one is there, or another export writes to it now.
    """
    if folder.exists() or folder.is_symlink():
        raise ShardError(f"{folder} is there already. Name a folder that is not.")
    partial = folder.with_name(f"{folder.name}.partial")
    with _alone(partial) as lock:
        try:
            yield partial
            lock.unlink()
            # Fails if somebody has made it meanwhile and it is not empty.
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    _synced(folder.parent, whole=False)


@contextlib.contextmanager
def _alone(partial: Path) -> Generator[Path]:
    """Make the folder, without what an export has left there that is gone; yield its lock."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    lock = partial / _LOCK
    try:
        partial.mkdir(mode=0o700)  # It is all that the organisation has: for nobody else to read.
    except FileExistsError:
        if not _left_by_an_export(partial):
            raise ShardError(
                f"{partial} is there, and no export made it. Move it away, or name another folder."
            ) from None
        partial.chmod(0o700)
    handle = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ShardError(f"Another export writes to {partial} now.") from error
        for left in partial.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left != lock:
                left.unlink()
        yield lock


def _left_by_an_export(partial: Path) -> bool:
    """Tell whether a folder is what an export left: nothing of anybody else is to be removed, nor
    what a link leads to.
    """
    if partial.is_symlink() or not partial.is_dir():
        return False
    names = {each.name for each in partial.iterdir()}
    return not names or bool(names & {_LOCK, "manifest.json"})


def _written(folder: Path, path: str, lines: Iterable[bytes]) -> ExportedFile:
    """Write a file and see it to the disk."""
    target = folder / path
    target.parent.mkdir(exist_ok=True)
    digest, size, count = hashlib.sha256(), 0, 0
    with target.open("xb") as file:
        for line in lines:
            text = line + b"\n"
            file.write(text)
            digest.update(text)
            size += len(text)
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return ExportedFile(path, size, count, digest.hexdigest())


def _synced(folder: Path, *, whole: bool = True) -> None:
    """See the names in a folder (and in those in it) to the disk."""
    folders = [folder, *(each for each in folder.iterdir() if whole and each.is_dir())]
    for each in folders:
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
