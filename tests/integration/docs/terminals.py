"""Terminals into which a page's commands are typed.

Owns bash processes, one for each terminal of a page, and what they print. Promises that variables
and the folder last from block to block, that a command which stays is ended with its terminal, and
that a placeholder such as `<password>` in an output is the text that stood there, wherever the page
uses it again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from guards.fences import Block

_DONE = "--- the block has ended with status"
_PART = re.compile(r"(<[a-z][a-zA-Z ]*>|\.\.\.)")


@dataclass
class Terminal:
    """One bash; its output and errors are one stream, as on a screen."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._type("trap 'failed=$?' ERR; failed=0")

    def run(self, text: str) -> tuple[int, str]:
        """Run a block to its end; return (status of the last command that failed, output)."""
        self._source(text)
        self._type(f'echo "{_DONE} $failed"; failed=0')
        heard: list[str] = []
        while not (line := self._line()).startswith(_DONE):
            heard.append(line)
        return int(line.rpartition(" ")[2]), "".join(heard)

    def stay(self, text: str, shown: Shown) -> str:
        """Start a block that stays; return what it printed when all that is shown was there."""
        self._source(text)
        heard = ""
        while shown.begins(heard) is None:
            heard += self._line(heard)
        return heard

    def close(self) -> None:
        """End everything that was started here, as Ctrl-C and a closed window do."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.communicate()

    def _source(self, text: str) -> None:
        script = self.folder / ".block.sh"
        script.write_text(text, encoding="utf-8")
        # A command that reads its input must not eat the rest of the page.
        self._type(f"source {script} < /dev/null")

    def _type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def _line(self, heard: str = "") -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the terminal has ended: {heard}"
        return line


@dataclass(frozen=True)
class Shown:
    """An output as a page shows it: `...` is anything, as a line or in a line; `<name>` is a text
    that the reader's own output has there.
    """

    text: str

    def begins(self, heard: str) -> dict[str, str] | None:
        """Return what stands at the placeholders if `heard` begins as shown, else None."""
        return self._found(re.match(self._pattern(), heard))

    def matches(self, heard: str) -> dict[str, str] | None:
        """Return what stands at the placeholders if `heard` is as shown, else None."""
        return self._found(re.fullmatch(self._pattern(), heard))

    def _found(self, match: re.Match[str] | None) -> dict[str, str] | None:
        if match is None:
            return None
        names = [name for name in _PART.findall(self.text) if name != "..."]
        return dict(zip(names, match.groups(), strict=True))

    def _pattern(self) -> str:
        return "".join(
            r"(?:.*\n)*?" if line.strip() == "..." else f"{self._line(line)}\n"
            for line in self.text.splitlines()
        )

    def _line(self, line: str) -> str:
        parts = [
            ".*?" if part == "..." else "(.+?)" if _PART.fullmatch(part) else re.escape(part)
            for part in _PART.split(line)
        ]
        return "".join(parts)


@dataclass
class Reader:
    """Somebody who follows a page from its first block to its last.

    Attributes:
        folder: where files are written and commands run.
        environment: of every terminal.
        given: text of the page -> what stands for it here, such as a port or a database's URL.
        last: the terminal in which a block without a title is typed.
    """

    folder: Path
    environment: dict[str, str]
    given: dict[str, str]
    terminals: dict[str, Terminal] = field(default_factory=dict)
    last: str = ""

    def follow(self, name: str, blocks: list[Block]) -> None:
        """Do what the page says; fail with the line of the block that does not do as it says."""
        for block in blocks:
            where = f"{name}:{block.line}"
            if block.shown_by is not None:
                continue
            if block.language == "sh":
                self._command(where, block)
            elif block.title:
                (self.folder / block.title).write_text(self._own(block.text), encoding="utf-8")

    def close(self) -> None:
        for terminal in self.terminals.values():
            terminal.close()

    def _command(self, where: str, block: Block) -> None:
        name = block.title or self.last
        terminal = self.terminals.get(name)
        if terminal is None:
            terminal = self.terminals[name] = Terminal(self.folder, self.environment)
        self.last = name
        shown = Shown(self._own(block.output or ""))
        if block.note == "stays":
            heard = terminal.stay(self._own(block.text), shown)
            found = shown.begins(heard)
        else:
            status, heard = terminal.run(self._own(block.text))
            assert (status != 0) == (block.note == "fails"), f"{where}: status {status}\n{heard}"
            found = {} if block.output is None else shown.matches(heard)
        assert found is not None, f"{where} printed\n{heard}\nand not\n{shown.text}"
        self.given |= found

    def _own(self, text: str) -> str:
        """Return a text of the page as this reader's own."""
        for shown, own in self.given.items():
            text = text.replace(shown, own)
        return text
