"""The role of requests: who a process that serves requests is to PostgreSQL.

Owns its name, its password, and the way from an owner's URL to its own. Promises that the password
is in no representation. Never makes the role (`serai.schema.admission` does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote, urlsplit

_LOGIN = re.compile(r"(user|password|passfile|sslpassword)=")


@dataclass(frozen=True, slots=True)
class RequestRole:
    """A role that owns nothing and that policies bind; one for the whole fleet."""

    name: str
    password: str = field(repr=False)

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Return the role that the URL itself connects as."""
        parts = urlsplit(url)
        return cls(unquote(parts.username or ""), unquote(parts.password or ""))

    def url(self, url: str) -> str:
        """Return the URL of the same database for this role, whoever `url` is for."""
        parts = urlsplit(url)
        login = f"{quote(self.name, safe='')}:{quote(self.password, safe='')}"
        kept = "&".join(part for part in parts.query.split("&") if not _LOGIN.match(part))
        place = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{login}@{place}", query=kept).geturl()
