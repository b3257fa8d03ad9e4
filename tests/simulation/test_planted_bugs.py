"""The simulation finds defects: each one planted here is found within a few seeds.

Owns the planted defects: each replaces one function of the code that ships by one that is wrong in
a way in which such code is wrong in life. Those from `merged_fields_forgotten` to
`answered_row_lost_with_the_epoch` were in the code, and seeds found them.
Promises that a defect is found by the promise that it breaks, and that the seed which finds it
passes without it. Never leaves a defect behind.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from serai.adapters.memory import MemoryStore
from serai.client import apply, engine
from serai.client.file import DeviceFile
from serai.core.errors import Code, SeraiError
from serai.core.token import TokenSealer, TokenUnreadable
from serai.log import decide
from serai.log.merge import Merged
from serai.ports.store import Committed, LogPage, MutationKey
from simulation.planting import Bug, assert_found

# The packages export functions of the same names.
pull: Any = importlib.import_module("serai.readers.sync.pull")
push: Any = importlib.import_module("serai.readers.sync.push")


def page_without_token(right):
    """The rows of a page are kept and its token is not."""

    def wrong(file, held, part, *rest):
        right(file, held, part, *rest)
        if held.token is not None:
            file.set_collection(held.number, held.token, held.fill)

    return wrong


def acknowledged_and_not_written(right):
    """A mutation is answered as applied and nothing is written."""

    def wrong(self, write):
        if isinstance(write.once, MutationKey) and write.ops and write.once.number % 3 == 0:
            return Committed(self.organisations[write.org_id].head.version)
        return right(self, write)

    return wrong


def entry_skipped_between_pages(right):
    """A page that ends early gives a token that is one version too far."""

    def wrong(token, log, batch):
        page = right(token, log, batch)
        position = page.token.position
        if position.version < log.through:
            further = replace(position, version=position.version + 1)
            page.token = replace(page.token, position=further)
        return page

    return wrong


def number_not_kept(right):
    """The write is durable and the mutation's number is not."""

    def wrong(self, org, write, rows, version):
        right(self, org, structs.replace(write, once=None), rows, version)

    return wrong


def tombstones_left_out(right):
    """Deletes are not told."""

    def wrong(token, log, batch):
        entries = [each for each in log.entries if '"action":"delete"' not in each.change]
        return right(token, replace(log, entries=entries), batch)

    return wrong


def purge_forgotten(_):
    """Rows that the user may not see any more stay on the device."""
    return lambda *_: None


def overlay_not_rebuilt(_):
    """The view keeps showing what was written, not what became of it."""
    return lambda *_: None


def merge_takes_mine(_):
    """Nothing is ever a conflict."""
    return lambda _collection, _stored, before, wanted, _base: Merged({**before, **wanted}, ())


def merge_takes_theirs(right):
    """Where two changed a field the first one stays, and the second is told it was applied."""

    def wrong(collection, stored, before, wanted, base):
        outcome = right(collection, stored, before, wanted, base)
        return outcome if isinstance(outcome, Merged) else Merged(dict(before), ())

    return wrong


def grant_not_checked(_):
    """A pull answers by the roles of five seconds ago."""
    return lambda *_: None


def horizon_not_noted(right):
    """Tombstones are forgotten and the floor stays."""

    def wrong(self, org_id, floor):
        before = self.organisations[org_id].head.floor
        right(self, org_id, floor)
        org = self.organisations[org_id]
        org.head = replace(org.head, floor=before)

    return wrong


def fill_starts_behind_its_cursor(right):
    """A fill skips a row at the end of each page."""

    def wrong(token, wanted, found):
        filled = right(token, wanted, found)
        if filled.cursor is None:
            return filled
        return replace(filled, cursor=type(filled.cursor)(int=filled.cursor.int + 2**119))

    return wrong


def queue_dropped_on_refetch(right):
    """A device that must start again forgets what was not sent."""

    def wrong(file, held, part, *rest):
        right(file, held, part, *rest)
        if part.must_refetch:
            file.select("delete from mutation where version = 0", ())

    return wrong


