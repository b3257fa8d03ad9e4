"""The users of the devices: what they write, where, and how often they want the same row.

Owns the choice. Promises that the world's random numbers decide it. Never writes past the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from uuid import UUID

from serai.client.forms import Value
from serai.testing.simulation.device import Device
from serai.testing.simulation.history import History
from serai.testing.simulation.office import PLACES


class People:
    """The users of one run."""

    def __init__(
        self,
        devices: Sequence[Device],
        history: History,
        random: Random,
        places: Sequence[UUID] = PLACES,
    ) -> None:
        """Take up the devices."""
        self._devices, self._places = devices, places
        self._history = history
        self._random = random

    def somebody_writes(self) -> None:
        device = self._random.choice(self._devices)
        if device.client is None:
            return
        name = self._random.choice(("stays", "stays", "stays", "guests", "keys", "keys", "pay"))
        rows = [row.id for row in device.rows(name)]
        last = device.last_written(name)
        if last is not None and last in rows and self._random.random() < 0.5:
            # People go on with what they were at, so writes build on writes.
            rows = [last]
        elif rows and self._random.random() < 0.4:
            # And many want the same row.
            rows = rows[:1]
        kind = self._random.random()
        gone = self._history.gone(name)
        if kind < 0.04 and gone:
            again = self._random.choice(gone)
            if device.client.get(name, again) is None:
                device.insert(
                    name, self._new(device, name, self._history.scope(name, again)), again
                )
        elif kind < 0.25 or not rows:
            device.insert(name, self._new(device, name))
        elif kind < 0.85:
            device.update(name, self._random.choice(rows), self._change(device, name))
        else:
            device.delete(name, self._random.choice(rows))

    def _new(self, device: Device, name: str, where: UUID | None = None) -> dict[str, Value]:
        word = self._random.choice("abc")
        place = {"property_id": str(where or self._random.choice(self._places))}
        match name:
            case "guests":
                return {"name": word}
            case "stays":
                return {**place, "room": word, "paid": 0, **self._guest(device)}
            case "keys":
                return {**place, "number": self._random.randrange(8)}
            case _:
                return {**place, "person": word, "monthly_minor": 5, "monthly_currency": "EUR"}

    def _change(self, device: Device, name: str) -> dict[str, Value]:
        word = self._random.choice("abcdefg")
        choices: dict[str, tuple[dict[str, Value], ...]] = {
            "guests": ({"name": word}, {"note": word}),
            "stays": (
                {"room": word},
                {"note": word},
                {"room": word, "note": word},
                {"paid": self._random.randrange(3)},
                {"paid": 1, "amount_minor": self._random.randrange(9), "amount_currency": "EUR"},
                {"amount_minor": self._random.randrange(9), "amount_currency": "EUR"},
                self._guest(device),
            ),
            "keys": ({"holder": word}, {"number": self._random.randrange(8)}),
            "pay": ({"monthly_minor": self._random.randrange(9)},),
        }
        return self._random.choice(choices[name])

    def _guest(self, device: Device) -> dict[str, Value]:
        guests = [str(row.id) for row in device.rows("guests")]
        return {"guest_id": self._random.choice([*guests, None])}
