"""What pages do to the device: together or not at all, never older, never more than may be seen.

Most scenes use the server in memory; the last ones hand-made pages, for answers that it never
gives.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from uuid import UUID

import pytest

from serai.client import Answer, Pace, SyncClient, Unreachable, apply
from serai.client.forms import page_decoder
from serai.core.ids import ALL_SCOPES, ORG_SCOPE
from serai.wire.sync import ChangesRequest, MutationsRequest
from unit.client.fake_server import HOSTEL, HOTEL, FakeServer
from unit.client.fake_transport import FakeTransport, in_virtual_time, open_client, there

STAY, OTHER = UUID(int=1), UUID(int=2)
SMALL = Pace(fill_rows=10)


def at(place: UUID, **fields):
    return {"property_id": str(place), **fields}


@in_virtual_time
async def test_rows_of_one_transaction_arrive_together_or_not_at_all(tmp_path):
    server = FakeServer()
    transport = FakeTransport(server)
    async with await open_client(tmp_path, transport) as client:
        await client.sync_once()
        seen: list[tuple[int, int]] = []
        client.listen(lambda _: seen.append((client.count("stays"), client.count("expenses"))))
        for number in range(1, 251):
            server.write(
                ("stays", UUID(int=number), at(HOTEL)),
                ("expenses", UUID(int=number), at(HOTEL)),
            )
        transport.faults = [None, "lose_answer"]
        with pytest.raises(Unreachable):
            await client.sync_once()
        assert client.count("stays") == client.count("expenses") > 0
        await client.sync_once()
        assert client.count("stays") == client.count("expenses") == 250
        assert len(seen) > 2
        assert all(stays == expenses for stays, expenses in seen)


@in_virtual_time
async def test_a_page_that_cannot_be_written_whole_is_not_written(tmp_path):
    server = FakeServer()
    server.write(("stays", STAY, at(HOTEL)))
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        await client.sync_once()
        server.write(("stays", OTHER, at(HOTEL)), ("expenses", STAY, at(HOTEL)))
        file = client._file
        file._connection.execute(
            "create temp trigger full before insert on row when new.collection = 2 "
            "begin select raise(abort, 'disk full'); end"
        )
        with pytest.raises(sqlite3.IntegrityError, match="disk full"):
            await client.sync_once()
        assert client.get("stays", OTHER) is None
        assert client.status.version == 1
        file._connection.execute("drop trigger full")
        await client.sync_once()
        assert client.get("stays", OTHER) is not None


@in_virtual_time
async def test_writes_during_a_fill_are_not_missed(tmp_path):
    server = FakeServer()
    for number in range(10, 60):
        server.write(("stays", UUID(int=number), at(HOTEL, note="old")))
    transport = FakeTransport(server)
    writes = iter(range(1, 100))

    def somebody_writes() -> None:
        number = next(writes)
        server.write(("stays", UUID(int=number), at(HOTEL, note="before the cursor")))
        server.write(("stays", UUID(int=60 + number), at(HOTEL, note="behind it")))
        server.write(("stays", UUID(int=9 + number), None))
        if number >= 4:
            transport.before_answer = None

    transport.before_answer = somebody_writes
    async with await open_client(tmp_path, transport, pace=SMALL) as client:
        await client.sync_once()
        assert {row.id for row in client.rows("stays")} == server.docs("stays").keys()
        assert len(server.docs("stays")) == 54


@in_virtual_time
async def test_a_row_changed_twenty_times_costs_one_change(tmp_path):
    server = FakeServer()
    transport = FakeTransport(server)
    async with await open_client(tmp_path, transport) as client:
        await client.sync_once()
        for n in range(20):
            server.write(("stays", STAY, at(HOTEL, n=n)))
        await client.sync_once()
        assert there(client, STAY).data["n"] == 19
        assert there(client, STAY).version == 20


@in_virtual_time
async def test_a_property_that_is_taken_away_leaves_the_device(tmp_path):
    server = FakeServer()
    server.write(("stays", STAY, at(HOTEL)), ("stays", OTHER, at(HOSTEL)))
    server.write(("stays", UUID(int=3), {"note": "of the organisation"}))
    async with await open_client(tmp_path, FakeTransport(server)) as client:
        await client.sync_once()
        client.update("stays", OTHER, {"note": "waiting"})
        server.visible = {str(HOTEL)}
        await client.sync_once()
        assert [row.id for row in client.rows("stays")] == [STAY, UUID(int=3)]
        assert b"waiting" not in b"".join(
            row[0].encode() for row in client._file.select("select data from row", ())
        )


@in_virtual_time
async def test_a_collection_added_later_is_filled_under_the_same_position(tmp_path):
    server = FakeServer()
    server.write(("stays", STAY, at(HOTEL)), ("expenses", STAY, at(HOTEL)))
    transport = FakeTransport(server)
    async with await open_client(tmp_path, transport, collections=["stays"]) as client:
        await client.sync_once()
    async with await open_client(tmp_path, transport) as client:
        assert client.status.filling == ("expenses",)
        assert client.get("stays", STAY) is not None
        await client.sync_once()
        assert client.get("expenses", STAY) is not None
        assert client.status.filling == ()
        tokens = {w.since_token for w in server.pulls[-1].collections}
        assert len(tokens) == 1


@in_virtual_time
async def test_a_collection_left_out_leaves_the_device_unless_writes_wait(tmp_path):
    server = FakeServer()
    server.write(("stays", STAY, at(HOTEL)), ("expenses", STAY, at(HOTEL)))
    transport = FakeTransport(server)
    async with await open_client(tmp_path, transport) as client:
        await client.sync_once()
        client.update("expenses", STAY, {"note": "x"})
    with pytest.raises(ValueError, match="wait or are refused"):
        await open_client(tmp_path, transport, collections=["stays"])
    async with await open_client(tmp_path, transport) as client:
        await client.sync_once()
    async with await open_client(tmp_path, transport, collections=["stays"]) as client:
        left = client._file.select("select count(*) from row where collection = 2", ())
        assert left.fetchone() == (0,)
        with pytest.raises(ValueError, match="does not keep"):
            client.rows("expenses")


@in_virtual_time
async def test_only_the_properties_asked_for_are_kept(tmp_path):
    server = FakeServer()
    async with await open_client(tmp_path, FakeTransport(server), properties=[HOTEL]) as client:
        await client.sync_once()
        assert [w.property_ids for w in server.pulls[0].collections] == [[HOTEL], [HOTEL]]


# Hand-made answers


class Scripted:
    """A transport that gives these answers, one after the other."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[ChangesRequest | MutationsRequest] = []

    async def account(self) -> str:
        return "1/ada"

    async def changes(self, request: ChangesRequest, etag: str | None) -> Answer:
        assert etag is None
        return await self.mutations(request)

    async def mutations(self, request: ChangesRequest | MutationsRequest) -> Answer:
        self.asked.append(request)
        return self.answers.pop(0)


