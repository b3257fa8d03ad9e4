"""A mover in a process of its own that dies without a word before a step.

Usage: killed_mover.py DIRECTORY_URL SOURCE_URL TARGET_URL ORG TARGET_ID STEP [FAULT]. With FAULT it
gives the move up before that step, and dies while it undoes it.
"""

from __future__ import annotations

import os
import signal
import sys

from serai.readers.move import Mover, Places, Records, Unmovable
from serai.readers.move.link import connect

directory, source, target, org, target_id, last, *fault = sys.argv[1:]


def step(name: str) -> None:
    if name == last:
        os.kill(os.getpid(), signal.SIGKILL)
    if [name] == fault:
        raise Unmovable("given up by the test")


with connect(directory) as conn:
    records = Records(conn)
    (claim,) = records.claim([int(org)], int(target_id), actor="test", reason="to die")
    with Mover(Places(directory, source, target), step=step) as mover:
        mover.move(claim)
sys.exit("it lived")
