"""Which hour of the season a time is in, where it was."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from collectors.batch import Floats, Ints
from detectors.reference.season import SeasonKind

#: Hours begin and clocks change on quarters of an hour, in every zone there is.
_QUARTER_S: Final = 900
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class SeasonClock:
    """Slots of a season in a time zone.

    Raises
    ------
    ValueError
        This machine knows no such zone.

    Examples
    --------
    >>> berlin = SeasonClock("hour-of-week", "Europe/Berlin")
    >>> berlin.name(berlin.slot(1_772_618_400.0))
    'Wednesday 11:00'
    """

    def __init__(self, kind: SeasonKind, zone: str) -> None:
        self._kind: SeasonKind = kind
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f'expected a time zone such as "UTC" or "Europe/Berlin", got "{zone}"'
            ) from error

    def slot(self, ts: float) -> int:
        """Return the slot of a time, seconds since the epoch."""
        moment = datetime.fromtimestamp(ts, self._zone)
        return moment.hour + (24 * moment.weekday() if self._kind == "hour-of-week" else 0)

    def slots(self, ts: Floats) -> Ints:
        """Return the slot of each time."""
        quarters, inverse = np.unique(np.floor(ts / _QUARTER_S), return_inverse=True)
        slots = [self.slot(quarter * _QUARTER_S) for quarter in quarters.tolist()]
        return np.array(slots, np.int64)[inverse]

    def name(self, slot: int) -> str:
        """Return what people call a slot."""
        day = f"{_DAYS[slot // 24]} " if self._kind == "hour-of-week" else ""
        return f"{day}{slot % 24:02d}:00"
