"""`serai dev` and `serai serve` as their users meet them: they answer, say where, stop when told,
refuse a port that is taken, and leave nothing.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import urllib.request
from pathlib import Path

import psycopg
import pytest

from integration.abandoned import abandoned
from integration.app.programs import Shell, wait_for_end, wait_for_end_of_all
from serai.app.serving import free_address
from serai.embedded.ports import free_port

IDLE_BYTES_MAX = 250 * 2**20
"""Of the Python processes together, as published."""


def answer(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as reply:  # noqa: S310 - the server under test
        return reply.status


@pytest.fixture
def lone(tmp_path: Path) -> Shell:
    """A shell that knows no database, on a machine where Serai's port is free."""
    return Shell(tmp_path, {"SERAI_PORT": str(free_port())})


def test_dev_answers_says_where_stops_when_told_and_keeps_the_data(lone: Shell) -> None:
    before = abandoned()
    for made in (True, False):
        with lone.started("dev", "--data-dir", str(lone.home / "data")) as dev:
            url = dev.until("API:").split()[1]
            shown = dev.until("SERAI_DIRECTORY_URL=")
            dev.until("Ctrl-C stops it.")
            assert url == f"http://127.0.0.1:{lone.variables['SERAI_PORT']}"
            assert answer(f"{url}/readyz") == answer(f"{url}/docs") == 200
            family = dev.family()
            pythons = [p for p in family if "python" in Path(p.exe()).name]
            assert len(pythons) == 2
            assert sum(p.memory_info().rss for p in pythons) <= IDLE_BYTES_MAX
            directory = shown.split("'")[1]
            listed = lone.ok("org", "list", "--json", SERAI_DIRECTORY_URL=directory).json
            assert [o["key"] for o in listed] == ([] if made else ["my.hotel"])
            lone.ok("org", "create", "my.hotel", SERAI_DIRECTORY_URL=directory)
            assert dev.stop(signal.SIGTERM) == (130, "")
        wait_for_end(family)
    assert abandoned() <= before


def test_shards_of_a_dev_share_the_organisations_and_are_there_again(lone: Shell) -> None:
    """Asked for three once, started without a word of it later: none of the organisations is
    gone."""
    before = abandoned()
    keys = [f"inn.{letter}" for letter in "abcdef"]
    homes = []
    for words in (("--shards", "3"), ()):
        with lone.started("dev", "--data-dir", str(lone.home / "data"), *words) as dev:
            assert dev.until("shards:") == "shards: shard-1, shard-2, shard-3\n"
            directory = dev.until("SERAI_DIRECTORY_URL=").split("'")[1]
            dev.until("Ctrl-C stops it.")
            family = dev.family()
            assert len(dev.postgres()) == 3
            if words:
                for key in keys:
                    lone.ok("org", "create", key, SERAI_DIRECTORY_URL=directory)
            listed = lone.ok("org", "list", "--json", SERAI_DIRECTORY_URL=directory).json
            homes.append({o["key"]: o["shard"] for o in listed})
            assert dev.stop(signal.SIGTERM) == (130, "")
        wait_for_end(family)
    assert homes[0] == homes[1]
    assert sorted(homes[0]) == keys
    assert sorted(homes[0].values()) == [
        "shard-1",
        "shard-1",
        "shard-2",
        "shard-2",
        "shard-3",
        "shard-3",
    ]
    assert abandoned() <= before


def test_replicas_of_a_dev_stream_and_are_there_again(lone: Shell) -> None:
    data = ("--data-dir", str(lone.home / "data"))
    for words in (("--shards", "2", "--replicas", "1"), ()):
        with lone.started("dev", *data, *words) as dev:
            assert dev.until("streaming") == "each shard has 1 streaming replica\n"
            url = dev.until("SERAI_DIRECTORY_URL").split("'")[1]
            with psycopg.connect(url) as directory:
                found = directory.execute(
                    "SELECT s.name, r.name, r.url FROM serai_directory.replica r"
                    " JOIN serai_directory.shard s USING (shard_id) ORDER BY 1, 2"
                ).fetchall()
            assert [row[:2] for row in found] == [("shard-1", "copy-1"), ("shard-2", "copy-1")]
            for _, _, replica in found:
                with psycopg.connect(replica) as copy:
                    follows = copy.execute("SELECT pg_is_in_recovery()").fetchone()
                    assert follows == (True,)


def test_a_dev_says_which_shard_died_and_ends_when_the_directory_does(lone: Shell) -> None:
    with lone.started("dev", "--data-dir", str(lone.home / "data"), "--shards", "2") as dev:
        dev.until("Ctrl-C stops it.")
        servers = {folder.parent.name: server for folder, server in dev.postgres().items()}
        servers["shard-2"].kill()
        dev.until("PostgreSQL of shard-2 has ended by itself")
        assert answer(f"http://127.0.0.1:{lone.variables['SERAI_PORT']}/readyz") == 200
        servers["data"].kill()
        dev.until("PostgreSQL of the directory ended by itself")
        assert dev.process.wait(120) == 1


def test_shards_of_a_postgresql_that_runs_already_are_not_started(shell: Shell) -> None:
    done = shell.run("dev", "--shards", "2", SERAI_PORT=str(free_port()))
    assert done.status == 1
    assert "serai shard add" in done.err


