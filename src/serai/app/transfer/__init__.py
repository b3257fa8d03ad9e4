"""Transfers: a property goes from one organisation to another, wholly or not at all.

Owns the saga: its record in the directory, the statements at both ends, what is mapped and copied,
the order of steps. Promises that one transaction in the directory decides, that everything before
it is undone and everything after it finished by whoever comes next, that at no moment both
organisations can write to the property, and that the new one sees all of it or nothing. Never
decides who may sell what.
"""

from serai.app.transfer.reasons import Untransferable
from serai.app.transfer.records import Claim, Records
from serai.app.transfer.saga import Saga, TransferStats
from serai.app.transfer.states import STATES, Step, Writes

__all__ = [
    "STATES",
    "Claim",
    "Records",
    "Saga",
    "Step",
    "TransferStats",
    "Untransferable",
    "Writes",
]
