"""Commands that read or import while their organisation changes its shard.

Owns what the audit commands, the doctor and imports do then: they follow, or say what to type.
The move is done by hand in the middle of their work. Never looks at how long anything takes.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from integration.moves.dead import kill_mover, other
from integration.moves.street import Fleet, House
from serai.app.doctor.token import explain_token
from serai.app.homes import RecordAtHome
from serai.app.importing import import_file
from serai.core.errors import Code, SeraiError
from serai.log.verify import Report, verify
from serai.ports.store import AuditedStore
from serai_hospitality.data import data_path


async def test_a_record_is_verified_across_a_move(
    fleet: Fleet, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each page the organisation goes to the other shard, where its record goes on."""
    owner, home = fleet.owner, house.home
    await owner.directory.refresh()
    expected = await verify((await owner.shard_for(house.org_id)).store, house.org_id)
    moved: list[str] = []
    # The record of this hotel is shorter than a page.
    monkeypatch.setattr("serai.log.verify.AUDIT_PAGE_ENTRIES", 5)

    class Moving(RecordAtHome):
        async def audit_page(self, org_id: int, after: int, *, limit: int):
            page = await super().audit_page(org_id, after, limit=limit)
            if len(moved) < 2:
                moved.append(other(moved[-1] if moved else home))
                await fleet.move(house.org_id, to=moved[-1])
            return page

    found: Report = await verify(Moving(owner.homes), house.org_id)
    assert moved == [other(home), home]
    assert found.broken is None
    assert (found.number, found.hash) == (expected.number, expected.hash)


async def test_what_was_read_at_a_home_that_was_left_is_read_again(
    fleet: Fleet, house: House
) -> None:
    home, seen = house.home, list[str | None]()
    await fleet.owner.directory.refresh()

    async def work(store: AuditedStore) -> int:
        if not seen:
            # It leaves, and its old copy is removed, before anything is read.
            await fleet.move(house.org_id, to=other(home))
        head = await store.head(house.org_id)
        seen.append(None if head is None else head.state)
        entries = await store.audit_list(house.org_id, before=None, limit=100)
        return len(entries)

    count = await fleet.owner.homes.followed(house.org_id, work)
    assert seen == ["moved", "active"]
    ((kept,),) = fleet.sql(
        other(home), "SELECT count(*) FROM serai.audit WHERE org_id = %s", house.org_id
    )
    assert count == min(kept, 100) > 0


async def test_a_refusal_of_a_home_that_was_left_is_asked_again(fleet: Fleet, house: House) -> None:
    home, asked = house.home, list[int]()
    await fleet.owner.directory.refresh()

    async def work(store: AuditedStore) -> str:
        asked.append(1)
        if len(asked) == 1:
            await fleet.move(house.org_id, to=other(home))
            raise SeraiError(Code.NOT_FOUND)
        head = await store.head(house.org_id)
        assert head is not None
        return head.state

    assert await fleet.owner.homes.followed(house.org_id, work) == "active"

    async def refuses(_: AuditedStore) -> str:
        raise SeraiError(Code.NOT_FOUND)

    with pytest.raises(SeraiError) as refused:
        await fleet.owner.homes.followed(house.org_id, refuses)
    assert refused.value.code is Code.NOT_FOUND


async def test_the_doctor_explains_a_token_of_an_organisation_that_has_moved(
    fleet: Fleet, house: House
) -> None:
    home = house.home
    token, _, _ = await house.pull(None)
    await fleet.owner.directory.refresh()
    before, _ = await explain_token(fleet.owner, token)
    await fleet.move(house.org_id, to=other(home))
    after, _ = await explain_token(fleet.owner, token)
    assert (after.org_id, after.org_version) == (house.org_id, before.org_version)
    assert after.must_refetch is None


async def test_an_import_into_an_organisation_on_the_move_says_what_to_type(
    fleet: Fleet, house: House, tmp_path: Path
) -> None:
    """Its mover died when it was frozen. After the move the same import goes to the new home."""
    home, owner, file = house.home, fleet.owner, tmp_path / "bookings.csv"
    with gzip.open(data_path("hotel_bookings.csv.gz")) as stream:
        # The set-up of the import and its first lines were there before.
        file.write_bytes(b"".join(next(stream) for _ in range(6)))
    await owner.directory.refresh()
    ((key,),) = fleet.sql(
        "directory",
        "SELECT key FROM serai_directory.organisation WHERE org_id = %s",
        house.org_id,
    )
    importer = owner.vertical.importers["hotel-bookings"]
    await kill_mover(fleet, house, "last changes")
    with pytest.raises(SeraiError, match="Type the same import again") as refused:
        await import_file(owner, key, importer, file)
    assert refused.value.code is Code.ORG_FROZEN
    fleet.give_up()
    await fleet.move(house.org_id, to=other(home))
    report = await fleet.move(house.org_id, to=other(home))
    assert report.present == 1
    await owner.directory.refresh()
    done = await import_file(owner, key, importer, file)
    assert (done.imported, done.bad) == (5, 0)
    stays = "SELECT count(*) FROM hospitality.stays WHERE org_id = %s"
    ((there,),) = fleet.sql(other(home), stays, house.org_id)
    assert there == 6
