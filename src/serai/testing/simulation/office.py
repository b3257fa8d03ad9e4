"""Everybody who does not use a device: they write through the server, and change who may see what.

Owns the writes of the office: several rows of several collections in one transaction, changes of
roles, the horizon of the log. Promises that a write whose answer was lost is sent again under
its key until there is one, as a caller of the API does. Never reads what a device holds.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from random import Random
from uuid import UUID

from serai.core.errors import SeraiError
from serai.core.token import Position
from serai.log.intent import RowIntent, WriteIntent
from serai.model.fields import Value
from serai.model.rules import Op
from serai.ports.store import IdempotencyKey
from serai.testing.simulation.callers import ORG
from serai.testing.simulation.history import History
from serai.testing.simulation.hotel import HOTEL, till_of
from serai.testing.simulation.server import Server
from serai.testing.simulation.trace import Trace

PLACES = (UUID(int=0x1000), UUID(int=0x2000))
_USER = UUID(int=0xF)
_ROLES = ("manager", "manager", "manager", "desk", "cleaner")
_GIVEN_UP = (
    *("referenced", "not_found", "not_unique", "reference_missing", "row_gone", "rule"),
    "property_transferred",
)
"""What the office may be told: its row was changed or deleted by a device meanwhile."""
_TRIES_MAX = 1_000
_EMPTY: dict[str, Value] = {"payments": 0, "taken_minor": 0, "taken_currency": "EUR"}
Wish = tuple[str, Op, UUID, dict[str, Value]]


class Root:
    """An actor who may do anything."""

    user_id = _USER

    def may(self, collection: str, action: str, scope: UUID) -> bool:
        """Allow it."""
        del collection, action, scope
        return True

    def roles(self, scope: UUID) -> frozenset[str]:
        """Return the owner's role."""
        del scope
        return frozenset({"owner"})


