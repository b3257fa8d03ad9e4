"""Requests over HTTP: the transport that ships.

Owns the connection to a server, the access token and the decoding of bodies. Promises that whatever
goes wrong between here and the server is `Unreachable`, that a refusal is the catalogue's error,
and that no body grows beyond its bound while it is unpacked. Never retries, but for one time after
an expired access token was refreshed.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import msgspec
import zstandard
from msgspec import Struct

from serai.client.account import account_of
from serai.client.reactions import Unreachable
from serai.client.transport import Answer
from serai.core.errors import CODES, Code, SeraiError
from serai.core.limits import BODY_BYTES_MAX, ZSTD_WINDOW_BYTES_MAX
from serai.wire.sync import ChangesRequest, MutationsRequest

AccessToken = Callable[[bool], Awaitable[str]]
"""Returns an access token; called with True it gets a new one first, because the present one has
expired. Raises Unreachable when it gets none now, SeraiError when a person must sign in."""

_NOT_MODIFIED: Final = 304
_OK: Final = 200
_GZIP_WINDOW: Final = 31


class _Problem(Struct):
    """The part of a problem document (RFC 9457) that the client acts on."""

    code: str = ""
    detail: str = ""
    expected: int | None = None


_zstd: Final = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
_problem_decoder: Final = msgspec.json.Decoder(_Problem)


class HttpTransport:
    """A server by its address.

    Args:
        base_url: such as `https://api.example.com`.
        access_token: see `AccessToken`.
        account: whose tokens these are; to be given for tokens that do not say it (API keys).
        session: to share; by default an own one, closed by `close`.
        connect_timeout: seconds to get a connection.
        read_timeout: seconds of silence before and within an answer. Asking again is safe, and a
            request that the network swallowed must not cost more than this. There is no bound for
            a whole answer here: the client has one.
    """

    def __init__(
        self,
        base_url: str,
        access_token: AccessToken,
        *,
        account: str | None = None,
        session: aiohttp.ClientSession | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 15.0,
    ) -> None:
        """Keep the address; nothing is connected before the first request."""
        self._base = base_url.rstrip("/")
        self._access_token = access_token
        self._account = account
        self._given = session
        self._own: aiohttp.ClientSession | None = None
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout, sock_read=read_timeout
        )

    async def account(self) -> str:
        """Return whose access tokens these are, and hold to it."""
        if self._account is None:
            found = account_of(await self._access_token(False))  # noqa: FBT003 - the form of `AccessToken`
            if found is None:
                raise ValueError("the access token does not say whose it is: give `account`")
            self._account = found
        return self._account

    async def changes(self, request: ChangesRequest, etag: str | None) -> Answer:
        """Send a pull."""
        return await self._post("/v1/sync/changes", msgspec.json.encode(request), etag)

    async def mutations(self, request: MutationsRequest) -> Answer:
        """Send a push."""
        return await self._post("/v1/sync/mutations", msgspec.json.encode(request), None)

    async def close(self) -> None:
        """Close the own session."""
        if self._own is not None:
            await self._own.close()
            self._own = None

    async def _post(self, path: str, body: bytes, etag: str | None) -> Answer:
        try:
            try:
                return await self._try(path, body, etag, expired=False)
            except SeraiError as error:
                if error.code is not Code.ACCESS_EXPIRED:
                    raise
                return await self._try(path, body, etag, expired=True)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    async def _try(self, path: str, body: bytes, etag: str | None, *, expired: bool) -> Answer:
        headers = {
            "Authorization": f"Bearer {await self._own_token(expired=expired)}",
            "Content-Type": "application/json",
            "Accept-Encoding": "zstd, gzip",
        }
        if etag is not None:
            headers["If-None-Match"] = etag
        session = self._session()
        # Unpacked here and not by aiohttp: its zstd needs one more package on Python 3.11, and it
        # has no bound for the size of an unpacked body.
        async with session.post(
            self._base + path,
            data=body,
            headers=headers,
            timeout=self._timeout,
            allow_redirects=False,
            auto_decompress=False,
        ) as response:
            if response.status == _NOT_MODIFIED:
                return Answer(b"", etag, unchanged=True)
            content = unpacked(
                await _read(response), response.headers.get("Content-Encoding", "identity")
            )
            if response.status != _OK:
                raise problem(response.status, content, response.headers.get("Retry-After"))
            return Answer(content, response.headers.get("ETag"))

    async def _own_token(self, *, expired: bool) -> str:
        """Return an access token, and never one of an account that signed in since."""
        token = await self._access_token(expired)
        if self._account is not None and account_of(token) not in (None, self._account):
            raise SeraiError(Code.UNAUTHENTICATED, "Another account is signed in.")
        return token

    def _session(self) -> aiohttp.ClientSession:
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = aiohttp.ClientSession()
        return self._own


async def _read(response: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > BODY_BYTES_MAX:
            raise Unreachable("The answer is larger than an answer can be.")
        pieces.append(piece)
    return b"".join(pieces)


def unpacked(body: bytes, encoding: str) -> bytes:
    """Return the plain body.

    Raises:
        Unreachable: it cannot be unpacked, or is larger than any answer.
    """
    try:
        match encoding.strip().lower():
            case "identity" | "":
                return body
            case "gzip":
                packed = zlib.decompressobj(wbits=_GZIP_WINDOW)
                plain = packed.decompress(body, BODY_BYTES_MAX + 1)
                whole = packed.eof
            case "zstd":
                # The server puts sealed blocks into an answer as frames of their own.
                reader = _zstd.stream_reader(body, read_across_frames=True)
                plain = reader.read(BODY_BYTES_MAX + 1)
                # The reader does not tell a cut frame. Its JSON is cut too, and no page.
                whole = True
            case other:
                raise Unreachable(f"The answer is packed with {other}.")
    except (zlib.error, zstandard.ZstdError) as error:
        raise Unreachable("The answer cannot be unpacked.") from error
    if len(plain) > BODY_BYTES_MAX or not whole:
        raise Unreachable("The answer is cut, or larger than an answer can be.")
    return plain


def problem(status: int, body: bytes, retry_after: str | None) -> SeraiError | Unreachable:
    """Return the error that an answer stands for.

    A code that this client does not know is taken by its status. What is no problem document comes
    from something between here and the server, which passes.
    """
    try:
        found = _problem_decoder.decode(body)
    except msgspec.DecodeError:
        found = _Problem()
    code = CODES.get(found.code) or _code_of_status(status, named=bool(found.code))
    if code is None:
        return Unreachable(f"Status {status} from something that is not the server.")
    seconds = int(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    extra: dict[str, object] = {} if found.expected is None else {"expected": found.expected}
    return SeraiError(code, found.detail, extra=extra, retry_after_seconds=seconds)


def _code_of_status(status: int, *, named: bool) -> Code | None:
    fixed = {
        401: Code.UNAUTHENTICATED,
        429: Code.RATE_LIMITED,
        503: Code.UNAVAILABLE,
        504: Code.DEADLINE,
    }
    if status in fixed:
        return fixed[status]
    if not named:
        return None
    server_error = 500
    return Code.INTERNAL if status >= server_error else Code.BODY_INVALID
