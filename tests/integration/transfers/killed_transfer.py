"""A transfer in a process of its own that dies without a word before a step.

Usage: killed_transfer.py DIRECTORY_URL GIVER_URL TAKER_URL PROPERTY GIVER TAKER STEP [FAULT]. With
FAULT it gives the transfer up before that step, and dies while it undoes it.
"""

from __future__ import annotations

import os
import signal
import sys
from uuid import UUID

from serai.app.runtime import load_vertical
from serai.app.transfer.hands import Connections
from serai.app.transfer.reasons import Untransferable
from serai.app.transfer.records import Claim, Records
from serai.app.transfer.saga import Saga
from serai.readers.move.link import connect

directory, giver_url, taker_url, prop, giver, taker, last, *fault = sys.argv[1:]


def step(name: str) -> None:
    if name == last:
        os.kill(os.getpid(), signal.SIGKILL)
    if [name] == fault:
        raise Untransferable("given up by the test")


with connect(directory) as conn:
    claim = Records(conn).claim(UUID(prop), int(giver), int(taker), actor="test", reason="to die")
    assert isinstance(claim, Claim)
vertical = load_vertical("serai_hospitality:VERTICAL")
reach = Connections(vertical.name, directory, giver_url, taker_url)
with Saga(vertical, reach, step=step) as saga:
    saga.carry(claim)
sys.exit("it lived")
