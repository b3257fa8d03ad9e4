"""The processes of the tables: one that forks the others.

Owns how they start. They are forked from one small process that has imported what they need and
nothing of the front, so what they share is in memory once. Each ends when its channel does.

Started by the front as `python -m serai.gateway.tables FD [FD ...]`: a channel each; what they need
to know stands on standard input, as JSON.
"""

from __future__ import annotations

import base64
import gc
import os
import signal
import socket
import sys

import msgspec

from serai.core.token import TokenSealer
from serai.gateway.table import Table


class Told(msgspec.Struct):
    """What a table needs to know.

    Attributes:
        names: collection number -> name.
        token_keys: key id -> secret, in base64.
    """

    names: dict[int, str]
    token_keys: dict[int, str]


def main() -> None:
    """Fork a table for each channel, and wait for their end."""
    channels = [int(word) for word in sys.argv[1:]]
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=Told)
    sealer = TokenSealer({i: base64.b64decode(text) for i, text in told.token_keys.items()})
    # A Ctrl-C of the terminal is for the front, which closes the channels.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    for channel in channels:
        if os.fork() == 0:
            for other in channels:
                if other != channel:
                    os.close(other)
            Table(socket.socket(fileno=channel), told.names, sealer).run()
            os._exit(0)
    for channel in channels:
        os.close(channel)
    for _ in channels:
        os.wait()


if __name__ == "__main__":
    main()
