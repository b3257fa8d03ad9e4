"""A program that starts workers on a leash and can be killed.

Usage: leashed.py METHOD KERNEL KIND. METHOD: how workers are started, `fork` or `spawn`; KERNEL:
`kernel` to let it tell of a death, `pipe` for a system that has no such thing; KIND of the
workers: `plain`; `deaf`, which hears no SIGTERM; `starting`, which is deaf as well and does not
serve yet; `late`, which takes the leash after a byte on its input. Each worker writes its process
number on a line.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys

from serai.app import leash as leashes
from serai.app.leash import Leash

WORKERS = 2


def work(leash: Leash, kernel: str, kind: str) -> None:
    leashes.LINUX = kernel == "kernel"
    if kind in ("deaf", "starting"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind == "late":
        os.write(1, f"{os.getpid()}\n".encode())
        # multiprocessing gives its children no input: this one was kept for them.
        os.read(int(os.environ["ORDERS"]), 1)
    leash.follow()
    if kind != "starting":
        leash.serving()
    if kind != "late":
        os.write(1, f"{os.getpid()}\n".encode())
    while True:
        signal.pause()


def main(method: str, kernel: str, kind: str) -> None:
    leash = Leash(stop_seconds=2.0 if kind == "deaf" else 60.0)
    forked, spawned = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
    process = forked.Process if method == "fork" else spawned.Process
    for _ in range(WORKERS):
        process(target=work, args=(leash, kernel, kind)).start()
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
