"""What a simulation must have reached: every fault that it can make, every branch of the protocol.

Owns the two lists. Promises that they are complete both ways: `Trace` refuses a fault or a branch
that is not listed, and a set of seeds in which a listed one never occurred has not shown what it
claims, so it fails with the names. The client's transitions come from its own tables. Never counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serai.client.states import CLIENT, COLLECTION, Event, Fill, Page, State

SEEDS_MIN: Final = 300
"""So many seeds reach everything. Fewer are for looking at something, and only say what they
missed."""

FAULTS: Final = frozenset(
    {
        "clock_jump_device_back",
        "clock_jump_device_forward",
        "clock_jump_server_back",
        "clock_jump_server_forward",
        "crash_answered",
        "crash_arrived",
        "crash_between",
        "crash_handled",
        "crash_sent",
        "cut",
        "delay",
        "duplicate",
        "forged_altered",
        "forged_colleague",
        "forged_neighbour",
        "grant_lost",
        "grant_regained",
        "grant_given",
        "horizon",
        "lose_doorbell",
        "lose_reply",
        "lose_request",
        "network_lost",
        "reordered",
        "replies_forgotten",
        "restart_between",
        "restart_commit_after",
        "restart_commit_before",
        "restart_read",
        "restart_upkeep_after",
        "restart_upkeep_before",
        "restore",
        "role_changed",
        "server_gone",
        "signed_out",
        "slow",
        "store_after",
        "store_before",
    }
)
FLEET_FAULTS: Final = frozenset(
    {
        "cut_api_directory",
        "cut_api_replica",
        "cut_api_shard",
        "cut_mover_directory",
        "cut_mover_shard",
        "directory_down",
        "lose_placement_bell",
        "mover_cut_after",
        "mover_cut_before",
        "mover_interrupted",
        "mover_killed",
        "mover_stalled",
        "primary_lost",
        "promotion_lossy",
        "promotion_planned",
        "promotion_synchronous",
        "replica_lags",
        "replica_stuck",
        *(f"seller_{what}" for what in ("cut_after", "cut_before", "interrupted", "killed")),
        "seller_stalled",
    }
)
"""Of runs with several shards."""
_CALLS: Final = (
    *("advance_moved", "advance_undoing", "advance_undone", "change_active", "change_frozen"),
    *("change_moved", "changes", "claim", "complete", "copied", "copy", "flip", "hold", "renew"),
    *("open_since", "rest", "transferring"),
    *("snapshot", "states", "sweep", "swept", "take", "take_over", "to_sweep"),
    "under_way",
)
"""Of a mover, at each of which it may be killed."""
SELLING: Final = (
    *("advance_decided", "advance_done", "advance_undoing", "advance_undone", "arrive", "arrived"),
    *("begin_arrival", "buried", "change_active", "change_frozen", "claim", "commit", "count"),
    *("departed", "end_arrivals", "grants", "hold", "out_of_place", "page"),
    *("referred", "renew", "rows_of", "standing", "step", "take_over", "turn"),
)
"""Of a seller."""
_OFTEN: Final = ("buried", "claim", "end_arrivals", "hold", "out_of_place", "renew", "rows_of")
"""Of these: calls that every transfer makes, at each of which seeds must have killed one."""
_KILLED: Final = frozenset(f"mover_killed_at_{call}" for call in _CALLS)
_SELDOM: Final = ("make_months", "months", "renew_term", "reopen", "step")
"""Calls that are made in one move of many, or take no time."""
FLEET_BRANCHES: Final = _KILLED | frozenset(
    {
        "arrival_lost",
        "arrived",
        "breaker_closes",
        "breaker_opens",
        "brought_back",
        "call_hangs",
        "directory_away",
        "error_org_frozen",
        "error_org_moved",
        "fenced_off",
        "error_property_held",
        "property_arrived",
        "refused_transferred",
        "seller_cut_off",
        *(f"seller_killed_at_{call}" for call in _OFTEN),
        *(f"transfer_{what}" for what in ("busy", "done", "failed", "finished")),
        "transfer_undone",
        "tail_lost",
        "move_busy",
        "mover_cut_off",
        "move_ended",
        "move_moved",
        "move_stuck",
        "move_swept",
        "move_turn_lost",
        "move_undone",
        "read_min_version",
        "read_primary_behind",
        "read_primary_failed",
        "read_primary_none",
        "read_replica",
        "read_waited",
        "start_waits",
    }
)
_ANSWERS: Final = frozenset(
    {
        "applied",
        "blocks",
        "blocks_behind",
        "channel_gained",
        "channel_lost",
        "conflict",
        "dismissed",
        "error_deadline",
        "error_must_refetch",
        "error_token_invalid",
        "error_unauthenticated",
        "error_unavailable",
        "failed_not_unique",
        "failed_referenced",
        "failed_row_gone",
        "fenced",
        "fill",
        "folded",
        "gap",
        "late_answer",
        "merged",
        "must_refetch",
        "not_modified",
        "page_of_log",
        "paid",
        "pruned",
        "rejected",
        "replayed",
        "replayed_answer",
        "retried",
        "sealed",
        "stale",
        "tombstone",
    }
)
SEEDS_FOR_LUCK: Final = 3_000
LUCK: Final = _KILLED | frozenset(
    {
        "arrival_lost",
        "brought_back",
        *(f"seller_killed_at_{call}" for call in _OFTEN),
        "transfer_finished",
        "move_stuck",
        "read_primary_failed",
        "read_waited",
        "tail_lost",
        "breaker_closes",
        "breaker_opens",
        "error_org_moved",
        "client_halted_close",
        "client_offline_close",
        "client_open_close",
        "client_open_network_lost",
        "client_probing_close",
        "client_probing_done",
        "client_probing_network_lost",
        "client_probing_refused",
    }
)
"""Need two things at one moment: only `SEEDS_FOR_LUCK` seeds must have met them."""
RARE: Final = frozenset(
    {
        "answer_of_lost",
        "error_contended",
        "error_mutation_gap",
        "failed_reference_missing",
        *(f"mover_killed_at_{call}" for call in _SELDOM),
        *(f"seller_killed_at_{call}" for call in SELLING if call not in _OFTEN),
        "transfer_refused",
        "transfer_stuck",
        "transfer_turn_lost",
    }
)
"""May occur, and need more luck than that: nothing is concluded from their absence."""


def client_branch(state: State, event: Event) -> str:
    """Return the name of a line of the client's table."""
    return f"client_{state.value}_{event.value}"


def collection_branch(fill: Fill, page: Page) -> str:
    """Return the name of a line of the table of collections."""
    return f"collection_{fill.value}_{page.value}"


BRANCHES: Final = (
    _ANSWERS
    | {client_branch(*pair) for pair in CLIENT}
    | {collection_branch(*pair) for pair in COLLECTION}
)


def never_hit(counts: Mapping[str, int], seeds: int) -> list[str]:
    """Return the faults and branches that should have occurred in so many seeds, and did not."""
    branches = BRANCHES | FLEET_BRANCHES
    branches = branches if seeds >= SEEDS_FOR_LUCK else branches - LUCK
    wanted = {f"fault:{name}" for name in FAULTS | FLEET_FAULTS}
    wanted |= {f"branch:{name}" for name in branches}
    return sorted(name for name in wanted if not counts.get(name))
