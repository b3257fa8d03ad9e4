"""The first line of the program `serai`: until a command's own work begins, an interrupt ends it.

Owns what an interrupt does while libraries are being loaded, which takes most of a second, and when
all is done: one line, status 130, nothing to close. A KeyboardInterrupt there would come out of a
library as a traceback, or be lost in it. Promises that a command that runs hears interrupts itself
(`serai.cli.run`). Never imports anything that takes time before the handler is set.
"""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command named on the command line."""
    # Somebody who started it in the background, deaf to interrupts, keeps it so.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, _leave)
    from serai.cli import main as command  # noqa: PLC0415 - the handler comes first

    try:
        command()
    finally:
        if heard:
            signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    os.write(2, b"serai: interrupted\n")
    os._exit(_INTERRUPTED)
