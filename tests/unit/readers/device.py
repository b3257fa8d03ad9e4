"""A device that does what the protocol says, a history of every version, and the two compared.

Owns the oracle of the pull: `World` keeps a copy of all rows at each version; after each page, the
device must hold exactly the rows of the version that its token names, in the channels and up to the
cursor that the token names, and nothing of any other channel. Shares with the server only the
opening of tokens and the forms of the wire. Never repairs a device.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import msgspec

from serai.adapters.memory import MemoryStore
from serai.core.channels import Channel, ChannelSet, contains
from serai.core.errors import Code, SeraiError
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.core.token import SinceToken, TokenSealer
from serai.gate.caller import Caller
from serai.http.compress import joined
from serai.log.decide import decide
from serai.log.intent import RowIntent
from serai.ports.store import Committed, LogPage, SnapshotPage
from serai.readers.sync.pull import PullResult, pull
from serai.wire.sync import ChangesAnswer, ChangesRequest, CollectionChanges, WantedCollection
from unit.log.house import HOUSE, NOW, ORG, caller, rest

SEALER = TokenSealer({1: b"sixteen bytes ok"})
NAMES = tuple(HOUSE.by_name)
Key = tuple[int, UUID]
Rows = dict[Key, tuple[UUID, str]]
"""(collection, id) -> (scope, data)."""


class World(MemoryStore):
    """The reference store with its past. `scan` bounds a page of the log; `meanwhile` is done by
    others between the reading of the log and that of the rows.
    """

    def __init__(self) -> None:
        super().__init__(HOUSE)
        self.past: dict[int, Rows] = {0: {}}
        self.written: dict[int, dict[Key, int]] = {0: {}}
        self.scan: int | None = None
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []

    async def log_page(
        self, org_id: int, after: int, *, scan: int, scopes: Sequence[UUID] | None, collections: int
    ) -> LogPage | None:
        return await super().log_page(
            org_id, after, scan=self.scan or scan, scopes=scopes, collections=collections
        )

    async def snapshot_page(
        self,
        org_id: int,
        channels: Sequence[Channel],
        after: UUID | None,
        *,
        rows: int,
        max_bytes: int,
    ) -> SnapshotPage:
        while self.meanwhile:
            await self.meanwhile.pop(0)()
        return await super().snapshot_page(org_id, channels, after, rows=rows, max_bytes=max_bytes)

    async def write(self, *wishes: RowIntent) -> bool:
        """Write as an owner; what cannot be done (a row that is gone) is left. Keeps the past."""
        keys = [(ORG, w.collection.number, w.id) for w in wishes]
        rows = dict(zip(keys, await self.read(keys), strict=True))
        head = self.organisations[ORG].head
        try:
            plan = decide(HOUSE, rest(caller(), *wishes), rows, epoch=head.epoch, now=NOW)
        except SeraiError:
            return False
        (outcome,) = await self.commit([plan])
        self.remember()
        return isinstance(outcome, Committed)

    def remember(self) -> None:
        org = self.organisations[ORG]
        self.past[org.head.version] = {k: (r.scope, r.doc) for k, r in org.rows.items()}
        self.written[org.head.version] = {k: r.version for k, r in org.rows.items()}


async def world() -> World:
    made = World()
    await made.create_org(ORG)
    return made


class Device:
    """Rows and tokens of one phone. All its collections share one token."""

    def __init__(self, store: World, who: Caller) -> None:
        self.store, self.who = store, who
        self.names: tuple[str, ...] = NAMES
        self.properties: list[UUID] | None = None
        self.batch = 100
        self.block_rows: int | None = None
        self.blocks = 0
        self.rows: Rows = {}
        self.token: str | None = None
        self.pages: list[ChangesAnswer] = []
        self.whole: ChannelSet = {}
        self.filled_at = 0

    async def page(self) -> bool:
        """Pull one page, apply it, compare with the past; return whether there is more."""
        wanted = [WantedCollection(n, self.token, self.properties) for n in self.names]
        request = ChangesRequest(wanted, self.batch)
        result = await pull(
            self.store, self.who, SEALER, request, now=NOW, block_rows=self.block_rows
        )
        self.blocks += len(result.packed)
        answer = read(result)
        self.pages.append(answer)
        more = answer.collections[0].has_more
        assert all(c.has_more == more for c in answer.collections)
        if any(c.must_refetch for c in answer.collections):
            assert all(c.must_refetch and c.next_token == "" for c in answer.collections)
            assert not any(c.changes for c in answer.collections)
            self.rows, self.token, self.whole = {}, None, {}
            return True
        before = None if self.token is None else self.opened()
        for each in answer.collections:
            self._apply(each)
        (self.token,) = {c.next_token for c in answer.collections}
        self._note(before)
        self.check()
        return more

    async def sync(self) -> None:
        """Pull until the server says that nothing waits."""
        for _ in range(3_000):
            if not await self.page():
                return
        raise AssertionError("the fill makes no progress")

    def _apply(self, part: CollectionChanges) -> None:
        number = HOUSE.by_name[part.name].number
        for key, (scope, _) in list(self.rows.items()):
            everywhere = ALL_SCOPES in part.purge and scope not in (ORG_SCOPE, *part.keep)
            if key[0] == number and (scope in part.purge or everywhere):
                del self.rows[key]
        for change in part.changes:
            key = (number, change.id)
            if change.action == "delete":
                self.rows.pop(key, None)
            else:
                assert change.data is not None
                doc = msgspec.json.encode(change.data).decode()
                self.rows[key] = (scope_of(part.name, change.id, change.data), doc)

    def opened(self) -> SinceToken:
        assert self.token is not None
        return SEALER.open(self.token, org_id=ORG, user_id=self.who.user_id)

    def _note(self, before: SinceToken | None) -> None:
        """Note which channels were whole, and up to where the log must come after a fill."""
        after = self.opened()
        if before is not None and before.position.version >= self.filled_at:
            self.whole = before.complete
        if before is None or before.filling or after.filling or before.complete != after.complete:
            self.filled_at = self.store.organisations[ORG].head.version

    def check(self) -> None:
        """Compare with the version that the token names (I1, I6, I8, I9).

        A row of a fill that changed after that version and before the fill may be missing, also if
        it has the old values again: its log entry comes. In channels that were whole before the
        fill there is no such excuse.
        """
        token = self.opened()
        sent = [c for part in self.pages[-1].collections for c in part.changes]
        assert all(c.version <= token.position.version for c in sent), "ahead of its token"
        then = self.store.past[token.position.version]
        before = self.store.written[token.position.version]
        now = self.store.organisations[ORG].rows
        excused = {
            key
            for key in {*then, *now}
            if before.get(key) != (now[key].version if key in now else None)
            and token.position.version < self.filled_at
            and not contains(self.whole, then[key][0] if key in then else now[key].scope, key[0])
        }
        expected = {
            (number, each): (scope, doc)
            for (number, each), (scope, doc) in then.items()
            if token.delivers(scope, number, each)
        }
        held = {k: v for k, v in self.rows.items() if k not in excused}
        wanted = {k: v for k, v in expected.items() if k not in excused}
        assert held == wanted, f"at version {token.position.version}"
        for number, each in self.rows:
            scope = self.rows[number, each][0]
            assert contains(self.who.grant.channels, scope, number)


def scope_of(name: str, each: UUID, data: dict[str, str | int | bool | None]) -> UUID:
    if name == "properties":
        return each
    place = data.get("property_id") if name in ("stays", "pay", "signs") else None
    return ORG_SCOPE if place is None else UUID(str(place))


def read(result: PullResult) -> ChangesAnswer:
    """Return the answer as a client reads it."""
    body = joined(msgspec.json.encode(result.answer), result.packed)
    return msgspec.json.decode(body, type=ChangesAnswer)


def visible(store: World, device: Device) -> Rows:
    """What the device should hold in the end: every live row that its user sees and it asks for."""
    numbers = {HOUSE.by_name[name].number for name in device.names}
    return {
        (number, each): (row.scope, row.doc)
        for (number, each), row in store.organisations[ORG].rows.items()
        if number in numbers
        and contains(device.who.grant.channels, row.scope, number)
        and (device.properties is None or row.scope in (ORG_SCOPE, *device.properties))
    }


def refused(error: SeraiError) -> Code:
    return error.code
