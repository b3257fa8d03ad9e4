"""The issuers whose ID tokens a deployment believes, as its settings name them.

Owns the form of a setting: issuer, address of its keys, client ids. Promises that every address is
https (plain http on this machine only), so that keys do not come over a wire which others write on.
Never asks an issuer where its keys are: what is asked is what the operator has written.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from serai.core.limits import OIDC_ISSUERS_MAX


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One issuer.

    Attributes:
        issuer: as `iss` spells it.
        keys_url: where its keys (a JWK set) are.
        clients: ids that it has given to the apps of this deployment.
    """

    issuer: str
    keys_url: str
    clients: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the issuer of a setting: `issuer keys-url client-id [client-id ...]`.

        Raises:
            ValueError: the setting is not of this form.
        """
        words = text.split()
        if len(words) < 3:  # noqa: PLR2004 - counted in the message
            raise ValueError("an issuer is `issuer keys-url client-id [client-id ...]`")
        issuer, keys_url, *clients = words
        for url in (issuer, keys_url):
            _check_url(url)
        if urlsplit(issuer).query:
            raise ValueError(f"{issuer!r}: an issuer has no query")
        return cls(issuer, keys_url, frozenset(clients))


def parse_issuers(texts: Iterable[str]) -> tuple[TrustedIssuer, ...]:
    """Return the issuers of the settings.

    Raises:
        ValueError: a text is not of its form, an issuer stands there twice, or there are too many.
    """
    found = tuple(TrustedIssuer.parse(text) for text in texts)
    if len({issuer.issuer for issuer in found}) != len(found):
        raise ValueError("an issuer stands there twice; name all of its client ids at once")
    if len(found) > OIDC_ISSUERS_MAX:
        raise ValueError(f"at most {OIDC_ISSUERS_MAX} issuers")
    return found


def _check_url(text: str) -> None:
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError(f"{parts.hostname!r}: no user, password or fragment in an address")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise ValueError(f"{text!r} is no address: https://host/path")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError(f"{text!r}: https, but for this machine itself")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