def page(*changes, given="t1", more=False, name="stays", version=9, **members):
    part = {"name": name, "changes": changes, "nextToken": given, "hasMore": more, **members}
    answer = {"collections": [part], "serverTime": "", "epoch": 1, "version": version}
    return Answer(json.dumps(answer).encode())


def change(number: int, version: int, data=None):
    action = "delete" if data is None else "insert"
    return {"id": str(UUID(int=number)), "action": action, "version": version, "data": data}


async def a_client(folder: Path, *answers: Answer, after: Answer | None = None) -> SyncClient:
    """Return a client that has had these answers; `after` is for its next request."""
    transport = Scripted()
    client = await SyncClient.open(folder / "d.db", transport=transport, collections=["stays"])
    for answer in answers:
        transport.answers = [answer]
        await client.sync_once()
    transport.answers = [] if after is None else [after]
    return client


def ids(client: SyncClient) -> list[int]:
    return [row.id.int for row in client.rows("stays")]


@in_virtual_time
async def test_a_row_is_never_replaced_by_an_older_version(tmp_path):
    client = await a_client(
        tmp_path,
        page(change(1, 5, {"note": "new"})),
        page(change(1, 4, {"note": "old"}), given="t2"),
    )
    assert there(client, STAY).data == {"note": "new"}
    client.close()


@in_virtual_time
async def test_a_delete_older_than_the_row_does_nothing(tmp_path):
    client = await a_client(
        tmp_path, page(change(1, 5, {"note": "new"})), page(change(1, 4), change(7, 4))
    )
    assert ids(client) == [1]
    client.close()


@in_virtual_time
async def test_changes_of_one_row_in_one_page_apply_in_their_order(tmp_path):
    client = await a_client(
        tmp_path,
        page(
            change(1, 2, {"note": "a"}),
            change(1, 3),
            change(2, 3),
            change(2, 4, {"note": "b"}),
        ),
    )
    assert ids(client) == [2]
    client.close()


@in_virtual_time
async def test_a_late_copy_of_an_old_page_brings_nothing_back(tmp_path):
    first = page(change(1, 2, {"note": "a"}), given="t1", version=2)
    client = await a_client(tmp_path, first, page(change(1, 3), given="t2", version=3))
    touched = apply.Touched()
    with client._file.transaction():
        copy = page_decoder.decode(first.body)
        assert apply.take_page(client._file, copy, {"stays": None}, touched)
    assert ids(client) == []
    assert client.status.version == 3
    assert touched.rows == {}
    client.close()


@in_virtual_time
async def test_a_purge_of_everything_keeps_the_properties_named(tmp_path):
    client = await a_client(
        tmp_path,
        page(
            change(1, 1, at(HOTEL)),
            change(2, 1, at(HOSTEL)),
            change(3, 1, at(UUID(int=77))),
        ),
        page(token="t2", purge=[str(ALL_SCOPES)], keep=[str(HOTEL)]),
    )
    assert ids(client) == [1]
    client.close()


