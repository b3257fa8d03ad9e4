"""The fleet and the hotel of the tests of moves, for the tests of restores and exports."""

from __future__ import annotations

from integration.moves.conftest import fleet, house, urls

__all__ = ["fleet", "house", "urls"]