def refusal_not_kept(right):
    """A refused write disappears from the device."""

    def wrong(self, name, *values):
        return right(self, "queue_count") if name == "refusal_add" else right(self, name, *values)

    return wrong


def merged_fields_forgotten(right):
    """What an earlier write of the request had merged counts as seen two writes later."""

    def wrong(mutation, below, answer):
        forgotten = None if below is None else replace(below, unseen=frozenset())
        return right(mutation, forgotten, answer)

    return wrong


def chain_broken_by_a_refusal(right):
    """After a refused write, the next one of the row stands on nothing."""

    def wrong(mutation, below, answer):
        return None if answer.status == "rejected" else right(mutation, below, answer)

    return wrong


def seen_rows_forgotten_by_a_second_fill(right):
    """What a write was made on is looked for again in rows that are only half there."""

    def wrong(self, name, *values):
        if name == "queue_keep_seen":
            self.select("update mutation set seen_data = null", ())
        return right(self, name, *values)

    return wrong


def moved_base_of_an_old_epoch(right):
    """A base that an answer has moved still counts as one of the epoch before."""

    def wrong(self, name, rows):
        if name == "queue_rebase":
            sql = "select epoch from mutation where seq = ?"
            rows = [(*row[:3], *self.select(sql, row[2:3]).fetchone()) for row in rows]
        right(self, name, rows)

    return wrong


def answered_row_lost_with_the_epoch(right):
    """What a write was made on is found in pulled rows only, not in answers."""

    def wrong(self, name, *values):
        cursor = right(self, name, *values)
        if name == "queue_keep_seen":
            self.select(
                "update mutation set seen_data = null where seen_data not in"
                " (select data from row r where r.version = mutation.base)",
                (),
            )
        return cursor

    return wrong


def never_tries_again(_):
    """After a failure a device waits for ever."""
    return lambda *_: 1e9


def row_of_another_organisation(right):
    """A row is read by its id alone."""

    async def wrong(self, keys):
        found = await right(self, keys)
        other = {7: 8}
        theirs = await right(self, [(other.get(org, org), n, i) for org, n, i in keys])
        return [
            mine and structs.replace(mine, doc=(their or mine).doc)
            for mine, their in zip(found, theirs, strict=True)
        ]

    return wrong


def token_of_anybody(_):
    """A token opens for whoever sends it."""

    def wrong(self, text, *, org_id, user_id):
        try:
            token = self.inspect(text)
        except TokenUnreadable:
            raise SeraiError(Code.TOKEN_INVALID) from None
        return replace(token, org_id=org_id, user_id=user_id)

    return wrong


def token_that_goes_back(right):
    """A page without news has a token that is one version too low."""

    def wrong(token, log, batch):
        page = right(token, log, batch)
        if log.entries:
            return page
        position = page.token.position
        back = replace(position, version=max(position.version - 1, 0))
        page.token = replace(page.token, position=back)
        return page

    return wrong


def write_torn_apart(right):
    """Of a write of several rows only the first is sent with its version."""

    def wrong(token, log, batch):
        first = {each.version: each for each in reversed(log.entries)}
        return right(token, replace(log, entries=[*reversed(first.values())]), batch)

    return wrong


def deletes_not_remembered(right):
    """A deleted row's id is free again at once."""

    def wrong(self, org, write, rows, version):
        right(self, org, write, rows, version)
        org.gone.clear()

    return wrong


def horizon_not_told(right):
    """The log is read from below the horizon as if all of it were there."""
    return lambda position, head: right(position, replace(head, floor=0))


def replica_that_lags(right):
    """The log is read from a copy that does not have the last write yet."""

    async def wrong(self, *arguments, **named):
        page = await right(self, *arguments, **named)
        if page is None or page.through < page.head.version:
            return page
        version = page.head.version - 1
        entries = [each for each in page.entries if each.version <= version]
        return LogPage(replace(page.head, version=version), entries, version)

    return wrong


