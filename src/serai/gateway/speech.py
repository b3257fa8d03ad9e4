"""What listeners say after their first frame, and what they are answered.

Owns the meaning of a client's frames. Promises that whatever a client sends ends in an answer or in
the end of its own connection. Never lets it have what it was not sent: a since-token stands for
what this table has written to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from serai.core.channels import common, lost
from serai.core.errors import Code, SeraiError
from serai.core.live_limits import LIVE_CREDIT_STEP_MAX
from serai.core.token import Position, SinceToken, TokenSealer
from serai.gateway.framing import Close, Message, Opcode, Parser, Violation, framed
from serai.gateway.messages import Asked
from serai.gateway.seats import AT_HEAD, Connection
from serai.gateway.sockets import Sockets
from serai.wire.live import Hello, Refresh, Seen, Token

_client_frames: Final = msgspec.json.Decoder(Hello | Seen | Refresh)


class Speech:
    """Answers the listeners of one table.

    Args:
        sockets: that it answers on.
        sealer: makes since-tokens.
        ask: sends a question to the front.
    """

    def __init__(self, sockets: Sockets, sealer: TokenSealer, ask: Callable[[Asked], None]) -> None:
        """Keep the parts."""
        self._sockets, self._sealer, self._say = sockets, sealer, ask

    def read(self, connection: Connection, data: bytes) -> None:
        parser = connection.parser or Parser()
        try:
            for message in parser.feed(data):
                if connection.closing:
                    if message.opcode is Opcode.CLOSE:
                        self._sockets.drop(connection)
                        return
                else:
                    self._said(connection, message)
        except Violation as violation:
            if connection.closing:
                self._sockets.drop(connection)
            else:
                self._sockets.close(connection, violation.code, str(violation))
            return
        # Nearly everyone is silent nearly always, and then has no parser.
        connection.parser = None if parser.idle else parser

    def _said(self, connection: Connection, message: Message) -> None:
        if message.opcode is Opcode.PING:
            self._sockets.write(connection, framed(message.payload, Opcode.PONG))
        elif message.opcode is Opcode.CLOSE:
            code = message.payload[:2] or Close.NORMAL.to_bytes(2, "big")
            self._sockets.write(connection, framed(code, Opcode.CLOSE))
            if connection.fd in self._sockets.connections:
                self._sockets.drop(connection)
        elif message.opcode is Opcode.TEXT:
            try:
                frame = _client_frames.decode(message.payload)
            except msgspec.ValidationError as error:
                self._sockets.fail(connection, Code.BODY_INVALID, str(error))
            except (msgspec.DecodeError, RecursionError):
                self._sockets.fail(connection, Code.BODY_INVALID, "A frame is a JSON object.")
            else:
                self._framed(connection, frame)

    def _framed(self, connection: Connection, frame: Hello | Seen | Refresh) -> None:
        if isinstance(frame, Hello):
            self._sockets.fail(
                connection, Code.BODY_INVALID, "hello is the first frame, and sent once."
            )
        elif isinstance(frame, Refresh) and connection.asked:
            self._sockets.fail(connection, Code.RATE_LIMITED, "One refresh at a time.")
        elif isinstance(frame, Refresh):
            row = connection.row
            connection.asked = True
            self._say(
                Asked(
                    connection.serial,
                    row.hall.org_id,
                    connection.user_id,
                    connection.session_id,
                    frame.access_token,
                )
            )
        elif not 0 <= frame.credit <= LIVE_CREDIT_STEP_MAX:
            most = f"credit is 0 to {LIVE_CREDIT_STEP_MAX} frames."
            self._sockets.fail(connection, Code.BODY_INVALID, most)
        else:
            self._seen(connection, frame)

    def _seen(self, connection: Connection, frame: Seen) -> None:
        row = connection.row
        if frame.since_token is not None:
            try:
                token = self._sealer.open(
                    frame.since_token, org_id=row.hall.org_id, user_id=connection.user_id
                )
            except SeraiError as error:
                self._sockets.fail(connection, error.code)
                return
            room = row.hall.room
            position = token.position
            if position.epoch == room.epoch and position.version >= connection.since:
                connection.complete = None if token.filling else token.complete
        row.allow(connection, frame.credit)
        if frame.since_token is None:
            self._seal(connection, frame.version)
        self._sockets.forward(connection)

    def _seal(self, connection: Connection, version: int) -> None:
        """Answer with a token for what the listener says it holds, if it can hold that."""
        row = connection.row
        sent = row.audience.told if connection.cursor == AT_HEAD else connection.cursor
        if connection.complete is None or version < sent:
            return
        if lost(connection.complete, row.audience.channels):
            # A token without them would be one whose rows nobody purges: a pull does.
            return
        # Between what its audience was told last and the head, its channels have nothing.
        through = row.hall.room.head if connection.cursor == AT_HEAD else sent
        held = SinceToken(
            row.hall.org_id,
            connection.user_id,
            Position(row.hall.room.epoch, through),
            common(connection.complete, row.audience.channels),
        )
        self._sockets.send(connection, Token(self._sealer.seal(held), through))
