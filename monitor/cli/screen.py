"""The terminal, or what stands in for it."""

from __future__ import annotations

import os

from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

#: Width of tables that go to a file or another program: nothing there is narrow.
WIDTH_ELSEWHERE = 120


def screen() -> Console:
    """Return what tables are printed to: as wide as the terminal, or as ``COLUMNS`` says."""
    console = Console()
    known = console.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    return console if known else Console(width=WIDTH_ELSEWHERE)


def texts(*cells: object) -> list[Text]:
    """Make cells of a table's row; what comes from data is shown as it is, never as markup."""
    return [Text("-" if cell is None else str(cell)) for cell in cells]


def fitting(table: Table, console: Console) -> ConsoleRenderable:
    """Return a table as it can be read at the console's width.

    A table that would have to break its cells on a narrow terminal becomes a list of records, a
    line a cell, with the headings beside them.
    """
    wide = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    if wide <= console.width or console.width >= WIDTH_ELSEWHERE:
        return table
    headings = [str(column.header) for column in table.columns]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    records: list[ConsoleRenderable] = []
    for row in rows:
        record = Table.grid(padding=(0, 2))
        record.add_column(style="dim", overflow="fold")
        record.add_column(overflow="fold")
        for heading, cell in zip(headings, row, strict=True):
            record.add_row(heading, cell)
        records += [Text(""), record]
    return Group(*records)
