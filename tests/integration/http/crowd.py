"""A crowd of idle connections, in a process of its own.

Owns them: the server closes silent ones in time, and each that it closed is opened again until all
stand at once. Says `held` then, and ends with its standard input. Usage: crowd.py PORT COUNT.
"""

from __future__ import annotations

import select
import socket
import sys


def opened(port: int, n: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=60)
    if n % 2:
        line.sendall(b"GET /healthz HTTP/1.1\r\n")  # half of them have begun a request
    return line


def main(port: int, count: int) -> None:
    poll = select.poll()
    lines: dict[int, socket.socket] = {}
    while len(lines) < count:
        for n in range(len(lines), count):
            line = opened(port, n)
            lines[line.fileno()] = line
            poll.register(line, select.POLLIN)
        for number, _ in poll.poll(0):
            poll.unregister(number)
            lines.pop(number).close()
    sys.stdout.write("held\n")
    sys.stdout.flush()
    sys.stdin.read()


main(int(sys.argv[1]), int(sys.argv[2]))
