"""Every named statement that runs against a shard or the directory, with real arguments.

Owns the list. Promises that it is complete: the names are read from the `.sql` files of the
product, and one without arguments here fails a test. Never judges what a statement read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import serai
from integration.centre.full import (
    DEVICE,
    KEY,
    ORG,
    PLACE,
    ROW,
    ROWS,
    SESSION,
    TOKEN,
    USED_TOKEN,
    USER,
)
from integration.centre.statements_of_restores import RESTORE_ON_A_SHARD, RESTORED
from serai.core.ids import ALL_SCOPES, uuid7
from serai.shard.queries import load_queries

Arguments = tuple[object, ...] | Mapping[str, object]
_ROOT: Final = Path(serai.__file__).parent
_NOW: Final = datetime.now(UTC)
_EVERY_COLLECTION: Final = 2**62
ELSEWHERE: Final = {
    "serai.client/queries.sql": "of the device's own SQLite file",
    "serai.app/promotion.sql": "of servers as such, and of every organisation of a shard once",
    "serai.app/promotion_moves.sql": "of every move of a shard once",
    "serai.app/replicas.sql": "of servers as such",
    "serai.readers.move/statements.sql": "forms, of which a statement for each table is made",
    "serai.bench/bench.sql": "of tables that a benchmark makes to measure against",
    "serai.bench/directory.sql": "fills a directory that is measured",
    "serai.bench/seed.sql": "fills a shard that is measured",
    "serai.app.transfer/forms.sql": "forms, of which a statement for each link is made",
    "serai.readers.restore/stage.sql": "of tables of a session, beside one by its key",
    "serai.app/report_forms.sql": "forms, of which a statement for each collection is made",
}
BY_WRITES: Final = {
    "serai.log/postgres.sql:commit": "run with whole batches, for each collection of the vertical",
    "serai.app.transfer/ends.sql:arrive": "run with rows, for each collection of the vertical",
}

_RETENTION: Final[dict[str, Arguments]] = {
    "audit_months": (_NOW.date(),),
    "drop_audit_month": (_NOW.date() - timedelta(days=900),),
    "keep_audit_months": (12,),
    "kept_audit_months": (),
}
_FIRST, _SECOND, _LAST = UUID(int=0), UUID(int=1), UUID(int=ROWS)
_LIFE: Final[dict[str, Arguments]] = {
    "lives": (0, 50, _NOW, 100),
    "life": (ORG,),
    "begin_life": (9,),
    "note_life": (ORG, [1], [_NOW], 1, _NOW),
    "fold_log": (ORG, ROWS - 20, ROWS - 10),
    "raise_floor": (ORG, 20),
    "prune_log": (ORG, 20),
    "open_channel": (ORG, 5, ALL_SCOPES),
    "advance_segments": (ORG, ROWS - 20, ROWS, [5, 5], [PLACE, PLACE], [ROW, _LAST], [ROWS, ROWS]),
    "put_blocks": (ORG, 5, PLACE, _FIRST, _SECOND, 1, ROWS, False, [_SECOND], [1], [1], [b""]),
    "log_keys": (ORG, ROWS - 20, 50),
    "channels": (ORG,),
    "rows_up_to": (ORG, 5, PLACE, 50),
    "opened": (ORG, [5, 5], [PLACE, ALL_SCOPES]),
    "stale": (ORG, 8),
    "part_rows": (ORG, 5, ALL_SCOPES, _FIRST, _LAST, 50),
    "segment_blocks": (ORG, 5, PLACE, _SECOND, 20, 10_000),
    "segment_changes": (ORG, ROWS - 20, ROWS, 5, PLACE, _FIRST, ALL_SCOPES, 100),
    "only_keeper": (),
    "thaw_restores": (),
}
_MOVE_ON_A_SHARD: Final[dict[str, Arguments]] = {
    "tables": {},
    "months": {},
    "make_month": {"table": "serai.audit", "month": date(2020, 1, 1)},
    "claim_end": {"orgs": [3, 5], "term": 7, "home": True},
    "change_state": {"orgs": [3, 5], "term": 0, "before": ["active"], "after": "frozen"},
    "sweep": {"orgs": [3, 5], "term": 0, "table": "serai.row"},
    "forget": {"orgs": [3, 5], "term": 0},
    "reopen": {"orgs": [3, 5], "term": 0, "epochs": 1},
    "open_since": {"orgs": [3, 5], "term": 0},
    "rest": {"orgs": [3, 5], "term": 0},
    "states": {"orgs": [3, 5]},
    "heads": {"orgs": [3, 5]},
    "export_snapshot": {},
    "hold_target": {"orgs": [], "term": 0},
    "move_rows": {"orgs": [], "rows": "[]", "gone": "[]"},
    "ready": {"orgs": [], "term": 0, "heads": "[]"},
    "head": {"org": ORG},
    "collections": {"org": 9_998},
}
_OUTLET: Final[dict[str, Arguments]] = {
    "alone": (),
    "switch_on": (),
    "look_through": (3,),
    "due": (5, 50),
    "page": (ORG, 50, 10_000),
    "rows": (ORG, 1, 5, _SECOND, 50, 10_000),
    "note_sent": (ORG, 1, ROWS, None, None, 0, _NOW, False),
    "leave": (ORG,),
    "bus": (),
    "note_bus": ("store", 7),
    "lag": (20,),
    "shard": (),
    "sent_after": (5, 20, 50),
    "rewind": ([3, ORG], 20),
    "switch_off": (),
}
_HELD: Final[dict[str, object]] = {"org": 21, "term": 0, "scope": PLACE}
"""An organisation that holds a property and is frozen."""
_SAID: Final[dict[str, object]] = {"at": _NOW.isoformat(), "author": USER, "collection": 1}
_ARRIVED: Final = {"before": 7, "version": 9, "number": 3, "hash": b""}
_TRANSFER_ON_A_SHARD: Final[dict[str, Arguments]] = {
    "standing": {"org": ORG},
    "claim": {"org": 21, "term": 7},
    "hold": _HELD,
    "turn": _HELD,
    "page": {"org": ORG, "collection": 5, "scope": PLACE, "after": ROW, "limit": 50},
    "count": {"org": ORG, "collection": 5, "scope": USER},
    "rows_of": {"org": ORG, "collection": 5, "ids": [ROW, USER]},
    "buried": {"org": ORG, "collection": 6, "ids": [ROW, USER]},
    "begin_arrival": {"org": ORG},
    "end_arrivals": {"org": ORG},
    "arrived": {**_HELD, **_SAID, **_ARRIVED, "content": ""},
    "departed": {**_HELD, **_SAID, "transfer": 1, "to": ORG, "content": ""},
}
SHARD: Final[dict[str, Arguments]] = {
    "serai.log/postgres.sql:read": ([ORG, ORG], [5, 5], [ROW, uuid7()]),
    "serai.log/postgres.sql:replayed": (ORG, "k77", bytes(32)),
    "serai.log/postgres.sql:heads": ([ORG, 3, 9_998],),
    "serai.log/postgres.sql:log_page": (ORG, ROWS - 5, 60, _EVERY_COLLECTION, [PLACE]),
    "serai.log/postgres.sql:snapshot_page": (ORG, [5, 5], [PLACE, ALL_SCOPES], ROW, 50),
    "serai.log/postgres.sql:refusals": (ORG, 0, 50),
    "serai.log/postgres.sql:refusals_of": (ORG, USER, 0, 50),
    "serai.log/postgres.sql:refusal": (ORG, DEVICE, 1),
    "serai.log/postgres.sql:audit_page": (ORG, 500, 50),
    "serai.log/postgres.sql:audit_list": (ORG, None, None, None, 50),
    "serai.log/postgres.sql:create_org": (9_999,),
    "serai.log/copies.sql:row_since": (ORG, 5, ROW, 1, ROWS - 5),
    "serai.log/copies.sql:snapshot_page_since": (ORG, [5, 5], [PLACE, ALL_SCOPES], ROW, 50, 1, 9),
    "serai.shard/replicas.sql:beat": (250,),
    "serai.shard/replicas.sql:seen": (),
    "serai.shard/room.sql:little_memory": (),
    "serai.shard/room.sql:spill": (),
    "serai.schema/bookkeeping.sql:admit_to_shard": {"name": "pg_monitor"},
    **{f"serai.log/life.sql:{name}": arguments for name, arguments in _LIFE.items()},
    **{f"serai.readers.outlet/outlet.sql:{name}": given for name, given in _OUTLET.items()},
    **{f"serai.readers.move/move.sql:{name}": given for name, given in _MOVE_ON_A_SHARD.items()},
    **{f"serai.app.transfer/ends.sql:{name}": g for name, g in _TRANSFER_ON_A_SHARD.items()},
    "serai.log/departures.sql:departed": (
        *([0, 0, 1], [ORG, ORG, ORG], [6, 6, 5], [ROW, ROW, USER], [PLACE, USER, None]),
    ),
    **RESTORE_ON_A_SHARD,
}
_MOVE: Final[dict[str, Arguments]] = {
    "claim": {"orgs": [3, 5], "to": 2, "actor": "a", "reason": "r", "lease": 15.0},
    "take_over": {"orgs": None, "lease": 15.0, "limit": 50},
    "renew": {"orgs": [3, 5], "term": 1, "lease": 15.0},
    "advance": {"orgs": [3, 5], "term": 1, "before": ["copying"], "after": "undoing"},
    "flip": {"orgs": [], "term": 1},
    "steps": {"orgs": [3, 5], "term": 1},
    "under_way": {"orgs": [3, 5], "limit": 50},
    "homed": {"shard": 1, "percent": 10.0, "after": 5, "limit": 10},
    "count_homed": {"shard": 1, "percent": 10.0},
    "emptiest": {"leaving": 1},
    "transferring": {"orgs": [3, 5]},
    "renew_term": {"orgs": [3, 5], "term": 1, "lease": 15.0},
    "to_sweep": {"grace": 5.0, "away": [], "unsafe": [], "limit": 50},
    "swept": {"orgs": [3, 5], "term": 1},
}
_TRANSFER: Final[dict[str, Arguments]] = {
    "claim": {"property": PLACE, "from": 3, "to": 5, "actor": "a", "reason": "r", "lease": 15.0},
    "busy": {"orgs": [3, 5]},
    "take_over": {"lease": 15.0, "without": [1, 2]},
    "renew": {"transfer": 3, "term": 1, "lease": 15.0},
    "advance": {"transfer": 3, "term": 1, "before": ["done"], "after": "undone", "rows": 1},
    "step": {"transfer": 3, "term": 1},
    "past": {"limit": 50},
    "past_of": {"org": 3, "limit": 50},
}
_DOCTOR_OF_DEVICES: Final[dict[str, Arguments]] = {
    "device": (ORG, DEVICE),
    "refusals": (ORG, DEVICE, 20),
    "refusals_count": (ORG, DEVICE),
    "log_since": (ORG, ROWS - 50, 10_000),
    "signed_in": (DEVICE,),
    "sessions": (ORG, DEVICE, 20),
}
_DOCTOR: Final[dict[str, Arguments]] = {
    "server": (),
    "parameters": {"names": ["max_connections"]},
    "free_numbers": {},
    "partitions": {"table": "serai.reply"},
    "guards": {"role": "pg_monitor", "schemas": ["serai", "hospitality"]},
    "sees": (),
}
_SESSIONS: Final[dict[str, Arguments]] = {
    "open_session": (USER, "h", ORG, DEVICE, _NOW, _NOW + timedelta(days=30)),
    "first_token": (bytes(32), SESSION, _NOW, _NOW + timedelta(days=30)),
    "lock_session_of": (TOKEN,),
    "presented": (USED_TOKEN,),
    "rotate": (SESSION, 3, bytes(32), bytes(32), _NOW, _NOW + timedelta(days=30), 3),
    "choose_organisation": (SESSION, 3),
    "end_session": (SESSION, "reused", _NOW),
    "user_of_token": (TOKEN,),
    "sign_out": (TOKEN, _NOW),
    "open_session_of_identity": (USER, ORG, DEVICE, _NOW, _NOW + timedelta(days=30)),
    "succeed_session": (SESSION, ORG, _NOW, _NOW + timedelta(days=30)),
    "prune_sessions": (_NOW - timedelta(days=1), 50),
}
_PEOPLE: Final[dict[str, Arguments]] = {
    "create_user": ("new@example.com", "New", "h", _NOW),
    "user_of_email": ("77@example.com",),
    "user_of_id": (USER,),
    "set_password": (USER, "n", _NOW),
    "replace_hash": (USER, "h", "n"),
    "password_hash_of": (USER,),
    "replace_password": (USER, "h", "n", _NOW),
    "set_state": (USER, "disabled"),
    "end_sessions_of_user": (USER, "password", _NOW),
    "end_sessions_of_device": (DEVICE, _NOW),
    "add_to_organisation": (USER, 77, _NOW),
    "remove_from_organisation": (USER, ORG),
    "organisations_of": (USER, 200),
    "organisation_named": (USER, None, "o7"),
    "organisation_of_id": (ORG,),
    "register_device": (DEVICE, USER, "phone", _NOW),
    "revoke_device": (DEVICE, _NOW),
}
_EXTERNAL: Final[dict[str, Arguments]] = {
    "use_identity": ("https://id.example.com", "1", _NOW),
    "link_identity": ("https://id.example.com", "new", USER, _NOW, _NOW),
    "user_of_identity": ("https://id.example.com", "1"),
    "identities_of_user": (USER,),
    "lock_user": (USER,),
    "unlink_identities": (USER,),
    "create_user": ("new@example.com", "New", _NOW),
    "use_token": (bytes(32), _NOW),
    "forget_tokens": (_NOW - timedelta(days=1), 50),
}
_KEYS: Final[dict[str, Arguments]] = {
    "read_signing_keys": (),
    "ensure_signing_key": (b"", _NOW),
    "rotate_signing_key": (b"", _NOW),
    "retire_signing_keys": (2, _NOW),
}
_API_KEYS: Final[dict[str, Arguments]] = {
    "create_api_key": (uuid7(), bytes(32), ORG, "key", "[]", USER, _NOW, None, 100),
    "list_api_keys": (ORG, 50),
    "revoke_api_key": (ORG, KEY, _NOW),
    "api_key": (KEY,),
    "api_key_used": (KEY, _NOW),
}
_PLACEMENT: Final[dict[str, Arguments]] = {
    "version": (),
    "changes": (ROWS - 50, 100),
    "shards": (),
    "addresses": (),
    "replicas": (),
    "replica_addresses": (),
    "ranges": (),
    "overrides": (),
    "org_by_key": ("o77",),
    "organisations": (50,),
    "create_organisation": ("new", "New", USER),
    "who_and_why": ("ana", "because"),
    "add_shard": ("three", "postgresql://three"),
    "shard_by_name": ("one",),
    "set_shard_state": (1, "closed"),
    "add_range": (2, 2_000_000, 3_000_000),
    "range_exists": (1, 1, 1_000_000),
    "set_override": (5, 2),
    "clear_override": (500,),
    "secrets": ("token",),
    "first_secret": ("token", b""),
    "next_secret": ("token", b""),
    "retire_secret": ("token", 1),
}
_SHARD_FACTS: Final[dict[str, Arguments]] = {
    "shards": {},
    "load": {"shard_id": 1},
    "ranges": {},
    "history": {"limit": 50},
    "known": {"after": ROWS - 100, "limit": 50},
    "known_count": {},
    "name_of": {"org_id": 77},
    "size": {},
    "read_only": {},
    "used": {},
    "present": {"org_ids": [3, ORG, 12]},
    "here": {"after": 4, "limit": 3},
}
_REPORT: Final[dict[str, Arguments]] = {
    "bounded": {"limit": "10000ms"},
    "not_active": {},
    "keys": {"org_ids": [3, ORG, 12]},
}
_ENROL: Final[dict[str, Arguments]] = {
    "add_replica": (1, "one-a", "postgresql://one-a"),
    "remove_replica": (1, "one-a"),
    "new_primary": (1, "postgresql://one-b"),
    "forget_replicas": (1,),
    "give_back": ([3, 5], 1, "a", "r"),
}
_SERVING: Final = frozenset(
    {
        "version",
        "changes",
        "addresses",
        "replica_addresses",
        "ranges",
        "overrides",
        "org_by_key",
        "secrets",
    }
)
_BOOKS: Final[dict[str, Arguments]] = {
    "create": {},
    "exists": {},
    "state": {"kind": "directory"},
    "applied": {"kind": "directory"},
    "record": {
        "kind": "directory",
        "file": "9999_x.pre.sql",
        "sha256": b"",
        "duration_ms": 1,
        "version": 9999,
        "compat": 1,
    },
    "generated": {},
    "record_generated": {"name": "x", "kind": "table", "sha256": b"", "drop_sql": None},
    "forget_generated": {"names": ["x"]},
    "settings": {},
    "lock_timeout": {"lock_timeout": "2s"},
    "try_lock": {"key": 1},
    "try_lock_in_transaction": {"key": 1},
    "lock_holder": {"key": 1},
    "invalid_indexes": {},
    "shards": {},
    "fleet_role": {},
    "first_fleet_role": {"name": "serai_request", "password": "x"},
    "role_exists": {"name": "serai_request"},
    "admit_to_directory": {"name": "pg_monitor"},
    "powers": {},
}


_ACTS: Final[dict[str, Arguments]] = {"note_act": ("off", '{"shard": "a"}')}


def _in(file: str, cases: Mapping[str, Arguments]) -> dict[str, Arguments]:
    return {f"{file}:{name}": arguments for name, arguments in cases.items()}


DIRECTORY: Final[dict[str, Arguments]] = {
    **_in("serai.readers.move/move.sql", _MOVE),
    **_in("serai.app.transfer/records.sql", _TRANSFER),
    **_in("serai.gate/sessions.sql", _SESSIONS),
    **_in("serai.gate/people.sql", _PEOPLE),
    **_in("serai.gate/external.sql", _EXTERNAL),
    **_in("serai.gate/keys.sql", _KEYS),
    **_in("serai.gate/api_keys.sql", _API_KEYS),
    **_in("serai.gate/mirror.sql", {"sessions_ended": (_NOW - timedelta(minutes=1),)}),
    **_in("serai.shard/directory.sql", _PLACEMENT),
    **_in("serai.shard/enrol.sql", _ENROL),
    **_in("serai.app/shard_facts.sql", _SHARD_FACTS),
    **_in("serai.app/report.sql", _REPORT),
    **_in("serai.app/outlet_care.sql", _ACTS),
    **_in("serai.app/ending.sql", {"moves_left": (60.0,)}),
    **_in("serai.app/restoring.sql", RESTORED),
    **_in("serai.app/exporting.sql", {"people": {"org": 77}}),
    **_in("serai.schema/bookkeeping.sql", _BOOKS),
    **_in("serai.app/retention.sql", _RETENTION),
    **_in("serai.app.doctor/explain.sql", _DOCTOR_OF_DEVICES),
    **_in("serai.app.doctor/installation.sql", _DOCTOR),
}
OWNER: Final = frozenset(
    {
        *_in("serai.app/outlet_care.sql", _ACTS),
        *_in("serai.app/retention.sql", _RETENTION),
        *_in("serai.readers.outlet/outlet.sql", _OUTLET),
        *_in("serai.gate/people.sql", dict.fromkeys(("create_user", "set_state"), ())),
        "serai.gate/people.sql:remove_from_organisation",
        "serai.gate/people.sql:revoke_device",
        *_in("serai.shard/enrol.sql", _ENROL),
        *_in("serai.gate/external.sql", dict.fromkeys(("lock_user", "unlink_identities"), ())),
        *_in("serai.gate/keys.sql", {n: a for n, a in _KEYS.items() if n != "read_signing_keys"}),
        *_in(
            "serai.shard/directory.sql", {n: a for n, a in _PLACEMENT.items() if n not in _SERVING}
        ),
    }
)
"""What commands do, as the owner; everything else is done as the role that serves requests."""
WHOLE: Final = {
    "serai.shard/directory.sql:overrides": "a process reads the placement once, and then changes",
    "serai.app/shard_facts.sql:known_count": "a bar of progress asks once",
    "serai.app/shard_facts.sql:used": "asks for any row at all",
    "serai.app/shard_facts.sql:present": "five organisations are quicker read than looked up",
    "serai.app/shard_facts.sql:here": "as `present`; pages of thousands in order of the key",
    "serai.app/report.sql:not_active": "as `present`; few, by an index of their own",
    "serai.readers.move/move.sql:make_month": "made once; what waits for a month is looked for",
    "serai.app.transfer/ends.sql:count": "tells once how many rows of a property there are",
    "serai.readers.move/move.sql:count_homed": "a run tells once of how many it is",
}
"""Statements that are meant to read a table whole."""
SMALL: Final = {
    "serai_directory.shard": "a row for each shard",
    "serai.retention": "one row",
    "serai.restore_hold": "a row for each restore under way",
    "serai_directory.replica": "a row or a few for each shard",
    "serai_directory.org_range": "a row or a few for each shard",
    "serai_directory.shard_moved": "a row for each shard",
    "serai_directory.version": "one row",
    "serai_directory.request_role": "one row",
    "serai_schema.state": "two rows",
    "serai_schema.applied": "a row for each file of the schema",
    "serai_schema.generated": "a row for each object of the vertical",
}
"""Tables that do not grow with organisations, users or rows."""


def named_statements() -> dict[str, str]:
    """Return every statement of the product's `.sql` files that has a name: `file:name` -> SQL."""
    found: dict[str, str] = {}
    for path in sorted(_ROOT.rglob("*.sql")):
        if "-- name:" not in path.read_text("utf-8"):
            continue
        package = ".".join(path.parent.relative_to(_ROOT.parent).parts)
        file = f"{package}/{path.name}"
        if file not in ELSEWHERE:
            found |= {
                f"{file}:{name}": text for name, text in load_queries(package, path.name).items()
            }
    return found
