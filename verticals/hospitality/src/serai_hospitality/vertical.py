"""The hospitality vertical as one checked whole.

Owns nothing but the assembly: collections in order of dependency, the table of roles, where grants
are kept.
"""

from __future__ import annotations

from typing import Final

from serai.model import Vertical
from serai_hospitality.collections import COLLECTIONS
from serai_hospitality.importers.kinds import IMPORTERS
from serai_hospitality.permissions import PERMISSIONS

VERTICAL: Final = Vertical(
    name="hospitality",
    title="Hospitality",
    collections=COLLECTIONS,
    permissions=PERMISSIONS,
    owner_role="owner",
    importers=IMPORTERS,
)
