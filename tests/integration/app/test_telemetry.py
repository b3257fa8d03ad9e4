"""`serai serve` from outside: its log lines, /metrics and /top over several workers, and what is
never told.

Owns real processes only. What was counted is known, because the test made every request.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psutil
import pytest

from integration.app.programs import SECONDS, Running, Shell
from serai.embedded.ports import free_port

PASSWORD = "correct horse battery staple 9"
EMAIL = "anna.private@guests.example"
Samples = dict[str, float]


def ask(
    url: str, body: object = None, method: str | None = None, **headers: str
) -> tuple[int, bytes]:
    """Send a request; return status and body."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        named.setdefault("content-type", "application/json")
    request = urllib.request.Request(url, data=data, headers=named, method=method)  # noqa: S310 - the server under test
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:  # noqa: S310 - the server under test
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def eventually(found: Callable[[], Any]) -> Any:
    """Look again and again until what is looked for is there; return it."""
    end = time.monotonic() + SECONDS
    wait = 0.05
    while time.monotonic() < end:
        try:
            result = found()
        except (OSError, KeyError):
            result = None
        if result:
            return result
        time.sleep(wait)
    raise AssertionError(f"it never came: {found}")


class Serving:
    """A running `serai serve`."""

    def __init__(self, running: Running, port: int, metrics_port: int) -> None:
        self.running = running
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}"

    def samples(self) -> Samples:
        text = ask(f"{self.metrics_url}/metrics")[1].decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.running.process.pid).children()

    def end(self) -> str:
        """Stop it; return everything it wrote to standard error."""
        self.running.stop(signal.SIGTERM)
        return "".join(self.running.heard)


@contextmanager
def serving(shell: Shell, workers: int = 2, **more: str) -> Generator[Serving]:
    port, metrics_port = free_port(), free_port()
    variables = {"SERAI_METRICS_PORT": str(metrics_port), "SERAI_LOG_FORMAT": "json", **more}
    words = ("serve", "--port", str(port), "--workers", str(workers))
    with shell.started(*words, **variables) as running:
        found = Serving(running, port, metrics_port)
        try:
            eventually(lambda: ask(f"{found.url}/readyz")[0] == 200)
            yield found
        finally:
            # Told, never killed: workers outlive a parent that is killed.
            if running.process.poll() is None:
                found.end()


def sign_in(serve: Serving, shell: Shell, key: str) -> str:
    made = shell.ok("org", "create", key, "--owner", f"owner@{key}.example", "--json").json
    form = {"email": f"owner@{key}.example", "password": made["password"], "organisation": key}
    status, body = ask(f"{serve.url}/v1/auth/token", form)
    assert status == 200, body
    return json.loads(body)["accessToken"]


def test_workers_are_scraped_as_one_and_a_killed_one_loses_nothing(shell: Shell, key: str) -> None:
    with serving(shell) as serve:
        token = sign_in(serve, shell, key)
        name = 'serai_http_requests_total{operation="me",status="2xx"}'
        for _ in range(20):
            assert ask(f"{serve.url}/v1/me", authorization=f"Bearer {token}")[0] == 200
        eventually(lambda: serve.samples()[name] == 20)
        before = serve.samples()
        assert before["serai_processes"] == 2
        assert before['serai_sign_ins_total{outcome="ok"}'] == 1
        assert before['serai_http_request_duration_seconds_count{operation="me"}'] == 20
        assert before['serai_postgres_connections{database="shard-1",state="free"}'] >= 1
        assert before["process_resident_memory_bytes"] > 1e7
        killed = serve.workers()[0].pid
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: {p.pid for p in serve.workers()}.isdisjoint({killed}))
        eventually(lambda: serve.samples()["serai_processes"] == 2)
        assert serve.samples()[name] == 20
        organisations = json.loads(ask(f"{serve.metrics_url}/top")[1])["requests"]["organisations"]
        assert all(each["at_least"] <= 20 for each in organisations)
        serve.end()


def test_metrics_are_not_on_the_port_of_the_api_and_ask_for_their_token(
    shell: Shell, key: str
) -> None:
    secret = "a-token-of-metrics-0123"
    with serving(shell, 1, SERAI_METRICS_TOKEN=secret) as serve:
        assert ask(f"{serve.url}/metrics")[0] == 404
        for path in ("/metrics", "/top"):
            assert ask(serve.metrics_url + path)[0] == 401
            assert ask(serve.metrics_url + path, authorization="Bearer wrong")[0] == 401
            assert ask(serve.metrics_url + path, authorization=f"Bearer {secret}")[0] == 200
        assert ask(f"{serve.metrics_url}/x", authorization=f"Bearer {secret}")[0] == 404
        assert secret not in serve.end()


