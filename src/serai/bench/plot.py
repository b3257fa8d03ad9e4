"""The figures as a picture.

Owns the drawing. matplotlib is an extra (`pip install serai[plot]`): nobody who serves hotels needs
it. Never measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt

from serai.bench.figure import Figure, Target

_REACHED: Final = "#31688e"
_MISSED: Final = "#b0b7bd"
_FLOOR: Final = "#d1495b"
_WIDEST: Final = 3.0


def draw(figures: Sequence[Figure], conditions: str, target: Path) -> None:
    """Draw each figure that has a target as a multiple of it, and the conditions."""
    mpl.use("agg")
    plt.rcParams.update({"font.size": 8})
    drawn = [(f, f.target) for f in figures if f.target is not None]
    made: Any = plt.subplots(figsize=(8, 0.46 * len(drawn) + 1.2), layout="constrained")
    figure, axes = made
    for row, (each, aim) in enumerate(drawn):
        part = aim.part(each.value)
        colour = _REACHED if aim.met(each.value) else _MISSED
        axes.barh(row, min(part, _WIDEST), height=0.55, color=colour)
        if each.floor and aim.part(each.floor) <= _WIDEST:
            axes.vlines(aim.part(each.floor), row - 0.38, row + 0.38, color=_FLOOR, linewidth=2)
    axes.set_yticks(range(len(drawn)), [_label(f, aim) for f, aim in drawn])
    axes.axvline(1, color="#333333", linewidth=1)
    axes.set_xlim(0, _WIDEST)
    axes.invert_yaxis()
    axes.set_xlabel(
        "multiple of the target (the line), cut at 3; blue: reached; red: floor of the same run"
    )
    figure.suptitle(f"serai bench, {conditions}", fontsize=7, x=0.01, ha="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=150)
    plt.close(figure)


def _label(figure: Figure, target: Target) -> str:
    return f"{figure.figure}\n{figure.value:,g} {figure.unit} (target {target})"
