"""The last window of each version beside its reference: what the page and the metric show.

It is what the store has of that window (:mod:`monitor.pictures.distributions`), held since its
commit; a restart takes it up from the store. Of segments only windows with a breach have pictures,
of the columns in breach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from detectors.columns.side_by_side import SideBySide
from detectors.windows.population import population
from monitor.pictures.distributions import Distribution

#: Versions whose last window is held: what serves, what served before, and two more.
VERSIONS_MAX: Final = 4
#: Segments whose last window with a breach is held, those that breached last.
SEGMENTS_MAX: Final = 20
#: A window of less than this share of the rows of the one before, within `STEADY_S` of it, is
#: what trickles in while traffic is switched: the fuller picture stays.
_SMALL_SHARE: Final = 0.1
STEADY_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Held:
    """A window and how its columns were distributed, as the store has it.

    Parameters
    ----------
    begins, ends
        Seconds since the epoch.
    events
        All of the window's, also those that were not answered.
    """

    version: str
    segment: str
    begins: float
    ends: float
    events: int
    distribution: Distribution


_FRAME: Final = ("version", "segment", "begins", "ends", "events")


@dataclass(frozen=True, slots=True)
class LastWindow:
    """The last window of a version, or of a segment of it: from when to when, and its columns."""

    version: str
    begins: float
    ends: float
    columns: Mapping[str, SideBySide]
    segment: str = ""


class LastWindows:
    """Holds the last window of each version; the version that was silent for longest goes first."""

    def __init__(self) -> None:
        # By population, the one of the last window last.
        self._held: dict[str, Held] = {}

    @property
    def held(self) -> Mapping[str, Held]:
        """By population (:mod:`detectors.windows.population`): replaced and never changed.

        So any thread may read it.
        """
        return self._held

    def take(self, window: Mapping[str, Any], distribution: Distribution | None) -> None:
        """Take a closed window, as a row of the store, once it is committed."""
        if distribution is None:
            return
        held = {name: window[name] for name in _FRAME}
        self.restore([Held(**held, distribution=distribution)])

    def restore(self, windows: Iterable[Held]) -> None:
        """Take up windows that the store has, in the order of time."""
        for one in windows:
            name = population(one.version, one.segment)
            before = self._held.get(name)
            if before is None or succeeds(one.ends, one.events, before.ends, before.events):
                held = {key: kept for key, kept in self._held.items() if key != name}
                self._held = _bounded(held | {name: one})


def succeeds(ends: float, events: int, ends_before: float, events_before: int) -> bool:
    """Say whether a window takes the place of an earlier one: not if it is but a trickle.

    Examples
    --------
    >>> succeeds(120.0, 9, 60.0, 100), succeeds(120.0, 11, 60.0, 100), succeeds(4e3, 9, 60.0, 100)
    (False, True, True)
    """
    return events >= _SMALL_SHARE * events_before or ends >= ends_before + STEADY_S


def last_window(held: Mapping[str, Held], version: str, segment: str = "") -> LastWindow | None:
    """Read what :attr:`LastWindows.held` has of a version; None when that is nothing."""
    one = held.get(population(version, segment))
    if one is None:
        return None
    columns = one.distribution.columns()
    return LastWindow(one.version, one.begins, one.ends, columns, one.segment)


def _bounded(held: dict[str, Held]) -> dict[str, Held]:
    for limit, of_segment in ((VERSIONS_MAX, False), (SEGMENTS_MAX, True)):
        names = [name for name, one in held.items() if bool(one.segment) == of_segment]
        for name in names[: max(0, len(names) - limit)]:
            del held[name]
    return held
