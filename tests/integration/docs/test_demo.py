"""`make demo`, without the part that stays up: real bookings, two phones, the published figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.app.programs import Shell
from serai.embedded.ports import free_port


@pytest.mark.timeout(900)
def test_the_demonstration_holds_to_the_published_figures(tmp_path: Path) -> None:
    # Without a bound of its own for the whole import: a machine with other work takes minutes.
    with Shell(tmp_path, {"SERAI_PORT": str(free_port())}).started("demo", "--once") as demo:
        out, err = demo.process.communicate()
    assert demo.process.returncode == 0, err
    report = json.loads(out)
    assert report["ok"] is True
    assert report["figures"]["stays"] == 119_390
    assert report["figures"]["revenue_minor"] == 2_599_626_041
    assert report["phones"]["merged"] is True
    assert report["phones"]["conflict_kept"] is True
    assert report["phones"]["converged"] is True
