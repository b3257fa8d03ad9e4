"""The catalogue of errors: number, cause, what to do, whether to retry.

Owns every error that leaves Serai. The problem documents (RFC 9457), the OpenAPI responses, the
reference page and the client's reactions come from this table, so none of them can say something
else. Promises that a code once published keeps its number and meaning. Never holds a secret or a
row: details are for the caller who sent them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Retry(Enum):
    """What a client does with a failed request, without asking a person."""

    NEVER = "never"
    """Sending the same again gives the same answer."""
    LATER = "later"
    """Send the same again after `Retry-After`, or with backoff."""
    REFRESH = "refresh"
    """Get a new access token, then send the same again."""
    REFETCH = "refetch"
    """Drop the since-token, keep the queue of mutations, and sync from the start."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the catalogue: `number` is permanent; `status` is the HTTP status."""

    number: int
    status: int
    title: str
    remedy: str
    retry: Retry = Retry.NEVER


class Code(Enum):
    """Every error, by name. The name in lower case is the `code` of the problem document."""

    BODY_TOO_LARGE = Kind(
        1001, 413, "The body is too large", "Send less than 32 MiB, also after decompression."
    )
    BODY_INVALID = Kind(
        1002, 400, "The body is not valid", "Send UTF-8 JSON of the documented form."
    )
    BODY_TOO_DEEP = Kind(1003, 400, "The body is nested too deeply", "Nest at most 32 levels.")
    FIELDS_INVALID = Kind(1004, 422, "Fields are not valid", "Mend the fields listed in `errors`.")
    FIELD_UNKNOWN = Kind(1005, 422, "A field is not known", "Remove the fields listed in `errors`.")
    FIELD_READ_ONLY = Kind(
        1006, 422, "A field is set by the server", "Remove the fields listed in `errors`."
    )
    QUERY_INVALID = Kind(
        1007, 400, "A query parameter is not valid", "See the operation's parameters."
    )
    MEDIA_TYPE = Kind(1008, 415, "The media type is not supported", "Send application/json.")
    ENCODING = Kind(
        1009, 415, "The content encoding is not supported", "Send identity, gzip or zstd."
    )
    NOT_FOUND = Kind(1010, 404, "There is no such thing here", "Check the address and your access.")
    METHOD = Kind(1011, 405, "The method is not allowed here", "See the `Allow` header.")
    KEY_REQUIRED = Kind(
        1012, 400, "Idempotency-Key is missing", "Send a new random key with each new write."
    )
    KEY_REUSED = Kind(
        1013, 422, "The idempotency key was used for another request", "Use a new key."
    )
    PRECONDITION = Kind(
        1014, 412, "The row has changed since", "Read the row again and decide again."
    )
    ROW_EXISTS = Kind(1015, 409, "The row exists already", "Update it, or use another id.")
    ROW_GONE = Kind(
        1016, 409, "The row was deleted", "A deleted row does not come back: use another id."
    )
    REFERENCED = Kind(
        1017, 409, "Other rows refer to this row", "Delete or change those rows first."
    )
    REFERENCE_MISSING = Kind(
        1018, 422, "A referenced row does not exist", "Write the referenced row first."
    )
    NOT_UNIQUE = Kind(
        1019, 409, "Another row has this value", "Use another value in the fields of `errors`."
    )
    CONSTRAINT = Kind(
        1020, 422, "The row breaks a rule of its collection", "See `detail` for the rule."
    )
    CONFLICT = Kind(
        1021, 409, "The row was changed by someone else", "Look at `row`, then write again."
    )
    RULE = Kind(1022, 422, "The change is not allowed", "See `detail` for the reason.")
    WRITE_TOO_LARGE = Kind(
        1023, 413, "The write is too large", "Change at most 200 rows of 64 KiB each at once."
    )
    HEADER_INVALID = Kind(1024, 400, "A header is not valid", "See `detail` for its form.")
    BODY_STALLED = Kind(
        1025,
        408,
        "The body stopped coming",
        "Send it again, at 1 KiB a second or more.",
        Retry.LATER,
    )
    PROPERTY_TRANSFERRED = Kind(
        1026,
        409,
        "The property belongs to another organisation now",
        "Nothing was changed. Enter it there, if you have a role there.",
    )

    UNAUTHENTICATED = Kind(
        2001, 401, "You are not signed in", "Send an access token or an API key."
    )
    ACCESS_EXPIRED = Kind(2002, 401, "The access token has expired", "Refresh it.", Retry.REFRESH)
    CREDENTIALS = Kind(
        2003, 401, "E-mail or password is wrong", "Check both; nothing tells which is wrong."
    )
    REFRESH_INVALID = Kind(2004, 401, "The refresh token is not valid", "Sign in again.")
    REFRESH_REUSED = Kind(
        2005, 401, "The refresh token was used before", "Sign in again on every device."
    )
    FORBIDDEN = Kind(
        2006, 403, "Your role does not allow this", "Ask an owner of the organisation."
    )
    ORIGIN = Kind(2007, 403, "This origin is not allowed", "Add it to the allowed origins.")
    PASSWORD_WEAK = Kind(2008, 422, "The password is too short", "Use at least 12 characters.")

    OIDC_OFF = Kind(
        2009,
        403,
        "Sign-in by OpenID Connect is not set up here",
        "Sign in with e-mail and password, or set SERAI_OIDC_ISSUERS.",
    )
    ID_TOKEN_INVALID = Kind(
        2010,
        401,
        "The ID token is not valid",
        "Sign in with the provider again, with a new nonce; the log of the server has the reason.",
    )
    IDENTITY_UNKNOWN = Kind(
        2011,
        403,
        "Nobody here has this identity",
        "Ask an operator to add you under the e-mail that the provider has verified, or to link"
        " your identity.",
    )

    TOKEN_INVALID = Kind(
        3001, 400, "The since-token is not valid", "Sync again without a token.", Retry.REFETCH
    )
    MUST_REFETCH = Kind(
        3002,
        409,
        "The since-token is too old",
        "Sync again without a token; keep the queue.",
        Retry.REFETCH,
    )
    MUTATION_GAP = Kind(3003, 409, "Mutations are missing", "Send from the number in `expected`.")
    DEVICE_UNKNOWN = Kind(3004, 409, "The device belongs to another user", "Make a new device id.")

    OVERLOADED = Kind(4001, 503, "The server is busy", "Try again later.", Retry.LATER)
    UNAVAILABLE = Kind(
        4002, 503, "The organisation's shard is not reachable", "Try again later.", Retry.LATER
    )
    DEADLINE = Kind(
        4003, 504, "The request took too long", "Try again with the same key.", Retry.LATER
    )
    CONTENDED = Kind(
        4004, 503, "Too many writers on the same rows", "Try again with the same key.", Retry.LATER
    )
    ORG_FROZEN = Kind(4005, 503, "The organisation is being moved", "Try again later.", Retry.LATER)
    ORG_MOVED = Kind(
        4006, 503, "The organisation lives on another shard", "Try again.", Retry.LATER
    )
    RATE_LIMITED = Kind(4007, 429, "Too many requests", "Wait for `Retry-After`.", Retry.LATER)
    ISSUER_AWAY = Kind(
        4008, 503, "The identity provider does not answer", "Try again later.", Retry.LATER
    )
    DISK_FULL = Kind(
        4009,
        503,
        "The database has no disk space left",
        "Try again with the same key: what was sent is not stored, reads go on.",
        Retry.LATER,
    )
    PROPERTY_HELD = Kind(
        4010,
        503,
        "The property is being handed over to another organisation",
        "Try again later.",
        Retry.LATER,
    )
    INTERNAL = Kind(5001, 500, "The server failed", "Report the `request_id`.", Retry.LATER)

    @property
    def kind(self) -> Kind:
        """The catalogue's line."""
        return self.value

    @property
    def text(self) -> str:
        """The code as it stands in a problem document."""
        return self.name.lower()


CODES: Final = {code.text: code for code in Code}
assert len({code.kind.number for code in Code}) == len(CODES), "error numbers are unique"


class SeraiError(Exception):
    """An error of the catalogue.

    Args:
        code: which one.
        detail: one sentence for the caller, about this occurrence.
        errors: (field, reason) pairs.
        extra: members to add to the problem document, such as `row` or `expected`. JSON values
            only.
        retry_after_seconds: for codes that are retried later.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        errors: tuple[tuple[str, str], ...] = (),
        extra: dict[str, object] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        """Keep the parts; the message is the title and the detail."""
        super().__init__(f"{code.kind.title}. {detail or code.kind.remedy}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.extra = extra or {}
        self.retry_after_seconds = retry_after_seconds
