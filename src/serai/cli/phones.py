"""Two simulated phones: both sync, one goes offline, both edit, both converge.

Owns the scene and its check. The phones are the shipping sync client over HTTP, each with a file of
its own. Promises that "converged" compares every row on both phones with the server's, not a count.
The scene plays in the hospitality vertical; nothing else of the platform knows its names.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from serai.client import HttpTransport, SyncClient
from serai.core.ids import ALL_SCOPES
from serai.ports.store import Store

COLLECTIONS: Final = ("properties", "accounts", "guests", "stays")
NUMBERS: Final = {"properties": 1, "guests": 5, "stays": 6}
_PAGE_ROWS: Final = 2_000
_PAGE_BYTES: Final = 1 << 24

Say = Callable[[str], None]
Rows = dict[tuple[str, UUID], tuple[int, dict[str, object]]]
"""(collection, id) -> (version, fields)."""


@dataclass(frozen=True, slots=True)
class PhoneReport:
    """What the scene showed.

    Attributes:
        rows: on each phone after its first sync.
        first_sync_seconds: of both phones, one after the other.
        merged: both edited one stay in different fields, and both edits stand.
        conflict_kept: both set one stay's price; the later one was refused and is listed.
        converged: every row on both phones equals the server's.
    """

    rows: int
    first_sync_seconds: float
    merged: bool
    conflict_kept: bool
    converged: bool


async def meet(
    url: str, token: Callable[[bool], Awaitable[str]], store: Store, org_id: int, say: Say
) -> PhoneReport:
    """Run the scene against the API at `url`; compare with `store`."""
    hotel = await _resort(store, org_id)
    async with _phone(url, token, hotel) as ana, _phone(url, token, hotel) as ben:
        say("two phones sync one hotel for the first time")
        started = time.monotonic()
        await ana.sync_once()
        await ben.sync_once()
        seconds = time.monotonic() - started
        rows = sum(ana.count(name) for name in COLLECTIONS)
        say(f"  {rows} rows on each phone, {seconds:.1f} s for both")

        first, second = _book(ben, hotel), _book(ben, hotel)
        await ben.sync_once()
        await ana.sync_once()
        say("Ana loses the network; both edit the same two bookings, Ana takes a third")
        ana.network(online=False)
        ana.update("stays", first, {"room": "101"})
        ana.update("stays", second, {"rate_minor": 9_000})
        third = _book(ana, hotel)
        ben.update("stays", first, {"adults": 3})
        ben.update("stays", second, {"rate_minor": 9_500})
        await ben.sync_once()
        say("Ana is back")
        ana.network(online=True)
        await ana.sync_once()
        await ben.sync_once()

        shown = ben.get("stays", first)
        merged = shown is not None and (shown.data["room"], shown.data["adults"]) == ("101", 3)
        kept = [refused.row_id for refused in ana.refusals()] == [second]
        server = await _server_rows(store, org_id, hotel)
        converged = _rows(ana) == server == _rows(ben) and ("stays", third) in server
        say("  different fields of one booking: both edits stand" if merged else "  NOT merged")
        say("  one price set twice: the later one is listed on Ana's phone" if kept else "  LOST")
        say(f"  both phones equal the server: {'yes' if converged else 'NO'}")
        return PhoneReport(rows, round(seconds, 2), merged, kept, converged)


@asynccontextmanager
async def _phone(
    url: str, token: Callable[[bool], Awaitable[str]], hotel: UUID
) -> AsyncGenerator[SyncClient]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="serai-phone-"))
        transport = HttpTransport(url, token)
        stack.push_async_callback(transport.close)
        yield await stack.enter_async_context(
            await SyncClient.open(
                Path(folder) / "phone.db",
                transport=transport,
                collections=COLLECTIONS,
                properties=[hotel],
            )
        )


def _book(phone: SyncClient, hotel: UUID) -> UUID:
    """Take a booking as a front desk does: a guest and a stay."""
    guest = phone.insert("guests", {"property_id": str(hotel), "name": "Walk-in"})
    stay = {
        "property_id": str(hotel),
        "guest_id": str(guest),
        "status": "reserved",
        "arrival": "2017-09-01",
        "departure": "2017-09-03",
        "adults": 2,
        "babies": 0,
        "channel": "direct",
        "rate_minor": 8_000,
        "rate_currency": "EUR",
    }
    return phone.insert("stays", stay)


def _rows(phone: SyncClient) -> Rows:
    return {
        (name, row.id): (row.version, dict(row.data))
        for name in NUMBERS
        for row in phone.rows(name)
    }


async def _server_rows(store: Store, org_id: int, hotel: UUID) -> Rows:
    """Return the hotel's rows as the store has them."""
    found: Rows = {}
    for name, number in NUMBERS.items():
        after: UUID | None = None
        while True:
            page = await store.snapshot_page(
                org_id, [(hotel, number)], after, rows=_PAGE_ROWS, max_bytes=_PAGE_BYTES
            )
            for row in page.rows:
                found[name, row.id] = (row.version, msgspec.json.decode(row.change)["data"])
            if page.done:
                break
            after = page.rows[-1].id
    return found


async def _resort(store: Store, org_id: int) -> UUID:
    """Return the smaller of the two hotels."""
    page = await store.snapshot_page(
        org_id, [(ALL_SCOPES, NUMBERS["properties"])], None, rows=_PAGE_ROWS, max_bytes=_PAGE_BYTES
    )
    named = {msgspec.json.decode(row.change)["data"]["name"]: row.id for row in page.rows}
    return named["Resort Hotel"]
