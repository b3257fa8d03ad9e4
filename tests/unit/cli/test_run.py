"""How a command ends: in words, with a status that tells, and never with somebody's password."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from cyclopts import App
from rich.console import Console

from serai.app.settings import SettingsError
from serai.cli import run as ends
from serai.cli.run import CommandFailed, guarded, print_json, run
from serai.core.errors import Code, SeraiError
from serai.embedded.postgres import EmbeddedPostgresError
from serai.schema.errors import SchemaError
from serai.shard.connection import ValueRefused


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What people read."""
    screen = io.StringIO()
    shown = Console(
        file=screen, width=40, soft_wrap=True, markup=False, highlight=False, emoji=False
    )
    monkeypatch.setattr(ends, "console", shown)
    return screen


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """Return a function that runs a command to its end and returns its status."""

    def end(command: Callable[[], object]) -> int:
        app = App(name="serai")
        app.command(command, name="it")
        monkeypatch.setattr(sys, "argv", ["serai", "it"])
        try:
            return guarded(app)
        except SystemExit as ended:
            # How the library that reads the command line ends an interrupted command.
            return int(str(ended.code))

    return end


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CommandFailed("There is no house. Build one."), "There is no house. Build one."),
        (SettingsError("SERAI_PORT is wrong."), "SERAI_PORT is wrong."),
        (SchemaError("It is old", "Migrate it."), "It is old. Migrate it."),
        (EmbeddedPostgresError("It did not start."), "It did not start."),
        (
            SeraiError(Code.FIELDS_INVALID, errors=(("email", "is not an e-mail address"),)),
            "Fields are not valid: email is not an e-mail address.",
        ),
        (
            SeraiError(Code.NOT_FOUND, "There is no organisation 'x'."),
            "There is no organisation 'x'.",
        ),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "a.csv No such file"),
        (OSError("cannot listen on 127.0.0.1:80"), "cannot listen on 127.0.0.1:80"),
        (psycopg.OperationalError("connection refused"), "Check SERAI_DIRECTORY_URL."),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute"), "takes no writes"),
        (psycopg.errors.UndefinedFunction("function serai.x() does not exist"), "`serai migrate`"),
        (psycopg.errors.UndefinedTable('relation "serai.x" does not exist'), "`serai migrate`"),
        (psycopg.DataError("bigint out of range\nLINE 1"), "takes: bigint out of range."),
        (ValueRefused("value out of int64 range"), "takes: value out of int64 range."),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), "takes: 'utf-8' codec can't encode"),
        (
            SeraiError(Code.NOT_UNIQUE, errors=(("code", "Another has the same code."),)),
            "code Another has the same code.\n",
        ),
    ],
)
def test_a_known_failure_is_one_line_with_status_1(
    error: Exception, words: str, said: io.StringIO, ending: Callable[..., int]
) -> None:
    def command() -> None:
        raise error

    assert ending(command) == 1
    text = said.getvalue()
    assert text.startswith("serai: ")
    assert words in text
    assert text.count("\n") == 1
    assert "Traceback" not in text


def test_an_unknown_failure_is_not_hidden(ending: Callable[..., int]) -> None:
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ending(command)


@pytest.mark.parametrize("text", ["[red]a[/red].csv", ":smile: @ [b]", "x " * 100])
def test_a_name_is_shown_as_it_is_and_a_long_line_can_be_copied_whole(
    text: str, said: io.StringIO, ending: Callable[..., int]
) -> None:
    def command() -> None:
        raise CommandFailed(text)

    assert ending(command) == 1
    assert said.getvalue() == f"serai: {text}\n"


@pytest.mark.parametrize(("result", "status"), [(0, 0), (3, 3), (None, 0)])
def test_the_status_is_the_commands(
    result: int | None, status: int, ending: Callable[..., int]
) -> None:
    assert ending(lambda: result) == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_closes_what_is_open_and_ends_with_130(
    number: signal.Signals, ending: Callable[..., int]
) -> None:
    closed: list[str] = []

    async def work() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            closed.append("yes")
        return 0

    assert ending(lambda: run(work())) == 130
    assert closed == ["yes"]


def test_a_reader_that_left_is_no_failure_to_talk_about(
    said: io.StringIO, ending: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert ending(lambda: print_json({"a": 1})) == 141
    assert said.getvalue() == ""


def test_json_is_one_line_that_every_terminal_takes(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"file": "a\nb\udcff", "name": "Zoë"})
    assert capsys.readouterr().out == '{"file": "a\\nb\\udcff", "name": "Zo\\u00eb"}\n'


@pytest.mark.parametrize("library", ["cyclopts", "rich", "uvloop"])
def test_an_interrupt_while_libraries_are_loaded_is_one_line_and_130(
    library: str, tmp_path: Path
) -> None:
    # In the place of a library, one that is interrupted while it is loaded.
    (tmp_path / f"{library}.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)"
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("serai")), "settings"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "serai: interrupted\n")