def test_tokens_of_a_dev_on_a_port_of_its_own_name_that_port(lone: Shell) -> None:
    port = str(free_port())
    with lone.started("dev", "--ephemeral", "--port", port) as dev:
        directory = dev.until("SERAI_DIRECTORY_URL=").split("'")[1]
        dev.until("Ctrl-C stops it.")
        words = ("org", "create", "inn", "--owner", "ana@example.com", "--json")
        password = lone.ok(*words, SERAI_DIRECTORY_URL=directory).json["password"]
        form = json.dumps({"email": "ana@example.com", "password": password}).encode()
        url = f"http://127.0.0.1:{port}"
        asked = urllib.request.Request(  # noqa: S310 - the server under test
            f"{url}/v1/auth/token", form, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=30) as reply:  # noqa: S310 - the server under test
            token = json.load(reply)["accessToken"]
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert (claims["iss"], claims["aud"]) == (url, url)
        assert dev.stop(signal.SIGINT) == (130, "")


def test_the_command_that_dev_shows_can_be_copied_whole(lone: Shell) -> None:
    with lone.started("dev", "--ephemeral") as dev:
        line = dev.until("serai org create")
        assert line.startswith("  SERAI_DIRECTORY_URL='postgresql://")
        assert line.endswith("serai org create my.hotel --owner you@example.com\n")
        assert dev.stop(signal.SIGINT) == (130, "")


def test_a_second_dev_on_the_same_data_names_the_process_that_has_it(lone: Shell) -> None:
    data = str(lone.home / "data")
    with lone.started("dev", "--data-dir", data) as dev:
        dev.until("Ctrl-C stops it.")
        second = lone.run("dev", "--data-dir", data, SERAI_PORT=str(free_port()))
        assert second.status == 1
        assert f"process {dev.process.pid} " in second.err
        assert answer(f"http://127.0.0.1:{lone.variables['SERAI_PORT']}/readyz") == 200


@pytest.mark.parametrize(
    "stage", ["starting PostgreSQL", "bringing the schema", "starting the API"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_dev_that_ends_while_it_starts_leaves_nothing(
    stage: str, number: signal.Signals, lone: Shell
) -> None:
    before = abandoned()
    with lone.started("dev", "--ephemeral") as dev:
        dev.until(stage)
        status, _ = dev.stop(number)
        assert status == (130 if number is signal.SIGINT else -signal.SIGKILL)
        assert "Traceback" not in "".join(dev.heard)
    wait_for_end_of_all(lone)
    # Between its folder and its supervisor nobody is left to remove the folder of a killed process;
    # the next start does (`embedded/test_deaths.py`).
    if number is signal.SIGINT:
        assert abandoned() <= before


@pytest.mark.parametrize("command", ["dev", "demo", "serve"])
def test_a_port_that_is_taken_is_told_and_nothing_is_started(
    command: str, shell: Shell, lone: Shell
) -> None:
    chosen = shell if command == "serve" else lone
    with socket.socket() as taken:
        # As Serai's own server listens: the kernel would let a second one in.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = chosen.run(command, "--port", port)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"serai: cannot listen on 127.0.0.1:{port}: Address already in use.")
    assert "--port" in done.err


def test_an_address_of_another_machine_is_told(shell: Shell) -> None:
    done = shell.run("serve", "--host", "192.0.2.1", "--port", str(free_port()))
    assert done.status == 1
    assert "cannot listen on 192.0.2.1:" in done.err


def test_serve_takes_a_name_answers_and_stops_with_its_workers(shell: Shell) -> None:
    port = free_port()
    with shell.started("serve", "--host", "localhost", "--port", str(port), "--workers", "2") as on:
        on.until("Serai listens on")
        waiting(port)
        assert answer(f"http://localhost:{port}/readyz") == 200
        family = on.family()
        assert len(family) >= 3
        status, _ = on.stop(signal.SIGTERM)
        assert status == 0
    wait_for_end(family)


def test_a_serve_that_is_killed_takes_its_workers_along_and_frees_the_port(shell: Shell) -> None:
    port = free_port()
    with shell.started("serve", "--port", str(port), "--workers", "2") as on:
        on.until("Serai listens on")
        waiting(port)
        assert answer(f"http://127.0.0.1:{port}/readyz") == 200
        family = on.family()
        assert len(family) >= 3
        on.process.kill()
        wait_for_end(family)
    assert free_address("127.0.0.1", port) == "127.0.0.1"


def test_a_serve_that_is_killed_while_its_workers_start_leaves_none(shell: Shell) -> None:
    with shell.started("serve", "--port", str(free_port()), "--workers", "2") as on:
        on.until("Spawning worker-2")
        on.process.kill()
        wait_for_end_of_all(shell)


def test_workers_have_the_settings_that_flags_chose(shell: Shell) -> None:
    port = free_port()
    with shell.started("serve", "--port", str(port), SERAI_PORT=str(free_port())) as on:
        on.until("Serai listens on")
        waiting(port)
        assert answer(f"http://127.0.0.1:{port}/readyz") == 200
        assert on.stop(signal.SIGTERM)[0] == 0


def waiting(port: int) -> None:
    """Wait until somebody listens on the port."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        os.sched_yield()
