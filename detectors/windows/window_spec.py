"""How rows are cut into windows, and what comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from detectors.windows.population import population

if TYPE_CHECKING:
    from detectors.windows.pane import Pane


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a stream of rows is cut into windows.

    Parameters
    ----------
    kind
        By event time, or by number of events.
    length, slide
        Seconds, or events; `length` is a whole multiple of `slide`.
    lateness_s
        How long a window by time waits for rows that come out of order, seconds.
    ahead_max_s
        Event times may lie this far in the future, seconds; later ones are taken as now.

    Raises
    ------
    ValueError
        If `length` is no whole multiple of `slide`, or a figure is out of range.
    """

    kind: Literal["time", "events"]
    length: float
    slide: float
    lateness_s: float = 0.0
    ahead_max_s: float = 300.0

    def __post_init__(self) -> None:
        if not (0 < self.slide <= self.length < math.inf):
            raise ValueError(
                f"a window of length {self.length:g} cannot slide by {self.slide:g}: "
                "0 < slide <= length is needed"
            )
        if not math.isclose(self.length / self.slide, self.panes, rel_tol=1e-9):
            raise ValueError(
                f"a window of length {self.length:g} must be a whole multiple "
                f"of its slide {self.slide:g}"
            )
        if self.kind == "events" and self.slide != int(self.slide):
            raise ValueError(f"windows of events slide by whole events, not by {self.slide:g}")
        if min(self.lateness_s, self.ahead_max_s) < 0:
            raise ValueError("lateness and ahead_max must not be negative")

    @property
    def panes(self) -> int:
        """Panes in a window."""
        return round(self.length / self.slide)


@dataclass(frozen=True, slots=True)
class AddResult:
    """What became of the rows of a batch that were not simply counted.

    Parameters
    ----------
    late
        Rows whose windows were closed already: not used.
    ahead
        Rows from too far in the future: used, as of now.
    newest
        Largest event time of the rows that were used, seconds since the epoch; ``-inf`` of none.
    """

    late: int = 0
    ahead: int = 0
    newest: float = -math.inf


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """The sum of a window's panes, final.

    Parameters
    ----------
    begins, ends
        Seconds since the epoch. By time: the window is ``[begins, ends)``. By events: smallest
        and largest event time in it.
    pane
        Its statistics.
    seconds
        How long the version was watched within it, for rates; None where that is not the whole
        window (its first rows came later than `begins`) or no time passed.
    segment
        Of which segment of the version; empty for all its traffic.
    """

    model: str
    version: str
    begins: float
    ends: float
    pane: Pane
    seconds: float | None
    segment: str = ""

    @property
    def population(self) -> str:
        """Name of what the window is of (:mod:`detectors.windows.population`)."""
        return population(self.version, self.segment)
