"""The directory in memory: where organisations live, and the records of moves and transfers.

Owns the simplest code that gives the guarantees of `serai.readers.move.records` and of the tables
of placement: lists that are gone through. Each call is one transaction. Never looks at a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager

from serai.adapters.memory.kept import KeptMove, KeptTransfer
from serai.readers.move import Claim, LostTurn, OldCopy, Step
from serai.readers.move.records import BATCH_MAX, LEASE_SECONDS
from serai.shard.placement import ShardRef


def _nobody() -> None:
    """Let nobody hear of a change."""


class MemoryDirectory:
    """Placement and moves.

    Args:
        shards: of the fleet. ranges: (first, one past the last, shard id).
        now: seconds of the directory's clock.

    Attributes:
        changes: (version, subject, organisation or None, shard or None), oldest first.
        moves, transfers: all that ever were.
        rung: is called after each change of placement.
    """

    def __init__(
        self,
        shards: Iterable[ShardRef],
        ranges: Sequence[tuple[int, int, int]],
        now: Callable[[], float],
    ) -> None:
        """Start at version 1."""
        self.shards = {ref.id: ref for ref in shards}
        self.ranges = list(ranges)
        self.overrides: dict[int, int] = {}
        self.version = 1
        self.changes: list[tuple[int, str, int | None, int | None]] = []
        self.moves: list[KeptMove] = []
        self.transfers: list[KeptTransfer] = []
        self.now = now
        self.terms = 0
        self.rung: Callable[[], None] = _nobody

    def home(self, org_id: int) -> int:
        """Return the shard of an organisation."""
        return self.overrides.get(org_id, self._range(org_id))

    def _range(self, org_id: int) -> int:
        return next(shard for first, stop, shard in self.ranges if first <= org_id < stop)

    @contextmanager
    def together(self) -> Generator[None]:
        """Let nobody see some changes before the last one is made."""
        rung, self.rung = self.rung, _nobody
        try:
            yield
        finally:
            self.rung = rung
            rung()

    def last_flip(self, org_id: int) -> KeptMove | None:
        """Return the move that made an organisation's home what it is."""
        flips = (Step.FLIPPED, Step.MOVED)
        moves = [move for move in self.moves if move.org_id == org_id and move.step in flips]
        return moves[-1] if moves else None

    def place(self, org_id: int, shard: int) -> None:
        """Let an organisation live on a shard from now on."""
        if shard == self._range(org_id):
            self.overrides.pop(org_id, None)
            self._changed("org_override", org_id, None)
        else:
            self.overrides[org_id] = shard
            self._changed("org_override", org_id, shard)

    def change_shard(self, ref: ShardRef) -> None:
        """Let a shard have another address, or other replicas."""
        self.shards[ref.id] = ref
        self._changed("shard", None, ref.id)

    def draw(self) -> int:
        """Return a term that nobody had."""
        self.terms += 1
        return self.terms

    def transferring(self, orgs: Iterable[int]) -> list[int]:
        """Return which of these take part in a transfer that has not ended."""
        found = [each for each in self.transfers if each.under_way]
        return [org for org in orgs if any(org in (t.from_org, t.to_org) for t in found)]

    def _changed(self, subject: str, org_id: int | None, shard: int | None) -> None:
        self.version += 1
        self.changes.append((self.version, subject, org_id, shard))
        self.rung()


