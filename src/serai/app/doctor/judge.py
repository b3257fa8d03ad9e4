"""What is right for an installation: the values that are safe, and what others mean.

Owns the judgement of facts that were read elsewhere: settings of Serai and of PostgreSQL, clocks,
partitions, keys. Promises that each fact gives one finding. Pure: no database, no clock of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from serai.app.doctor.finding import Finding, State, failed, ok, warning
from serai.app.settings import ISSUER_DEFAULT, Settings, is_loopback
from serai.app.signing_keys import KeyState
from serai.core.limits import CLOCK_SKEW_SECONDS_MAX

SERVER_VERSION_MIN: Final = 150_000
CLOCK_SECONDS_NOTED: Final = 2.0
"""A difference that is more than the way to the database and back."""
_UPKEEP: Final = (
    "Let `serai serve` run: it makes them each hour. If it runs, its log says why it could not."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A setting of PostgreSQL: which values are right, and what another one means."""

    name: str
    right: frozenset[str]
    state: State
    means: str
    remedy: str


def _wanted(name: str, right: str, state: State, means: str, remedy: str = "") -> Wanted:
    values = right.split()
    return Wanted(name, frozenset(values), state, means, remedy or f"Set {name} = {values[0]}.")


DURABILITY: Final = (
    _wanted(
        "fsync",
        "on",
        State.FAILED,
        "a crash of the machine can damage the database, and what was answered is lost",
    ),
    _wanted(
        "full_page_writes",
        "on",
        State.FAILED,
        "a crash of the machine can leave half a page, which is not noticed",
    ),
    _wanted(
        "synchronous_commit",
        "on local remote_write remote_apply",
        State.FAILED,
        "a crash loses writes that were answered as done",
    ),
)
"""What the promise about acknowledged writes stands on."""
SAFETY: Final = (
    _wanted("zero_damaged_pages", "off", State.FAILED, "damaged pages become empty ones"),
    _wanted("ignore_checksum_failure", "off", State.FAILED, "damaged pages are read as good ones"),
    _wanted(
        "session_replication_role",
        "origin",
        State.FAILED,
        "triggers and foreign keys are switched off",
    ),
    _wanted("default_transaction_read_only", "off", State.FAILED, "nothing can be written"),
    _wanted(
        "autovacuum",
        "on",
        State.WARNING,
        "deleted rows are never cleared, and tables grow until they are slow",
    ),
    _wanted(
        "data_checksums",
        "on",
        State.WARNING,
        "a page that the disk damaged is not noticed",
        "Stop PostgreSQL and run pg_checksums --enable.",
    ),
    _wanted(
        "password_encryption",
        "scram-sha-256",
        State.WARNING,
        "new passwords of roles are kept as md5",
    ),
)
SETTINGS_READ: Final = [each.name for each in (*DURABILITY, *SAFETY)] + ["max_connections"]


def judge_settings(settings: Settings) -> list[Finding]:
    """Judge Serai's own settings; what is wrong with one alone was refused when they were read."""
    place, issuer = "settings", settings.issuer
    means = f"with these settings access tokens name {issuer} as their issuer"
    if issuer == ISSUER_DEFAULT and not is_loopback(settings.host):
        remedy = "Set SERAI_ISSUER to the public URL of this installation."
        return [warning(place, "issuer", f"others reach {settings.host}, and {means}", remedy)]
    found = [ok(place, "issuer", means)]
    if issuer.startswith("http://") and not is_loopback(urlsplit(issuer).hostname or ""):
        found.append(
            warning(
                place,
                "encryption",
                f"{issuer} is not https: passwords and tokens travel in the clear",
                "Put TLS in front of Serai and https:// into SERAI_ISSUER.",
            )
        )
    return found


def judge_server(place: str, version: str, number: int, *, standby: bool) -> list[Finding]:
    """Judge which PostgreSQL it is."""
    if number < SERVER_VERSION_MIN:
        least = SERVER_VERSION_MIN // 10_000
        return [
            failed(
                place,
                "server",
                f"PostgreSQL {version} is older than Serai knows",
                f"Move the data to PostgreSQL {least} or newer.",
            )
        ]
    if standby:
        return [
            failed(
                place,
                "server",
                f"PostgreSQL {version} is a standby: it takes no writes",
                "Name the primary in the URL.",
            )
        ]
    return [ok(place, "server", f"PostgreSQL {version} answers")]


def judge_parameters(place: str, values: Mapping[str, str]) -> list[Finding]:
    """Judge PostgreSQL's parameters: one line if all are right, else one for each that is not."""
    found: list[Finding] = []
    for check, group, means in (
        ("durability", DURABILITY, "what was answered survives a crash"),
        ("parameters", SAFETY, "nothing unsafe"),
    ):
        wrong = [each for each in group if values.get(each.name) not in each.right]
        for each in wrong:
            shown = values.get(each.name, "not known to this server")
            finding = Finding(place, each.name, each.state, f"{shown}: {each.means}", each.remedy)
            found.append(finding)
        if not wrong:
            names = ", ".join(each.name for each in group)
            found.append(ok(place, check, f"{means}: {names}"))
    return found


