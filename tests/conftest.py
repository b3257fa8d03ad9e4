"""What every test shares: how Hypothesis runs.

Owns the Hypothesis profile only. Time limits of single examples are off: on a busy machine, or in a
fresh clone where Hypothesis first builds its tables of characters, they fail for reasons that no
code has. A property that finds a failure prints the blob that reproduces it.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "serai", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("serai")