def test_a_network_sees_no_metrics_without_a_token(shell: Shell) -> None:
    done = shell.run("serve", SERAI_METRICS_HOST="0.0.0.0", SERAI_METRICS_PORT="9999")  # noqa: S104 - what is refused
    assert done.status == 1
    assert "set SERAI_METRICS_TOKEN" in done.err


def test_a_port_of_metrics_that_is_taken_is_said_in_words(shell: Shell) -> None:
    with serving(shell, 1) as serve:
        taken = serve.metrics_url.rpartition(":")[2]
        done = shell.run("serve", "--port", str(free_port()), SERAI_METRICS_PORT=taken)
        assert done.status == 1
        assert "SERAI_METRICS_PORT" in done.err


def test_what_clients_send_in_secret_never_reaches_a_log_line(shell: Shell, key: str) -> None:
    with serving(shell, 1, SERAI_LOG_LEVEL="debug") as serve:
        token = sign_in(serve, shell, key)
        bearer = f"Bearer {token}"
        row_id = str(uuid4())
        secrets = [PASSWORD, EMAIL, token, row_id, "guest-name-Zephyrine", "srr_" + "x" * 43]
        ask(f"{serve.url}/v1/auth/token", {"email": EMAIL, "password": PASSWORD})
        ask(f"{serve.url}/v1/auth/refresh", {"refreshToken": secrets[5]})
        ask(f"{serve.url}/v1/me?token={token}&email={EMAIL}", authorization=bearer)
        ask(f"{serve.url}/v1/guests/{row_id}", authorization=bearer)
        ask(f"{serve.url}/{EMAIL}/{token}", authorization=bearer)
        ask(f"{serve.url}/v1/guests", {"full_name": "guest-name-Zephyrine"}, authorization=bearer)
        ask(f"{serve.url}/v1/guests", {"x": PASSWORD}, authorization=f"Bearer {PASSWORD}")
        ask(f"{serve.url}/v1/me", method="SPELL", authorization=bearer)
        ask(f"{serve.url}/v1/me", x_request_id=f"{EMAIL} {PASSWORD}", authorization=bearer)
        told = serve.end()
    for secret in secrets:
        assert secret not in told
    assert "@" not in told.replace("Serai listens", "")


def test_each_request_is_one_json_line_with_its_id_and_its_caller(shell: Shell, key: str) -> None:
    with serving(shell, 1) as serve:
        token = sign_in(serve, shell, key)
        bearer = f"Bearer {token}"
        form = {"collections": [{"name": "guests"}]}
        pulled = ask(
            f"{serve.url}/v1/sync/changes", form, x_request_id="pull-1", authorization=bearer
        )
        assert pulled[0] == 200
        ask(f"{serve.url}/v1/guests/{uuid4()}", x_request_id="miss-1", authorization=bearer)
        me = json.loads(ask(f"{serve.url}/v1/me", authorization=bearer)[1])
        told = serve.end().splitlines()
    lines = [json.loads(line) for line in told if line.startswith("{")]
    assert len(lines) == len(told) - 1  # the first line is for a person
    by_id = {line.get("request_id"): line for line in lines if line["event"] == "request"}
    pull, miss = by_id["pull-1"], by_id["miss-1"]
    assert (pull["method"], pull["path"], pull["status"]) == ("POST", "/v1/sync/changes", 200)
    assert (pull["org_id"], pull["user_id"]) == (me["organisation"]["id"], me["id"])
    assert pull["bytes_in"] == len(json.dumps(form))
    assert pull["bytes_out"] == len(pulled[1])
    assert (miss["path"], miss["status"], miss["code"]) == ("/v1/guests/{id}", 404, "not_found")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", pull["time"])


def test_traces_without_opentelemetrys_receiver_hold_nothing_up(shell: Shell, key: str) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with serving(shell, 1, SERAI_TRACES="true", OTEL_EXPORTER_OTLP_ENDPOINT=nowhere) as serve:
        token = sign_in(serve, shell, key)
        assert ask(f"{serve.url}/v1/me", authorization=f"Bearer {token}")[0] == 200
        serve.end()
    assert serve.running.process.returncode == 0


@pytest.mark.parametrize("words", [("settings",), ("settings", "--json")], ids=" ".join)
def test_settings_do_not_show_the_token_of_metrics(shell: Shell, words: tuple[str, ...]) -> None:
    secret = "a-token-of-metrics-0123"
    assert secret not in shell.ok(*words, SERAI_METRICS_TOKEN=secret).out
