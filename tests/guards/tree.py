"""The files that the guards look at.

Owns what counts as a file of this project: what git tracks, and what it would track. Never reads
what is ignored, so a guard says the same in a working folder and in a fresh clone.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("src", "verticals/hospitality/src")


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a rule is broken, and what to do about it."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        shown = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{shown}:{self.line}: {self.message}"


def report(findings: list[Finding]) -> str:
    """One line a finding, for the message of a failed test."""
    return "\n" + "\n".join(map(str, findings))


def project_files(*suffixes: str, under: tuple[str, ...] = ()) -> list[Path]:
    """Files of the project that end in one of `suffixes`, in the folders `under`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *under],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    paths = sorted({ROOT / name for name in listed.decode().split("\0") if name})
    return [p for p in paths if p.is_file() and (not suffixes or p.suffix in suffixes)]


def source_files(*suffixes: str) -> list[Path]:
    """Files of the product: the platform and its verticals."""
    return project_files(*suffixes, under=SOURCE_ROOTS)


def code_lines(path: Path) -> int:
    """Lines of a file that are not blank."""
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
