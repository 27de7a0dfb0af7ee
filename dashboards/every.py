"""The dashboards, in the order of their links."""

from __future__ import annotations

import json
from typing import Final

from dashboards import drift, fleet, itself, model, rollback, shadow
from dashboards.board import Board

BOARDS: Final = (
    fleet.BOARD,
    model.BOARD,
    drift.BOARD,
    shadow.BOARD,
    rollback.BOARD,
    itself.BOARD,
)


def text_of(board: Board) -> str:
    """Return a dashboard as it stands in its file."""
    return json.dumps(board.to_json(), indent=2) + "\n"
