"""The real data that the demo, the tests and the load shapes rest on, with their licences
(README.md).

Owns the files and where they are. Never opens them: whoever reads them decides how.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FILES: Final = (
    "hotel_bookings.csv.gz",
    "gla_expenditure.csv.gz",
    "expense_accounts.csv",
    "ecb_gbp_2015_2017.csv",
    "portfolio_sizes.csv",
)


def data_path(name: str) -> Path:
    """Return where a file of `FILES` is.

    Raises:
        KeyError: there is no such file.
    """
    if name not in FILES:
        raise KeyError(name)
    return Path(__file__).with_name(name)
