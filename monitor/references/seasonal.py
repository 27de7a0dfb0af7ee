"""Windows compared with the same hour of their reference, where it has a season."""

from __future__ import annotations

import logging
from typing import Final, Literal, TypeAlias, get_args

from detectors.reference.reference import Reference
from detectors.reference.season import SLOT_S
from detectors.windows.window import ClosedWindow
from monitor.traffic.season_clock import SeasonClock

log = logging.getLogger("kedge.references")

#: What a window was compared with, and if with the whole, why: a closed set, a metric's label.
Basis: TypeAlias = Literal["none", "slot", "few_rows", "too_long", "zone"]
BASES: Final = get_args(Basis)


class Seasonal:
    """Chooses the slot of a window: the one that its middle is in."""

    def __init__(self) -> None:
        self._clocks: dict[tuple[str, str], SeasonClock | None] = {}

    def pick(self, window: ClosedWindow) -> tuple[Reference | None, Basis]:
        """Return the reference of a window's slot, or None for the whole, and why.

        A window across two hours belongs to the one that has more of it. One that is longer than
        an hour is like none, and one whose hour had too few rows is compared with the whole.
        """
        reference = window.pane.reference
        if reference is None or reference.season is None:
            return None, "none"
        if window.ends - window.begins > SLOT_S:
            return None, "too_long"
        clock = self._clock(reference)
        if clock is None:
            return None, "zone"
        slot = clock.slot((window.begins + window.ends) / 2)
        part = reference.season.slots.get(slot)
        return part, "few_rows" if part is None else "slot"

    def _clock(self, reference: Reference) -> SeasonClock | None:
        season = reference.season
        if season is None:
            return None
        key = (season.kind, season.zone)
        if key not in self._clocks:
            try:
                self._clocks[key] = SeasonClock(season.kind, season.zone)
            except ValueError as error:
                log.warning("the season of the reference %s: %s", reference.origin, error)
                self._clocks[key] = None
        return self._clocks[key]
