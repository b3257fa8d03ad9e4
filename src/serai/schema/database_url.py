"""A database's URL: whether there is one way to read it, and what may be said of it.

Owns the check of such a URL and the words for a connection that failed. Promises that neither a
user, a password nor a text of a library that may quote them is in an answer: a library that takes
half of a password for a host names that half. Never connects.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

_PORT_DEFAULT: Final = "5432"
_NO_URL: Final = "no PostgreSQL URL. It reads postgresql://user:password@host:port/database"
_AMBIGUOUS: Final = (
    "ambiguous: it holds an @ beside the one between password and host. In a name or a password, "
    "write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25"
)
_FAILURES: Final = (
    ("connection refused", "nothing listens there"),
    ("timeout", "no answer in time"),
    ("password authentication failed", "the user or the password is wrong"),
    ("no password supplied", "it asks for a password"),
    ("no pg_hba.conf entry", "pg_hba.conf does not let this user in from here"),
    ("is not permitted to log in", "the role may not log in"),
    ("permission denied", "permission denied"),
    ("resolve host", "the host's name is not known"),
    ("translate host", "the host's name is not known"),
    ("no such file", "there is no such socket"),
    ("starting up", "it is starting"),
    ("shutting down", "it is stopping"),
    ("too many", "it takes no more connections"),
    ("connection slots", "it takes no more connections"),
    ("unreachable", "no way leads there"),
    ("ssl", "TLS failed"),
    ("closed the connection", "it closed the connection"),
    ("does not exist", "no such database or role"),
)
"""Part of a library's message -> what is said in its place; the first that fits."""


def fault_of(url: str) -> str | None:
    """Return what is wrong with a URL, as the end of a sentence with `is`; None if both libraries
    that connect read the same in it.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        return _NO_URL
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if url.count("@") > 1 or url.count("@") > authority.count("@"):
        # One library ends the password at the first @, the other at the last one before a slash.
        return _AMBIGUOUS
    try:
        parts = conninfo_to_dict(url)
        urlsplit(url)
        for host in str(parts.get("host") or "").split(","):
            if not host.startswith("/"):  # of a socket
                host.encode("idna")  # as both do, to ask for its address
    except (psycopg.ProgrammingError, ValueError):
        return _NO_URL
    ports = str(parts.get("port") or _PORT_DEFAULT).split(",")
    if not parts.get("dbname") or not all(port.isdecimal() for port in ports if port):
        return _NO_URL
    return None


def address_of(url: str) -> str:
    """Return host:port of a URL without a fault."""
    parts = conninfo_to_dict(url)
    host = parts.get("host") or parts.get("hostaddr") or "the local socket"
    return f"{host}:{parts.get('port') or _PORT_DEFAULT}"


def failure_of(error: psycopg.Error) -> str:
    """Return in words why a database could not be reached or asked: the error's class, and what is
    known of it. Only what the server itself said of a statement is told as it is.
    """
    kind = type(error).__name__
    if error.sqlstate is not None:
        return f"{kind}: {error.diag.message_primary}"
    text = str(error).lower()
    return next((f"{kind}: {words}" for part, words in _FAILURES if part in text), kind)
