"""A mover in a process of its own that tells each step and waits before one of them.

Usage: gated_mover.py DIRECTORY_URL SOURCE_URL TARGET_URL ORG TARGET_ID STEP. Goes on when it is
told a line. Its last line is `moved`, or the kind of error that ended it.
"""

from __future__ import annotations

import sys

import psycopg

from serai.readers.move import LostTurn, Mover, Places, Records
from serai.readers.move.link import connect

directory, source, target, org, target_id, gate = sys.argv[1:]


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def step(name: str) -> None:
    say(name)
    if name == gate:
        sys.stdin.readline()


with connect(directory) as conn:
    (claim,) = Records(conn).claim([int(org)], int(target_id), actor="test", reason="to be cut off")
try:
    with Mover(Places(directory, source, target), step=step) as mover:
        mover.move(claim)
except (LostTurn, psycopg.OperationalError) as error:
    say(type(error).__name__)
else:
    say("moved")