@in_virtual_time
async def test_a_purge_of_a_property_takes_its_own_row_too(tmp_path):
    client = await a_client(
        tmp_path,
        page(change(1, 1, {"name": "Hotel"}), change(2, 1, {"name": "Hostel"})),
        page(token="t2", purge=[str(UUID(int=2))]),
    )
    assert ids(client) == [1]
    client.close()


@in_virtual_time
async def test_a_purge_of_the_organisations_rows_leaves_those_of_properties(tmp_path):
    client = await a_client(
        tmp_path,
        page(change(1, 1, at(HOTEL)), change(2, 1, {"note": "organisation"})),
        page(change(3, 2, at(HOTEL)), given="t2", purge=[str(ORG_SCOPE)]),
    )
    assert ids(client) == [1, 3]
    client.close()


PURGES = [
    {"purge": [str(HOSTEL)]},
    {"purge": [str(ALL_SCOPES)], "keep": [str(HOTEL)]},
]


@pytest.mark.parametrize("purge", PURGES)
@in_virtual_time
async def test_a_property_taken_away_leaves_no_copy_of_its_rows_in_answers(tmp_path, purge):
    there_is = [change(1, 1, at(HOTEL, n="a")), change(2, 1, at(HOSTEL, n="b"))]
    there_is += [change(3, 1, at(HOSTEL, n="c")), change(4, 1, at(HOTEL, n="d"))]
    client = await a_client(tmp_path, page(*there_is))
    for number in range(1, 5):
        client.update("stays", UUID(int=number), {"note": "mine"})
    results = [result(1, 1, at(HOTEL, n="a", secret=1)), result(2, 2, at(HOSTEL, n="b", secret=2))]
    results += [conflict(3, 3, at(HOSTEL, secret=3)), conflict(4, 4, at(HOTEL, secret=4))]
    await answer_push(client, results, page(given="t2", more=True, version=9))
    assert [row.data.get("secret") for row in client.rows("stays")] == [1, 2, None, None]
    await answered(client, page(given="t3", more=True, **purge))
    assert ids(client) == [1, 4]
    assert [r.server_row and r.server_row["secret"] for r in client.refusals()] == [None, 4]
    assert [r.fields for r in client.refusals()] == [{"note": "mine"}] * 2
    client.close()
    assert b'"secret":2' not in (tmp_path / "d.db").read_bytes().replace(b" ", b"")


@pytest.mark.parametrize("purge", PURGES)
@in_virtual_time
async def test_a_row_that_this_device_deleted_stays_away_when_another_property_goes(
    tmp_path, purge
):
    client = await a_client(tmp_path, page(change(1, 1, at(HOTEL)), change(2, 1, at(HOSTEL))))
    client.delete("stays", UUID(int=1))
    await answer_push(client, [result(1, 1, None)], page(given="t2", more=True, version=9))
    assert ids(client) == [2]
    await answered(client, page(given="t3", more=True, **purge))
    assert ids(client) == []
    client.close()


def result(number: int, row: int, data):
    return {
        "number": number,
        "status": "applied",
        "id": str(UUID(int=row)),
        "version": 50 + number,
        "row": data,
    }


def conflict(number: int, row: int, data):
    return {**result(number, row, data), "status": "conflict", "code": "conflict"}


async def answer_push(client: SyncClient, results, pulled: Answer) -> None:
    """Give these results and this page."""
    body = {"results": results, "serverTime": "", "nextNumber": 9}
    body["pull"] = json.loads(pulled.body)
    await answered(client, Answer(json.dumps(body).encode()))


async def answered(client: SyncClient, answer: Answer) -> None:
    """Give this answer, then none that can be read."""
    transport = client._engine._transport
    assert isinstance(transport, Scripted)
    transport.answers = [answer, Answer(b"")]
    with pytest.raises(Unreachable):
        await client.sync_once()


@in_virtual_time
async def test_members_of_a_newer_server_are_ignored(tmp_path):
    client = await a_client(tmp_path, page(change(1, 1, {"note": "a"}), hints={"colour": 3}))
    assert ids(client) == [1]
    client.close()


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"collections":[]}', page(name="staff_pay").body]
)
@in_virtual_time
async def test_an_answer_to_another_question_changes_nothing(tmp_path, body):
    row = page(change(1, 1, {"note": "a"}))
    client = await a_client(tmp_path, row, after=Answer(body))
    with pytest.raises(Unreachable):
        await client.sync_once()
    assert ids(client) == [1]
    assert client.status.version == 9
    client.close()


@in_virtual_time
async def test_an_answer_that_settles_nothing_is_not_repeated_without_a_pause(tmp_path):
    empty = {"results": [], "serverTime": "", "nextNumber": 1}
    client = await a_client(tmp_path, page(), after=Answer(json.dumps(empty).encode()))
    client.insert("stays", {"note": "a"})
    with pytest.raises(Unreachable, match="settles nothing"):
        await client.sync_once()
    assert client.status.pending == 1
    client.close()
