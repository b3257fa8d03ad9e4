"""The messages that go to the bus, as bytes; `protocol/OUTLET.md` says what they mean.

Owns their form and their ids. Promises that a message is at most `OUTLET_MESSAGE_BYTES_MAX` long,
whatever a version holds: a larger one goes as several parts. Changes are the texts of the log: they
are joined, never decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct

from serai.core.ids import ORG_SCOPE
from serai.core.limits import OUTLET_PART_BYTES_MAX
from serai.ports.outlet import Message

Reason = Literal["new", "floor", "epoch", "ahead", "asked"]
"""Why an organisation begins again: the log does not reach back to its beginning, or to where it
stood; numbers may mean something else in another epoch; it has lost a tail without one; somebody
asked for it, or the bus lost a part of such a beginning."""
_ID: Final = '{{"collection":"{}","scope":{},'


class Entry(Struct, frozen=True, gc=False):
    """One change of the log, or a row: `change` is finished JSON, an object."""

    version: int
    collection: int
    scope: UUID
    change: str


class Origin(Struct, frozen=True, gc=False):
    """Of whom and when: organisation, epoch, and how often somebody rewound it.

    A message that is sent on purpose once more has another id: a bus that still remembers the first
    one would drop it.
    """

    org_id: int
    epoch: int
    term: int

    def id(self, *rest: object) -> str:
        """Return the id of a message."""
        told = ".".join(map(str, (self.org_id, self.epoch, *rest)))
        return f"{told}-r{self.term}" if self.term else told

    def head(self, kind: str, version: int) -> str:
        """Return the beginning of a message."""
        return f'{{"kind":"{kind}","org":{self.org_id},"epoch":{self.epoch},"version":{version}'

    def fill(self, version: int) -> str:
        """Return the name of a fill."""
        return f"{self.epoch}.{version}.{self.term}"


def of_version(
    origin: Origin, version: int, previous: int, entries: Sequence[Entry], names: Mapping[int, str]
) -> Iterator[Message]:
    """Yield the message of one version, or its parts."""
    cut = list(_parts(entries, names)) or [""]
    for number, text in enumerate(cut, 1):
        head = f'{origin.head("changes", version)},"previous":{previous}'
        body = f'{head},"part":{number},"parts":{len(cut)},"changes":[{text}]}}'
        part = () if len(cut) == 1 else (number,)
        yield Message(origin.org_id, origin.id(version, *part), body.encode())


def beginning(origin: Origin, version: int, reason: Reason) -> Message:
    """Return the message that says: forget this organisation, all of its rows follow."""
    body = f'{origin.head("begin", version)},"fill":"{origin.fill(version)}","reason":"{reason}"}}'
    return Message(origin.org_id, origin.id(version, "begin"), body.encode())


def of_rows(
    origin: Origin, version: int, entries: Sequence[Entry], last: UUID, names: Mapping[int, str]
) -> Iterator[Message]:
    """Yield messages with rows of a fill, the last of which has the id `last`."""
    for number, text in enumerate(_parts(entries, names), 1):
        head = f'{origin.head("rows", version)},"fill":"{origin.fill(version)}"'
        name = (version, "rows", entries[-1].collection, last, number)
        yield Message(origin.org_id, origin.id(*name), f'{head},"changes":[{text}]}}'.encode())


def ending(origin: Origin, version: int) -> Message:
    """Return the message that ends a fill."""
    body = f'{origin.head("end", version)},"fill":"{origin.fill(version)}"}}'
    return Message(origin.org_id, origin.id(version, "end"), body.encode())


def _parts(entries: Sequence[Entry], names: Mapping[int, str]) -> Iterator[str]:
    """Yield changes joined by commas, a part each."""
    part: list[str] = []
    size = 0
    for entry in entries:
        scope = "null" if entry.scope == ORG_SCOPE else f'"{entry.scope}"'
        name = names.get(entry.collection, str(entry.collection))
        text = f"{_ID.format(name, scope)}{entry.change[1:]}"
        # Characters, of which some take several bytes; the bound leaves room for that.
        length = len(text.encode())
        if part and size + length > OUTLET_PART_BYTES_MAX:
            yield ",".join(part)
            part, size = [], 0
        part.append(text)
        size += length + 1
    if part:
        yield ",".join(part)
