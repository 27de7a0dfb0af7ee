"""The terminal, or what stands in for it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

#: Width of tables that go to a file or another program: nothing there is narrow.
WIDTH_ELSEWHERE = 120


def screen() -> Console:
    """Return what tables are printed to: as wide as the terminal, if there is one."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_ELSEWHERE)


def texts(*cells: object) -> list[Text]:
    """Make cells of a table's row; what comes from data is shown as it is, never as markup."""
    return [Text("-" if cell is None else str(cell)) for cell in cells]
