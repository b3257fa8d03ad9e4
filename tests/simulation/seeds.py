"""Which seeds run with every change.

Owns the two knobs: `SERAI_SIMULATION_SEEDS=20000` runs so many, `SERAI_SIMULATION_FIRST=5000`
begins there. `make simulate`, which `.ci/run` runs before the suite, has 3,000. Never judges.
"""

from __future__ import annotations

import os

FIRST = int(os.environ.get("SERAI_SIMULATION_FIRST", "0"))
SEEDS = int(os.environ.get("SERAI_SIMULATION_SEEDS", "300"))
