"""A reference by the season: profiles of the same hour of the day, or of the week.

Each slot of the season (an hour) is a reference of its own over *a part of the points* of the
whole one. What panes count over all the points tells exactly what they would have counted over
some (:meth:`NumberCounts.over`), so panes stay additive and know of no season: only the comparison
of a closed window picks the slot's profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.reference.reference import Reference

SeasonKind: TypeAlias = Literal["hour-of-day", "hour-of-week"]
#: Slots of each kind; the week's begin on Monday at midnight.
SLOTS: dict[SeasonKind, int] = {"hour-of-day": 24, "hour-of-week": 168}
#: Length of every slot.
SLOT_S = 3_600.0


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """References by slot.

    Parameters
    ----------
    zone
        Time zone in which hours are counted, as the tz database names it.
    slots
        The slots that had rows enough; windows in the others are compared with the whole.

    Raises
    ------
    ReferenceError
        If there is no such slot.
    """

    kind: SeasonKind
    zone: str
    slots: Mapping[int, Reference]

    def __post_init__(self) -> None:
        if not all(0 <= slot < SLOTS[self.kind] for slot in self.slots):
            raise ReferenceError(f"a season of the {self.kind} has {SLOTS[self.kind]} slots")