class Office:
    """The office of one run."""

    def __init__(
        self,
        server: Server,
        history: History,
        trace: Trace,
        random: Random,
        places: tuple[UUID, ...] = PLACES,
    ) -> None:
        """Sit down. `places`: where it writes; the first of a buyer is its own, the others may
        come.
        """
        self._places = places
        self._server, self._org = server, history.org_id
        self._history = history
        self._trace = trace
        self._random = random
        self._keys = 0
        self.wrote: Callable[[Position], None] = _untold
        self._lost: list[tuple[UUID, dict[str, Value]]] = []
        self._open: set[asyncio.Task[None]] = set()

    async def furnish(self, users: list[UUID]) -> None:
        """Make the places, and give each user a role."""
        for place in self._places[: len(PLACES) if self._org == ORG else 1]:
            await self.write(("properties", "insert", place, {"name": "a"}))
            await self.write(("tills", "insert", till_of(place), {**_at(place), **_EMPTY}))
        for user in users:
            await self.write(self._membership(user))
        guests = [self._new("guests", None) for _ in range(2)]
        await self.write(*guests)
        for _ in range(self._random.randrange(12)):
            await self.write(self._new("stays", guests[0][2]))

    def start(self, *wishes: Wish) -> None:
        """Write in the background."""
        if wishes:
            task = asyncio.get_running_loop().create_task(self.write(*wishes))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def finished(self) -> None:
        """Wait for the writes in the background."""
        while self._open:
            await asyncio.wait(self._open)

    async def write(self, *wishes: Wish) -> None:
        """Write the rows in one transaction, and try until it is known what became of it."""
        self._keys += 1
        key = f"office-{self._keys}" if self._org == ORG else f"buyer-{self._keys}"
        rows = tuple(
            RowIntent(HOTEL.by_name[name], op, row_id, _whole(name, op, fields))
            for name, op, row_id, fields in wishes
        )
        names = " ".join(f"{op} {name} {row_id.int % 10_000}" for name, op, row_id, _ in wishes)
        self._trace.note("office", f"{key}: {names}")
        intent = WriteIntent(
            org_id=self._org,
            actor=Root(),
            rows=rows,
            once=IdempotencyKey(_USER, key),
            body_hash=hashlib.sha256(key.encode()).digest(),
        )
        for _ in range(_TRIES_MAX):
            if self._trace.broken:
                return
            try:
                answer = await self._server.write(intent)
            except SeraiError as error:
                if error.retry_after_seconds is None and error.code.kind.status < 500:
                    known = error.code.text in _GIVEN_UP
                    self._trace.require(known, f"{key} is refused: {error}")
                    return
                answer = None
            if answer is not None:
                times = self._history.done.get(intent.once, 0)
                due = times == 1 or (times == 0 and intent.once in self._history.lost)
                self._trace.require(due, f"I4: {key} happened {times} times")
                if answer.epoch:
                    # A repeated answer does not say under which epoch its write was.
                    self.wrote(Position(answer.epoch, answer.version))
                return
            await asyncio.sleep(0.5)
        self._trace.require(promise=False, message=f"I2: {key} never had an answer")

    # What it might do

    def act(self) -> None:
        """Do something ordinary."""
        match self._random.randrange(5):
            case 0 | 1:
                self.start(*[self._new("stays", None) for _ in range(self._random.randint(1, 4))])
            case 2:
                # Rows of several channels in one transaction: they become visible together.
                self.start(*self._updates("stays", 2), *self._updates("guests", 1))
            case 3:
                self.start(*self._updates("keys", 1), self._new("pay", None))
            case _:
                self.start(*self._deletes(self._random.choice(("stays", "keys", "guests"))))

    def grant(self, user: UUID) -> None:
        """Change where a user may see what: take it, give it back, give more, change the role."""
        held = [(i, doc) for i, doc in self._live("memberships") if doc["user_id"] == str(user)]
        lost = [fields for whose, fields in self._lost if whose == user]
        kind = self._random.randrange(4)
        if kind == 0 and held:
            row_id, fields = self._random.choice(held)
            self._trace.fault("office", "grant_lost")
            self._lost.append((user, fields))
            self.start(("memberships", "delete", row_id, {}))
        elif kind == 1 and held:
            self._trace.fault("office", "role_changed")
            role = self._random.choice(_ROLES)
            self.start(("memberships", "update", self._random.choice(held)[0], {"role": role}))
        elif kind == 2 and lost:
            self._trace.fault("office", "grant_regained")
            self.start(("memberships", "insert", self._id(), self._random.choice(lost)))
        else:
            self._trace.fault("office", "grant_given")
            self.start(self._membership(user))

    def forget(self) -> None:
        """Let the horizon pass: the log so far is gone."""
        if self._server.takes_writes(self._org):
            version = self._history.version
            self._trace.fault("store", "horizon", f"up to {version}")
            self._server.store(self._org).prune(self._org, version)

    def restore(self) -> None:
        """Restore from a copy of this moment: nothing is lost, the epoch rises."""
        if self._server.takes_writes(self._org):
            epoch = self._server.home(self._org).head.epoch
            self._server.restore()
            if self._server.home(self._org).head.epoch > epoch:
                self._history.restored.append(self._history.version)
                self._trace.fault("store", "restore", f"epoch {epoch + 1}")

    def age(self) -> None:
        """Let the days pass after which replies are forgotten: of a mutation its hash is left."""
        if self._server.takes_writes(self._org) and self._server.forget_replies(self._org):
            self._trace.fault("store", "replies_forgotten")

    def _membership(self, user: UUID) -> Wish:
        place = self._random.choice((*self._places, None))
        fields: dict[str, Value] = {
            "user_id": str(user),
            "role": self._random.choice(_ROLES),
            "property_id": None if place is None else str(place),
        }
        return ("memberships", "insert", self._id(), fields)

    def _new(self, name: str, guest: UUID | None) -> Wish:
        word = self._random.choice("abc")
        place = _at(self._random.choice(self._places))
        fields: dict[str, dict[str, Value]] = {
            "guests": {"name": word},
            "stays": {**place, "room": word, "paid": 0, "guest_id": guest and str(guest)},
            "pay": {**place, "person": word, "monthly_minor": 1, "monthly_currency": "EUR"},
        }
        return (name, "insert", self._id(), fields[name])

    def _updates(self, name: str, most: int) -> list[Wish]:
        field = {"stays": "room", "guests": "note", "keys": "holder"}[name]
        rows = [row_id for row_id, _ in self._live(name)]
        if self._random.random() < 0.5:
            rows = rows[:most]
        chosen = self._random.sample(rows, min(most, len(rows)))
        word = self._random.choice("defg")
        return [(name, "update", row_id, {field: word}) for row_id in chosen]

    def _deletes(self, name: str) -> list[Wish]:
        rows = [row_id for row_id, _ in self._live(name)]
        return [(name, "delete", self._random.choice(rows), {})] if rows else []

    def _live(self, name: str) -> list[tuple[UUID, dict[str, Value]]]:
        number = HOTEL.by_name[name].number
        live = self._history.live_at(self._history.version)
        return sorted(
            (row_id, change.doc or {}) for (n, row_id), change in live.items() if n == number
        )

    def _id(self) -> UUID:
        return UUID(int=self._random.getrandbits(120))


def _untold(_: Position) -> None:
    """Tell nobody of a write."""


def _at(place: UUID) -> dict[str, Value]:
    return {"property_id": str(place)}


def _whole(name: str, op: Op, fields: dict[str, Value]) -> dict[str, Value]:
    """Return the row in declared order, as validation would leave it."""
    if op != "insert":
        return fields
    return {each: fields.get(each) for each in HOTEL.by_name[name].fields}
