"""Windows whose time has come: those without rows that are written, and how one is added up."""

from __future__ import annotations

from dataclasses import dataclass

from detectors.windows.pane import Pane
from detectors.windows.population import split
from detectors.windows.window_spec import ClosedWindow, WindowSpec

#: Empty windows that one advance of the watermark writes, for no traffic is a signal too; where
#: it jumps over a gap, the newest.
EMPTY_MAX = 10


class EmptyEnds:
    """Where windows without rows end, among the whole numbers from `first` to `last`.

    Parameters
    ----------
    filled
        Where windows with rows end.

    Attributes
    ----------
    written
        The newest :data:`EMPTY_MAX` of them. They are the same for every `first` before them, so
        windows may be closed in steps.

    Examples
    --------
    >>> empty = EmptyEnds(1, 14, {14, 3})
    >>> sorted(empty.written), empty.skipped(4), empty.skipped(14)
    ([4, 5, 6, 7, 8, 9, 10, 11, 12, 13], 2, 2)
    """

    def __init__(self, first: int, last: int, filled: set[int]) -> None:
        self._first = first
        self._filled = {end for end in filled if end >= first}
        self.written: set[int] = set()
        empty = max(0, last + 1 - first) - len(self._filled)
        end = last
        while len(self.written) < min(empty, EMPTY_MAX):
            if end not in filled:
                self.written.add(end)
            end -= 1

    def skipped(self, upto: int) -> int:
        """Count those up to there, `last` at most, that are not written."""
        told = sum(end <= upto for end in self._filled) + sum(end <= upto for end in self.written)
        return max(0, upto + 1 - self._first) - told


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that is closed, and not added up yet.

    Parameters
    ----------
    version
        Name of the population.
    end
        Index of the pane before which it ends.
    first_ts
        Of the version's rows, seconds since the epoch.
    panes
        What it consists of, at least one; not changed any more.
    """

    version: str
    end: int
    first_ts: float
    panes: list[Pane]

    def added_up(self, model: str, spec: WindowSpec) -> ClosedWindow:
        """Add up its panes."""
        pane = Pane.sum(self.panes)
        version, segment = split(self.version)
        if spec.kind == "events":
            begins, ends = pane.first_ts, pane.last_ts
            seconds = ends - begins or None
            return ClosedWindow(model, version, begins, ends, pane, seconds, segment)
        begins, ends = (self.end - spec.panes) * spec.slide, self.end * spec.slide
        seconds = ends - begins if self.first_ts <= begins else None
        return ClosedWindow(model, version, begins, ends, pane, seconds, segment)
