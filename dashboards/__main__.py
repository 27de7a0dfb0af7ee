"""``python -m dashboards``: writes every dashboard as JSON beside its code."""

from __future__ import annotations

from pathlib import Path

from dashboards.every import BOARDS, text_of

for board in BOARDS:
    path = Path(__file__).parent / f"{board.name}.json"
    path.write_text(text_of(board))
    print(path)  # noqa: T201 - it is a command