class MemoryRecords:
    """The record of moves of a directory in memory; see `serai.readers.move.records`."""

    def __init__(self, directory: MemoryDirectory, *, lease_seconds: float = LEASE_SECONDS) -> None:
        """Keep the directory."""
        self._directory = directory
        self._lease = lease_seconds

    def claim(self, orgs: Sequence[int], target: int, *, actor: str, reason: str) -> list[Claim]:
        """Begin the moves of those that are not at the target and that nobody moves."""
        del reason
        directory = self._directory
        term = directory.draw()
        busy = {move.org_id for move in directory.moves if move.under_way}
        busy |= {*directory.transferring(orgs)}
        homes: dict[int, list[int]] = {}
        for org in sorted(set(orgs) - busy):
            if directory.home(org) != target:
                homes.setdefault(directory.home(org), []).append(org)
        for source, found in homes.items():
            directory.moves += [
                KeptMove(org, source, target, term, self._until(), actor, first_term=term)
                for org in found
            ]
        return [Claim(tuple(found), source, target, term) for source, found in homes.items()]

    def take_over(self, orgs: Sequence[int] | None = None) -> list[Claim]:
        """Take over moves whose mover has given no sign of life."""
        lapsed = [
            move
            for move in self._directory.moves
            if move.under_way
            and move.lease_until < self._directory.now()
            and (orgs is None or move.org_id in orgs)
        ][:BATCH_MAX]
        term = self._directory.draw()
        for move in lapsed:
            move.term, move.lease_until = term, self._until()
        return _alike(lapsed)

    def seize(self, shard: int) -> set[int]:
        """Take every move from or to a shard from its mover; return whose they are. None of them
        may flip any more.
        """
        term = self._directory.draw()
        found = [
            move
            for move in self._directory.moves
            if move.under_way and shard in (move.source, move.target)
        ]
        for move in found:
            move.term, move.lease_until = term, float("-inf")
            move.step = Step.UNDOING if move.step is Step.COPYING else move.step
        return {move.org_id for move in found}

    def give_back(self, orgs: Sequence[int], shard: int, *, actor: str) -> None:
        """Place organisations that a shard has lost where a copy was kept, and order it opened."""
        term = self._directory.draw()
        for org_id in orgs:
            for move in self._directory.moves:
                if move.org_id == org_id and move.under_way:
                    move.step = Step.MOVED if move.step is Step.FLIPPED else Step.UNDONE
                    move.ended_at = self._directory.now()
            last = self._directory.last_flip(org_id)
            if last is None or last.target != shard:
                continue
            if last.returns:
                last.step, last.term, last.lease_until = Step.FLIPPED, term, float("-inf")
                last.swept, last.ended_at = False, None
            elif not last.swept:
                back = KeptMove(org_id, shard, last.source, term, float("-inf"), actor)
                back.step, back.first_term, back.returns = Step.FLIPPED, term, True
                self._directory.moves.append(back)
                self._directory.place(org_id, back.target)

    def renew_term(self, claim: Claim, orgs: Sequence[int]) -> list[Claim]:
        """Draw a new term for some of the moves of a claim."""
        found = [move for move in self._of(claim) if move.under_way and move.org_id in orgs]
        term = self._directory.draw()
        for move in found:
            move.term, move.lease_until = term, self._until()
        return _alike(found)

    def renew(self, claim: Claim) -> None:
        """Give a sign of life."""
        for move in self._of(claim):
            if move.under_way:
                move.lease_until = self._until()

    def flip(self, claim: Claim) -> None:
        """Make the target the home."""
        moves = [move for move in self._of(claim) if move.step is Step.COPYING]
        if len(moves) != len(claim.orgs):
            raise LostTurn(claim.term)
        for move in moves:
            move.step = Step.FLIPPED
            self._directory.place(move.org_id, move.target)

    def advance(self, claim: Claim, before: Sequence[Step], after: Step) -> None:
        """Take the moves one step further."""
        moves = [move for move in self._of(claim) if move.step in before]
        for move in moves:
            move.step = after
            if not move.under_way:
                move.ended_at = self._directory.now()
        if len(moves) != len(claim.orgs):
            raise LostTurn(claim.term)

    def step(self, claim: Claim) -> Step:
        """Return where the moves are."""
        steps = {move.step for move in self._of(claim)}
        if len(steps) != 1:
            raise LostTurn(claim.term)
        return steps.pop()

    def under_way(
        self, orgs: Sequence[int] | None = None, *, limit: int = BATCH_MAX
    ) -> list[tuple[int, Step, int, int, str, bool]]:
        """Return (organisation, step, source, target, who, given up) of moves without an end."""
        now = self._directory.now()
        return [
            (move.org_id, move.step, move.source, move.target, move.actor, move.lease_until < now)
            for move in self._directory.moves
            if move.under_way and (orgs is None or move.org_id in orgs)
        ][:limit]

    def transferring(self, orgs: Sequence[int]) -> list[int]:
        """Return which of these take part in a transfer."""
        return self._directory.transferring(orgs)

    def to_sweep(
        self, grace_seconds: float, *, away: Sequence[int] = (), unsafe: Sequence[int] = ()
    ) -> list[OldCopy]:
        """Return copies of moves that ended so long ago, each by itself."""
        directory = self._directory
        before = directory.now() - grace_seconds
        found: list[OldCopy] = []
        for move in directory.moves:
            due = move.step is Step.MOVED and not move.swept and (move.ended_at or 0.0) < before
            last = directory.last_flip(move.org_id)
            if not due or last is None or last.step is not Step.MOVED:
                continue
            if move.source not in away and last.target not in unsafe:
                ref = directory.shards[last.target]
                claim = Claim((move.org_id,), move.source, 0, move.term, Step.MOVED)
                servers = (ref.url, *(each.url for each in ref.replicas))
                found.append(OldCopy(claim, last.target, last.first_term, servers))
        return found

    def swept(self, claim: Claim) -> None:
        """Note that the old copy is gone."""
        for move in self._of(claim):
            if move.step is Step.MOVED:
                move.swept = True

    def _of(self, claim: Claim) -> list[KeptMove]:
        return [
            move
            for move in self._directory.moves
            if move.org_id in claim.orgs and move.term == claim.term
        ]

    def _until(self) -> float:
        return self._directory.now() + self._lease


def _alike(moves: Iterable[KeptMove]) -> list[Claim]:
    """Return a claim for each set of moves that go together."""
    found: dict[tuple[int, int, int, Step, bool], list[int]] = {}
    for move in moves:
        kind = (move.source, move.target, move.term, move.step, move.returns)
        found.setdefault(kind, []).append(move.org_id)
    return [
        Claim(tuple(sorted(orgs)), source, target, term, step, returns)
        for (source, target, term, step, returns), orgs in found.items()
    ]
