"""Moves: organisations go from one shard to another while they are being written to.

Owns the order of a move and the statements on both shards and on the directory's record of moves.
Promises that at every moment at most one home takes writes, that a mover which was killed anywhere
is followed by one that finishes or undoes, and that what arrives is what was there: rows, log,
replies, devices' numbers, the audit record. Never raises an epoch: the flip is never undone, so no
number is used twice. Never runs on the path of a request.
"""

from serai.readers.move.ends import Source, Target
from serai.readers.move.link import LostTurn, Unmovable
from serai.readers.move.mover import Mover, MoveStats
from serai.readers.move.reach import Places
from serai.readers.move.records import Claim, OldCopy, Records
from serai.readers.move.states import STATES, Step, Writes, course, writes

__all__ = [
    "STATES",
    "Claim",
    "LostTurn",
    "MoveStats",
    "Mover",
    "OldCopy",
    "Places",
    "Records",
    "Source",
    "Step",
    "Target",
    "Unmovable",
    "Writes",
    "course",
    "writes",
]
