"""`protocol/SPEC.md`, section 10, and the forms of live frames say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from serai.core import live_limits
from serai.wire.live import ClientFrame, Hello, PullReason, Refresh, Seen, ServerFrame

SPEC = (Path(__file__).parents[3] / "protocol" / "SPEC.md").read_text(encoding="utf-8")
LIVE = SPEC.split("## 10. Live", 1)[1]


def rows(heading: str) -> dict[str, set[str]]:
    """frame -> its members, of the table under a heading."""
    section = LIVE.split(f"### {heading}\n", 1)[1].split("\n#", 1)[0]
    found = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, flags=re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", members)) for name, members in found}


def members(form: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(form)}


def forms(union: object) -> dict[str, set[str]]:
    return {form.__struct_config__.tag: members(form) for form in get_args(union)}


def example(name: str) -> bytes:
    return LIVE.split(f"Example: {name}\n\n```json\n")[1].split("```")[0].encode()


def test_what_the_server_says_is_what_the_page_says() -> None:
    changes = set(json.loads(example("Changes"))) - {"type"}
    assert rows("What the server says") == {**forms(ServerFrame), "changes": changes}


def test_what_a_client_says_is_what_the_page_says() -> None:
    assert rows("What the client says later") == {
        "seen": members(Seen),
        "refresh": members(Refresh),
    }
    hello = msgspec.json.decode(example("Hello"), type=ClientFrame)
    assert isinstance(hello, Hello)
    assert set(json.loads(example("Hello"))) - {"type"} == members(Hello)


def test_every_reason_to_pull_is_explained() -> None:
    told = LIVE.split("Reasons of `pull`:", 1)[1].split("###", 1)[0]
    assert set(re.findall(r"`(\w+)` \(", told)) == set(get_args(PullReason))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("at most 8,192 bytes from the client", live_limits.LIVE_CLIENT_FRAME_BYTES_MAX),
        ("10 seconds", int(live_limits.LIVE_HELLO_SECONDS_MAX)),
        ("100 frames; 500 at most", live_limits.LIVE_CREDIT_MAX),
        ("(500 at most)", live_limits.LIVE_CREDIT_STEP_MAX),
    ],
)
def test_limits_are_those_of_the_code(text: str, limit: int) -> None:
    assert " ".join(text.split()) in " ".join(LIVE.split())
    assert f"{limit:,}" in text