def judge_room(place: str, settings: Settings, most: int) -> Finding:
    """Judge whether the server lets in the connections that this process's settings may ask for."""
    wanted = settings.workers * settings.pool_max
    means = f"{settings.workers} processes x {settings.pool_max} of {most} connections"
    if wanted < most:
        return ok(place, "connections", means)
    return warning(
        place,
        "connections",
        f"{means}: under load some are refused",
        "Lower SERAI_POOL_MAX, or raise max_connections.",
    )


def judge_clock(place: str, here: datetime, there: datetime, way: timedelta) -> Finding:
    """Judge the difference between this machine's clock and the database's.

    Args:
        here: in the middle of asking.
        way: how long asking took; the difference is known no better than to half of it.
    """
    off = max(abs((there - here).total_seconds()) - way.total_seconds() / 2, 0.0)
    if off < CLOCK_SECONDS_NOTED:
        return ok(place, "clock", "this machine and the database agree on the time")
    side = "ahead of" if there > here else "behind"
    means = f"the database is {off:.0f} s {side} this machine"
    remedy = "Let both machines follow one time server (NTP)."
    if off < CLOCK_SKEW_SECONDS_MAX:
        return warning(place, "clock", means, remedy)
    return failed(place, "clock", f"{means}: fresh sessions and keys may be refused", remedy)


def judge_line(place: str, host: str, *, encrypted: bool) -> Finding:
    """Judge the way to the database. `host`: its address; empty for a socket of this machine."""
    if encrypted:
        return ok(place, "line", "the connection is encrypted")
    if not host or host.startswith("/") or is_loopback(host):
        return ok(place, "line", "the connection stays on this machine")
    return warning(
        place,
        "line",
        "rows and passwords travel to the database in the clear",
        "Switch on ssl in PostgreSQL and add sslmode=verify-full to the URL.",
    )


def judge_keys(seals: int, keys: Iterable[KeyState]) -> list[Finding]:
    """Judge the keys that seal since-tokens and sign access tokens."""
    place, states = "directory", [key.state for key in keys]
    found = [
        ok(place, "token keys", f"{seals} seal and open since-tokens")
        if seals
        else failed(
            place, "token keys", "there is none: no device can sync", "Run `serai migrate`."
        )
    ]
    if "signs" not in states:
        found.append(
            failed(
                place,
                "signing keys",
                "none may sign: nobody can sign in",
                "Run `serai keys rotate`.",
            )
        )
        return found
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return [*found, ok(place, "signing keys", counts)]


def judge_ranges(free: int) -> Finding:
    """Judge the numbers that are left for new organisations on open shards."""
    if free:
        return ok("directory", "placement", f"room for {free:,} more organisations")
    return failed(
        "directory",
        "placement",
        "no open shard has room: no organisation can be made",
        "Add a range of organisations to an open shard.",
    )


def months_ahead(names: Collection[str], table: str, today: date) -> int:
    """Return for how many months, this one included, there is a partition without a gap."""
    count, year, month = 0, today.year, today.month
    while f"{table}_{year:04}_{month:02}" in names:
        count += 1
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)  # noqa: PLR2004 - months of a year
    return count


def days_ahead(names: Collection[str], table: str, today: date) -> int:
    """Return for how many days, today included, there is a partition without a gap."""
    count = 0
    while f"{table}_{today + timedelta(days=count):%Y_%m_%d}" in names:
        count += 1
    return count


def judge_partitions(place: str, check: str, ahead: int, wanted: int, unit: str) -> Finding:
    """Judge partitions made ahead. `ahead`: how many, the present one included; `wanted`: how many
    upkeep makes, less the one that has just begun.
    """
    if ahead >= wanted:
        return ok(place, check, f"{ahead} {unit}s ahead")
    if ahead:
        return warning(place, check, f"only {ahead} {unit}s ahead", _UPKEEP)
    means = f"none for this {unit}: rows go where they cannot be dropped by {unit}"
    return warning(place, check, means, _UPKEEP)


def judge_unguarded(place: str, tables: int, open_tables: Iterable[str]) -> Finding:
    """Judge whether row-level security stands before each table of organisations.

    Args:
        tables: how many there are.
        open_tables: those that the role of requests could read whole, or write.
    """
    bare = sorted(open_tables)
    if not bare:
        return ok(place, "row security", f"{tables} tables show one organisation at a time")
    shown = ", ".join(bare[:3]) + (f" and {len(bare) - 3} more" if len(bare) > 3 else "")  # noqa: PLR2004 - what fits a line
    return failed(
        place,
        "row security",
        f"requests may see or change rows of other organisations: {shown}",
        "Run `serai migrate`; drop policies and rights that somebody added.",
    )


def first_line(text: str) -> str:
    """Return a library's message on one line, without the address of a password."""
    line = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"(\w+://)[^@\s/]*@", r"\1...@", line)
