"""The fleet of the tests of moves, with an outlet."""

from __future__ import annotations

from integration.moves.conftest import fleet, house, urls

__all__ = ["fleet", "house", "urls"]
