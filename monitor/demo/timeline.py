"""What the demo says on the terminal: one line a step, with the time since its start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

#: Topic of a line to its colour on a terminal; elsewhere lines are plain.
TOPICS: Final = {
    "setup": "cyan",
    "traffic": "blue",
    "window": "white",
    "shift": "bold yellow",
    "breach": "bold red",
    "rollback": "bold magenta",
    "serving": "bold green",
    "verified": "bold green",
    "failed": "bold red",
}
_TIME_CHARACTERS: Final = 9
_TOPIC_CHARACTERS: Final = max(map(len, TOPICS))


class Timeline:
    """Prints lines to standard output.

    Parameters
    ----------
    console
        Where to print; by default one made for standard output, plain if that is no terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._begins = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begins

    def title(self, text: str) -> None:
        """Print a line without a time."""
        self._console.print(text, style="bold", markup=False)

    def say(self, topic: str, text: str) -> None:
        """Print one step. Further lines of the text stand below the first."""
        first, *more = text.splitlines() or [""]
        line = Text(f"{self.elapsed_s:6.1f} s  ")
        line.append(f"{topic:<{_TOPIC_CHARACTERS}}  ", style=TOPICS[topic])
        line.append(first)
        for rest in more:
            line.append(f"\n{'':{_TIME_CHARACTERS + _TOPIC_CHARACTERS + 3}}{rest}")
        self._console.print(line)

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Print pairs of what and how much, in two columns."""
        width = max((len(what) for what, _ in rows), default=0)
        self.title(f"\n{title}")
        for what, figure in rows:
            self._console.print(f"  {what:<{width}}  {figure}", markup=False)
        self._console.print()
