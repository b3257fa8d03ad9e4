"""The outlet's bus on NATS JetStream.

Owns one connection and the stream's name. Each organisation has a subject of its own, so a reader
may ask for one and the stream counts them apart. Promises what `serai.ports.outlet.Bus` says: a
message counts as accepted when the stream has answered with its number. The server answers before
its disk has the message, so a server that loses power may lose the end of its stream;
`state` shows that, because the stream's numbers go back. Never buffers: while there is no
connection a message is refused at once.

The library's own way to connect again is off: it would keep messages in a buffer that outlives
the call which sent them.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import Header, StorageType, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from serai.core.limits import OUTLET_MESSAGE_BYTES_MAX
from serai.ports.outlet import BusDown, BusRefused, BusState, Message

_CONNECT_SECONDS: Final = 2
_ANSWER_SECONDS: Final = 5.0
_TOO_LARGE: Final = 10054
"""Of the server's error codes: the message exceeds what the stream takes."""


class NatsBus:
    """Messages as JetStream keeps them.

    Args:
        servers: URLs, with user and password if they are needed.
        stream: its name. Made, with one copy on disk and without a limit, if there is none.
        subject: messages of organisation 7 have the subject `<subject>.7`.
    """

    def __init__(self, servers: list[str], stream: str, subject: str) -> None:
        """Keep the address; the first message connects."""
        self._servers, self._stream, self._subject = servers, stream, subject
        self._connecting = asyncio.Lock()
        self._client: Client | None = None
        self._context: JetStreamContext | None = None
        self._lost = asyncio.Event()
        self._starts: list[int] = []

    async def publish(self, message: Message) -> int:
        """Send a message and wait for the stream's answer."""
        context = await self._connected(anew=False)
        asked = asyncio.ensure_future(
            context.publish(
                f"{self._subject}.{message.org_id}",
                message.body,
                timeout=_ANSWER_SECONDS,
                stream=self._stream,
                headers={Header.MSG_ID.value: message.id},
            )
        )
        await self._answer(asked)
        try:
            return asked.result().seq
        except MaxPayloadError as error:
            raise BusRefused("it is larger than the NATS server takes (max_payload)") from error
        except NoStreamResponseError as error:
            raise BusDown(f"no stream takes messages of {self._subject}.*") from error
        except APIError as error:
            if error.err_code == _TOO_LARGE:
                raise BusRefused("it is larger than the stream takes (max_msg_size)") from error
            raise BusDown(f"JetStream: {error.description} ({error.err_code})") from error
        except (NatsError, OSError) as error:
            raise BusDown(str(error) or type(error).__name__) from error

    async def state(self, seen: int) -> BusState | None:
        """Return when the stream was made, and the number of its last message."""
        context = await self._connected(anew=True)
        try:
            info = await context.stream_info(self._stream)
        except (NatsError, OSError) as error:
            raise BusDown(str(error) or type(error).__name__) from error
        number = info.state.last_seq
        lowest = min(self._starts[seen:], default=number)
        store = f"{self._stream} {info.created}"
        return BusState(store, number, lowest, len(self._starts))

    async def close(self) -> None:
        """Close the connection."""
        client, self._client, self._context = self._client, None, None
        if client is not None:
            await client.close()

    async def _answer(self, asked: asyncio.Future[Any]) -> None:
        """Wait for an answer or the loss of the connection, which the library tells nobody who
        waits.
        """
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({asked, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            if not asked.done():
                asked.cancel()
        if asked.cancelled() or not asked.done():
            await asyncio.gather(asked, return_exceptions=True)
            raise BusDown("the connection to NATS was lost")

    async def _connected(self, *, anew: bool) -> JetStreamContext:
        """Return the way to the stream; after a loss only for who asks how far it is."""
        async with self._connecting:
            if self._client is not None and self._context is not None:
                if self._client.is_connected and not self._lost.is_set():
                    return self._context
                await self.close()
            if self._starts and not anew:
                raise BusDown("the connection to NATS was lost")
            lost = asyncio.Event()
            client = await self._connect(lost)
            try:
                context = await self._streamed(client)
            except BaseException:
                await client.close()
                raise
            self._client, self._context, self._lost = client, context, lost
            return context

    async def _connect(self, lost: asyncio.Event) -> Client:
        """Return a connection that sets `lost` at its end."""
        why: list[Exception] = []

        async def ended() -> None:
            lost.set()

        async def heard(error: Exception) -> None:
            why.append(error)

        client = Client()
        try:
            await client.connect(
                servers=self._servers,
                name="serai outlet",
                allow_reconnect=False,
                # Each server is tried twice, then it is the outlet that waits.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=_CONNECT_SECONDS,
                closed_cb=ended,
                disconnected_cb=ended,
                error_cb=heard,
            )
        except (NatsError, OSError) as error:
            last = why[-1] if why else error
            raise BusDown(f"no NATS server answers: {last}") from error
        return client

    async def _streamed(self, client: Client) -> JetStreamContext:
        """Return the way to the stream; make it if it is not there."""
        if client.max_payload < OUTLET_MESSAGE_BYTES_MAX:
            raise BusDown(
                f"the NATS server takes {client.max_payload} bytes a message: set its max_payload "
                f"to {OUTLET_MESSAGE_BYTES_MAX} at least"
            )
        context = JetStreamContext(client, timeout=_ANSWER_SECONDS)
        try:
            try:
                self._starts.append((await context.stream_info(self._stream)).state.last_seq)
            except NotFoundError:
                config = StreamConfig(
                    name=self._stream,
                    subjects=[f"{self._subject}.*"],
                    storage=StorageType.FILE,
                )
                # Its further parameters have no types.
                await cast("Any", context).add_stream(config)
                self._starts.append(0)
        except (NatsError, OSError) as error:
            raise BusDown(f"the stream {self._stream} cannot be had: {error}") from error
        return context
