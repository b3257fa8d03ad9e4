"""The sync client: rows on the device, written with or without network, in step with the server.

Owns the device's side of `protocol/SPEC.md`, which names each state, transition and promise with
its test. Used by the load generator, the tests and scripts, and the model for the TypeScript
client. Imports the words and the wire forms of Serai, and nothing of the server.

    transport = HttpTransport("https://api.example.com", access_token)
    async with await SyncClient.open("hotel.db", transport=transport, collections=["stays"]) as
    client:
        stay = client.insert("stays", {"property_id": "...", "state": "booked"})
        await client.sync_once()
        print(client.get("stays", stay), client.status)
"""

from serai.client.client import Changes, NoSuchRow, Status, SyncClient
from serai.client.file import (
    FileDamaged,
    FileInUse,
    FileOfOtherFormat,
    FileOfOtherUser,
    NotWritten,
)
from serai.client.forms import Refused, Row, Value
from serai.client.http import AccessToken, HttpTransport
from serai.client.pacing import Conditions, Link, Pace
from serai.client.reactions import Unreachable
from serai.client.states import Event, Fill, State
from serai.client.transport import Answer, Transport

__all__ = [
    "AccessToken",
    "Answer",
    "Changes",
    "Conditions",
    "Event",
    "FileDamaged",
    "FileInUse",
    "FileOfOtherFormat",
    "FileOfOtherUser",
    "Fill",
    "HttpTransport",
    "Link",
    "NoSuchRow",
    "NotWritten",
    "Pace",
    "Refused",
    "Row",
    "State",
    "Status",
    "SyncClient",
    "Transport",
    "Unreachable",
    "Value",
]
