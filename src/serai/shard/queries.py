"""Named statements from a `.sql` file beside its caller.

Owns the form `-- name: some_name` before each statement. Promises that a name is there once and
that a missing file is an error at import, not at the first request. Never builds SQL from parts.
"""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_queries(package: str, file: str) -> dict[str, str]:
    """Return name -> statement of `file` in `package`, for example `("serai.shard",
    "directory.sql")`.
    """
    parts = _NAME.split(files(package).joinpath(file).read_text("utf-8"))
    names = parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{package}/{file}: a name is there twice")
    return {name: text.strip().rstrip(";") for name, text in zip(names, parts[2::2], strict=True)}
