"""Whether an export is what it was: sums, sizes, lines, and the chain of its audit record.

Owns what `serai org export --verify` finds. Promises a sentence for each thing that is wrong, and
that nothing but the folder is read: no database, no directory. Never changes anything.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from serai.app.exporting import FORMAT, MANIFEST, SUMS, ExportedFile, Manifest
from serai.log.audit import chained
from serai.readers.export import entry_of_line

_decode: Final = msgspec.json.Decoder(Manifest).decode
_READ_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Checked:
    """What was found. `problems`: what is wrong, a sentence each."""

    folder: Path
    manifest: Manifest | None = None
    files: int = 0
    entries: int = 0
    problems: list[str] = field(default_factory=list[str])


def check_export(folder: Path) -> Checked:
    """Look at an export.

    Raises:
        OSError: it cannot be read.
    """
    found = Checked(folder)
    if not (folder / MANIFEST).is_file():
        found.problems.append(f"There is no {MANIFEST}: it is no export, or not a whole one.")
        return found
    try:
        found.manifest = _decode((folder / MANIFEST).read_bytes())
    except msgspec.DecodeError as error:
        found.problems.append(f"{MANIFEST} cannot be read: {error}.")
        return found
    if found.manifest.format != FORMAT:
        found.problems.append(f"It is of the form {found.manifest.format!r}, not {FORMAT!r}.")
        return found
    for each in found.manifest.files:
        _check_file(found, each)
    _check_names(found, found.manifest)
    if not found.problems:
        _check_record(found, found.manifest)
    return found


def _check_file(found: Checked, named: ExportedFile) -> None:
    path = found.folder / named.path
    if not path.is_file():
        found.problems.append(f"{named.path} is missing.")
        return
    size, lines, digest = _measured(path)
    if (size, lines, digest) != (named.bytes, named.lines, named.sha256):
        found.problems.append(
            f"{named.path} was changed: {lines} lines and {size} bytes, "
            f"{named.lines} and {named.bytes} were written."
        )
    found.files += 1


def _measured(path: Path) -> tuple[int, int, str]:
    digest, size, lines = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
            size += len(data)
            lines += data.count(b"\n")
    return size, lines, digest.hexdigest()


def _check_names(found: Checked, manifest: Manifest) -> None:
    """Compare the sums with the manifest, and look for what neither names."""
    sums = {each.path: each.sha256 for each in manifest.files}
    sums[MANIFEST] = _measured(found.folder / MANIFEST)[2]
    expected = "".join(f"{digest}  {path}\n" for path, digest in sums.items())
    if not (found.folder / SUMS).is_file() or (found.folder / SUMS).read_text() != expected:
        found.problems.append(f"{SUMS} and {MANIFEST} do not say the same.")
    there = {
        str(path.relative_to(found.folder))
        for path in found.folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }
    for path in sorted(there - {*sums, SUMS}):
        found.problems.append(f"{path} is no file of the export.")


def _check_record(found: Checked, manifest: Manifest) -> None:
    """Compute the chain of the audit record again."""
    number, sha = manifest.record_first - 1, bytes.fromhex(manifest.record_before)
    with (found.folder / "audit.jsonl").open("rb") as file:
        for line in file:
            try:
                entry = entry_of_line(line)
            except (msgspec.DecodeError, ValueError) as error:
                found.problems.append(f"audit.jsonl, entry {number + 1}: {error}.")
                return
            if entry.number != number + 1 or chained(sha, entry) != entry.hash:
                found.problems.append(f"audit.jsonl: the chain is broken at entry {number + 1}.")
                return
            number, sha = entry.number, entry.hash
            found.entries += 1
    if (number, sha.hex()) != (manifest.record_last, manifest.record_hash):
        found.problems.append(f"audit.jsonl ends at entry {number}, not at the last one.")