def own_write_forgotten_too_early(right):
    """An answered write leaves the view before its row has come."""

    def wrong(file, results, touched, now):
        outcome = right(file, results, touched, now)
        for each in file.collections():
            apply._forget_passed(file, each.number, 10**9, touched)
        return outcome

    return wrong


def money_as_a_fraction(right):
    """An amount passes through a float."""

    def wrong(collection, stored, before, wanted, base):
        outcome = right(collection, stored, before, wanted, base)
        row = outcome.row if isinstance(outcome, Merged) else None
        price = None if row is None else row.get("amount_minor")
        if row is not None and isinstance(price, int):
            fraction: Any = float(price)
            return Merged({**row, "amount_minor": fraction}, outcome.fields)
        return outcome

    return wrong


def till_read_from_a_cache(right):
    """A rule counts on a row as it was, under the version that the row has now."""
    seen: dict[Any, str] = {}

    async def wrong(self, keys):
        found = await right(self, keys)
        return [
            row and structs.replace(row, doc=seen.setdefault(key, row.doc)) if key[1] == 4 else row
            for key, row in zip(keys, found, strict=True)
        ]

    return wrong


BUGS = [
    Bug(apply, "_take_part", page_without_token, "I8"),
    Bug(MemoryStore, "_commit_one", acknowledged_and_not_written, "I3"),
    Bug(pull, "_deliver_log", entry_skipped_between_pages, "I8"),
    Bug(MemoryStore, "_keep", number_not_kept, "I4"),
    Bug(pull, "_deliver_log", tombstones_left_out, "I8"),
    Bug(apply, "_purge", purge_forgotten, "I6"),
    Bug(apply, "reflect", overlay_not_rebuilt, "I1"),
    Bug(decide, "merge_update", merge_takes_mine, "I4"),
    Bug(decide, "merge_update", merge_takes_theirs, "I4"),
    Bug(pull, "_check_grant", grant_not_checked, "I6"),
    Bug(MemoryStore, "prune", horizon_not_noted, "I8"),
    Bug(pull, "_filled", fill_starts_behind_its_cursor, "I8"),
    Bug(apply, "_take_part", queue_dropped_on_refetch, "I3"),
    Bug(DeviceFile, "run", refusal_not_kept, "I3"),
    Bug(push, "_stand", merged_fields_forgotten, "I4", 280),
    Bug(push, "_stand", chain_broken_by_a_refusal, "I4", 80),
    Bug(DeviceFile, "run", seen_rows_forgotten_by_a_second_fill, "I4", 80),
    Bug(DeviceFile, "run_many", moved_base_of_an_old_epoch, "I4"),
    Bug(DeviceFile, "run", answered_row_lost_with_the_epoch, "I4", 80),
    Bug(engine, "retry_wait", never_tries_again, "I2"),
    Bug(MemoryStore, "read", row_of_another_organisation, "I5"),
    Bug(TokenSealer, "open", token_of_anybody, "I7"),
    Bug(pull, "_deliver_log", token_that_goes_back, "I7"),
    Bug(pull, "_deliver_log", write_torn_apart, "I9"),
    Bug(MemoryStore, "_keep", deletes_not_remembered, "I10"),
    Bug(pull, "why_refetch", horizon_not_told, "I10"),
    Bug(MemoryStore, "log_page", replica_that_lags, "I11"),
    Bug(apply, "take_results", own_write_forgotten_too_early, "I11"),
    Bug(decide, "merge_update", money_as_a_fraction, "I14"),
    Bug(MemoryStore, "read", till_read_from_a_cache, "I14"),
]


def test_each_promise_that_is_simulated_has_a_defect_that_it_finds():
    assert {bug.breaks for bug in BUGS} == {
        *("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I14")
    }
    assert len(BUGS) >= 15


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.make.__name__)
def test_a_defect_is_found_within_a_few_seeds(bug):
    assert_found(bug)
