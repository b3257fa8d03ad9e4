"""Guards on the project as a whole: what the core may import, and that the lock is complete.

import-linter holds the order of the packages; it cannot say "nothing but the standard library, and
of that nothing that does I/O", so this file does.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

from guards.tree import ROOT, Finding, project_files, report

# The core is arithmetic on values: the simulation runs it in virtual time, without a machine.
_IO = {"asyncio", "http", "multiprocessing", "select", "shutil", "signal", "socket", "sqlite3"}
_MORE_IO = {"ssl", "subprocess", "tempfile", "threading", "urllib"}
_LOCKED = re.compile(r"^([a-z0-9_.-]+)(?:\[[^\]]*\])?==\S+.*\\\n\s+--hash=sha256:", re.MULTILINE)


def foreign_imports(path: Path) -> list[Finding]:
    """Imports of the core that are not its own and not pure standard library."""
    findings: list[Finding] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [n.name for n in names]
            case ast.ImportFrom(module=module):
                modules = [module or "."]
            case _:
                continue
        for module in modules:
            top = module.split(".")[0]
            own = module == "serai.core" or module.startswith("serai.core.")
            if not own and (top not in sys.stdlib_module_names or top in _IO | _MORE_IO):
                advice = "serai.core imports the pure standard library only; do this a layer up"
                findings.append(Finding(path, node.lineno, f"{module}: {advice}"))
    return findings


def unlocked(pyproject: str, lock: str) -> list[str]:
    """Dependencies that requirements.lock does not hold with a version and a hash."""
    declared = tomllib.loads(pyproject)
    wanted = [*declared["project"]["dependencies"], *declared["dependency-groups"]["dev"]]
    names = {re.split(r"[^A-Za-z0-9_.-]", w, maxsplit=1)[0].lower() for w in wanted}
    locked = set(_LOCKED.findall(lock))
    return sorted(n for n in names if n not in locked and not n.startswith("serai"))


def test_the_core_imports_nothing_that_acts() -> None:
    found = [f for p in project_files(".py", under=("src/serai/core",)) for f in foreign_imports(p)]
    assert not found, report(found)


def test_the_lock_holds_every_dependency() -> None:
    missing = unlocked(
        (ROOT / "pyproject.toml").read_text(), (ROOT / "requirements.lock").read_text()
    )
    assert not missing, f"run `make lock`: {missing}"


def test_a_foreign_import_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text(
        "import hashlib\nimport socket\nfrom msgspec import Struct\nfrom serai.core.ids import x\n"
        "from serai.wire import y\nfrom collections.abc import Mapping\n",
        encoding="utf-8",
    )
    assert [f.line for f in foreign_imports(path)] == [2, 3, 5]


def test_a_dependency_without_a_hash_is_seen() -> None:
    pyproject = (
        '[project]\ndependencies = ["alpha>=1", "beta[x]>=2", "gamma"]\n'
        '[dependency-groups]\ndev = ["delta", "serai-hospitality"]\n'
    )
    lock = (
        "alpha==1.2 \\\n    --hash=sha256:00\n"
        "beta==2.0\n"
        "gamma==3 ; x == 'y' \\\n    --hash=sha256:00\n"
    )
    assert unlocked(pyproject, lock) == ["beta", "delta"]
