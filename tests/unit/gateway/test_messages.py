"""Front and table: messages and sockets arrive together and in order, however they are cut."""

from __future__ import annotations

import os
import socket
from uuid import UUID

import pytest

from serai.gateway.messages import (
    Admitted,
    Forgotten,
    Heard,
    Left,
    Receiver,
    ToTable,
    packed,
    send_with,
    to_front,
    to_table,
)
from serai.ports.store import LogEntry


def admitted(org_id: int) -> Admitted:
    user = UUID(int=9)
    channels = [(UUID(int=1), 3)]
    return Admitted(org_id, user, user, channels, None, 1, 5, None, 0, None, 100)


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def received(receiver: Receiver[ToTable], count: int) -> list[tuple[ToTable, int | None]]:
    found: list[tuple[ToTable, int | None]] = []
    while len(found) < count:
        found += receiver.receive()
    return found


def test_sockets_arrive_with_their_messages(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    with here, there:
        receiver = Receiver(there, to_table)
        pipes = [os.pipe() for _ in range(3)]
        for number, (reading, _) in enumerate(pipes):
            data = packed(admitted(number), sockets=1)
            assert send_with(here, data, [reading]) == len(data)
            here.sendall(packed(Forgotten(number)))
            os.close(reading)
        found = received(receiver, 6)
        for number, (_, writing) in enumerate(pipes):
            message, handed = found[2 * number]
            assert message == admitted(number)
            assert handed is not None
            os.write(writing, b"%d" % number)
            assert os.read(handed, 10) == b"%d" % number
            os.close(handed)
            os.close(writing)
            assert found[2 * number + 1] == (Forgotten(number), None)


def test_messages_that_come_byte_by_byte_are_whole(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    here, there = ends
    with here, there:
        entry = LogEntry(6, UUID(int=1), 5, UUID(int=2), '{"id": "\u20ac"}')
        messages = [Heard(1, 1, 5, 6, 0, [entry]), Forgotten(1)]
        receiver = Receiver(there, to_table)
        found: list[tuple[ToTable, int | None]] = []
        for byte in b"".join(map(packed, messages)):
            here.sendall(bytes((byte,)))
            found += receiver.receive()
        assert found == [(message, None) for message in messages]


def test_the_end_of_the_other_side_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    with there:
        here.sendall(packed(Left(1, 2)))
        here.close()
        receiver = Receiver(there, to_front)
        assert receiver.receive() == [(Left(1, 2), None)]
        with pytest.raises(EOFError):
            receiver.receive()
