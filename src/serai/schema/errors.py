"""What the migrator and the start-up check refuse, and what to do about it.

Owns the errors of this package. They speak to an operator, so unlike `serai.core.errors` they name
databases and files; none of them reaches a caller of the API. Never holds a connection URL.
"""

from __future__ import annotations


class SchemaError(Exception):
    """A refusal.

    Attributes:
        problem: what was found.
        remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class MigrationFilesError(SchemaError):
    """The files of this release contradict themselves: the build is wrong, not the database."""


class ChangedFileError(SchemaError):
    """A file that was applied has another content now."""

    def __init__(self, file: str) -> None:
        super().__init__(
            f"{file} was changed after it was applied to this database",
            "Restore the file and put the change into a new one with the next number.",
        )


class LateFileError(SchemaError):
    """A file appeared below one that was applied already."""

    def __init__(self, file: str, applied: str) -> None:
        super().__init__(
            f"{file} is new, but {applied} was applied to this database before it",
            "Give the file the next free number.",
        )


class PreMissingError(SchemaError):
    """The post files were asked for before the pre files ran."""

    def __init__(self, file: str) -> None:
        super().__init__(
            f"{file} has not been applied, so this release cannot be deployed yet",
            "Migrate with phase 'pre', deploy, and only then migrate with phase 'post'.",
        )


class SchemaTooOldError(SchemaError):
    """The database lacks what this code needs."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(
            f"The {kind} schema is older than this code: {problem}",
            "Type `serai migrate --phase pre` of this release, then this again.",
        )


class SchemaTooNewError(SchemaError):
    """The database has moved on beyond what this code can work with."""

    def __init__(self, kind: str, *, floor: int, code: int) -> None:
        super().__init__(
            f"The {kind} schema needs code of version {floor} or newer; this code has {code}",
            "Deploy the release that migrated this database, or a newer one.",
        )


class LockedError(SchemaError):
    """Another migrator holds the database."""

    def __init__(self, seconds: float, holder: str) -> None:
        super().__init__(
            f"Another migrator has held this database for {seconds:g} seconds ({holder})",
            "Wait until it has finished, or end it, and run this again.",
        )


class RoleMissingError(SchemaError):
    """There is no role of requests, or it cannot log in."""


class RoleTooStrongError(SchemaError):
    """A process would serve requests as a role that policies do not bind."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The role {name} could go around row-level security",
            "Take from it what it was given since `serai migrate` made it.",
        )


class DestructiveChangeError(SchemaError):
    """A declaration lost or redefined something that holds data."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(
            "The declaration would lose data: " + "; ".join(problems),
            "Keep the old field or collection as it was and declare a new one under another name.",
        )
        self.problems = problems


class StatementFailedError(SchemaError):
    """PostgreSQL refused a file or a generated object. Nothing of its transaction stays."""

    def __init__(self, what: str, message: str, remedy: str) -> None:
        super().__init__(f"{what}: {message}", remedy)
