"""The issuers whose ID tokens a deployment believes, as its settings name them.

Owns the form of a setting: issuer, address of its keys, client ids, and the e-mail domains that the
issuer may vouch for. Promises that every address is https (plain http on this machine only), so
that keys do not come over a wire which others write on, and that no issuer speaks for the e-mails
of a domain which the operator has not given to it: whoever runs one could say `email_verified`.
Never asks an issuer where its keys are: what is asked is what the operator has written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from serai.core.limits import OIDC_ISSUERS_MAX

_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_ISSUER_CHARS_MAX: Final = 500
_GOOGLE: Final = "https://accounts.google.com"
_GOOGLE_MAIL: Final = "gmail.com"


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One issuer.

    Attributes:
        issuer: as `iss` spells it.
        keys_url: where its keys (a JWK set) are.
        clients: ids that it has given to the apps of this deployment.
        domains: of the e-mails that it may vouch for, in lower case; without any, an operator's
            command says whose an identity is.
    """

    issuer: str
    keys_url: str
    clients: frozenset[str]
    domains: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the issuer of a setting: `issuer keys-url client-id [client-id ...]
        [@domain ...]`.

        Raises:
            ValueError: the setting is not of this form.
        """
        words = [word for word in text.split() if not word.startswith("@")]
        domains = [word[1:].lower() for word in text.split() if word.startswith("@")]
        if len(words) < 3:  # noqa: PLR2004 - counted in the message
            raise ValueError(
                "an issuer is `issuer keys-url client-id [client-id ...] [@domain ...]`"
            )
        issuer, keys_url, *clients = words
        check_issuer(issuer)
        _check_url(keys_url)
        for domain in domains:
            if _DOMAIN.fullmatch(domain) is None:
                raise ValueError(f"'@{domain}' is no domain of e-mails: @hotel.com")
        return cls(issuer, keys_url, frozenset(clients), frozenset(domains))

    def vouches_for(self, email: str, hosted_domain: str | None) -> bool:
        """Tell whether an e-mail that the issuer calls verified is that of who has the identity.

        Args:
            email: as the token has it.
            hosted_domain: the claim `hd`. Google verifies an address of any domain once; only of
                those that it hosts (gmail.com, and `hd`) does it know whose they are now.
        """
        domain = email.strip().lower().rpartition("@")[2]
        if domain not in self.domains:
            return False
        if self.issuer == _GOOGLE and domain != _GOOGLE_MAIL:
            return hosted_domain is not None and hosted_domain.lower() == domain
        return True


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


def check_issuer(text: str) -> None:
    """Refuse what cannot be an issuer.

    Raises:
        ValueError: it says why.
    """
    _check_url(text)
    if urlsplit(text).query:
        raise ValueError(f"{text!r}: an issuer has no query")
    if len(text) > _ISSUER_CHARS_MAX:
        raise ValueError(f"an issuer has at most {_ISSUER_CHARS_MAX} characters")


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
