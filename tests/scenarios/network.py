"""Places with a network of their own, and the lines between them, which can be cut.

Owns network namespaces, one a place, and one that routes between them. Promises that a cut drops
every packet between two places in silence, as a failed switch does: connections stay open on both
sides, nobody is told, nothing else is cut; and that all of it is gone with the process, however
that ends. For the namespaces have no name: they are held by open descriptors, and by what runs in
them. Never touches the network that the machine has.

Rejected: named namespaces (`ip netns`), which a killed test leaves behind; a proxy that stops
carrying (`integration.replicas.wire`), whose kernel still acknowledges what was sent; netfilter,
for which the machine would need a program more.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_NEW_NET = 0x40000000
"""CLONE_NEWNET of sched.h."""
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Place:
    """A machine, as far as the network goes. `line`: the descriptor of its namespace."""

    name: str
    line: int
    number: int

    @property
    def address(self) -> str:
        """Where the others reach it."""
        return f"10.9.{self.number}.2"

    @property
    def gate(self) -> str:
        """The router, as seen from here."""
        return f"10.9.{self.number}.1"


class Network:
    """Some places, all of which reach each other. Use `a_network`."""

    def __init__(self, router: int, places: list[Place]) -> None:
        self._router = router
        self._places = {place.name: place for place in places}
        with _inside(router):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
            _ip("link set lo up")
        for place in places:
            self._join(place)

    def __getitem__(self, name: str) -> Place:
        return self._places[name]

    def _join(self, place: Place) -> None:
        port, far = f"to{place.number}", f"/proc/{os.getpid()}/fd/{place.line}"
        with _inside(self._router):
            _ip(
                f"link add {port} type veth peer name line netns {far}",
                f"addr add {place.gate}/24 dev {port}",
                f"link set {port} up",
            )
        with _inside(place.line):
            _ip(
                "link set lo up",
                f"addr add {place.address}/24 dev line",
                "link set line up",
                f"route add default via {place.gate}",
            )

    @contextmanager
    def at(self, name: str) -> Generator[Place]:
        """Be at the place: what this thread connects, listens on and starts is there."""
        place = self._places[name]
        with _inside(place.line):
            yield place

    def cut(self, one: str, other: str) -> None:
        """Drop every packet between the two."""
        self._rules("add", one, other)

    def mend(self, one: str, other: str) -> None:
        """Let packets through again."""
        self._rules("del", one, other)

    def _rules(self, verb: str, one: str, other: str) -> None:
        here, there = self._places[one].address, self._places[other].address
        with _inside(self._router):
            _ip(
                f"rule {verb} pref 100 from {here} to {there} blackhole",
                f"rule {verb} pref 100 from {there} to {here} blackhole",
            )


@contextmanager
def a_network(*names: str) -> Generator[Network]:
    """Make places of these names."""
    with ExitStack() as held:

        def made() -> int:
            line = _new()
            held.callback(os.close, line)
            return line

        yield Network(made(), [Place(name, made(), n) for n, name in enumerate(names, 1)])


def _ip(*lines: str) -> None:
    """Run `ip` where this thread is."""
    text = "\n".join(lines) + "\n"
    subprocess.run(["ip", "-batch", "-"], input=text, text=True, check=True)


def _new() -> int:
    """Return the descriptor of a new namespace. A thread makes it, for who makes one is in it."""
    found: list[int] = []

    def make() -> None:
        if _libc.unshare(_NEW_NET) == 0:
            found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    assert found, "no network namespace could be made: root may, with CAP_SYS_ADMIN"
    return found[0]


@contextmanager
def _inside(line: int) -> Generator[None]:
    """Put this thread, and what it starts, into a namespace."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(line)
        try:
            yield
        finally:
            _enter(back)
    finally:
        os.close(back)


def _enter(line: int) -> None:
    if _libc.setns(line, _NEW_NET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
