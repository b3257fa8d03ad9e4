"""Findings: what was looked at, how it is, what that means, what to do.

Owns the form of a finding and of a list of them. Promises that what is not ok says what to do.
Pure; never looks at anything itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec


class State(Enum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    """It works now; it is not as it should be, or will mend itself at a price."""
    FAILED = "failed"
    """It does not work, or is not safe."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor.

    Attributes:
        place: what was looked at: `settings`, `directory`, a shard's name, `device` ...
        check: which property of it.
        means: what was found, and what that means.
        remedy: what to do; empty for what is ok.
    """

    place: str
    check: str
    state: State
    means: str
    remedy: str = ""


def ok(place: str, check: str, means: str) -> Finding:
    """Return a finding with nothing to do."""
    return Finding(place, check, State.OK, means)


def warning(place: str, check: str, means: str, remedy: str) -> Finding:
    """Return a finding that can wait."""
    return Finding(place, check, State.WARNING, means, remedy)


def failed(place: str, check: str, means: str, remedy: str) -> Finding:
    """Return a finding that cannot wait."""
    return Finding(place, check, State.FAILED, means, remedy)


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing failed."""
    return all(each.state is not State.FAILED for each in findings)
