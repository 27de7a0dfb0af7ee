"""Building a reference from files: one look at the rows, and with a season two more.

The season's hours are counted over the points of the whole reference, and how much windows differ
beyond the season is told by comparing rows with their hour: each look needs the one before it. No
look holds more than a piece of a file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collectors.batch import Ints
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.reference.season import SeasonKind
from detectors.reference.season_builder import SeasonBuilder, SeasonResiduals
from monitor.references.pieces import pieces
from monitor.references.segments import SegmentReferences
from monitor.references.tables import Notes, Piece, TableError
from monitor.traffic.season_clock import SeasonClock
from monitor.traffic.segments import FEATURE


@dataclass(frozen=True, slots=True)
class Building:
    """What to build a reference of, and how.

    Parameters
    ----------
    columns
        The only columns; all that there are, if empty.
    in_order
        Whether rows come in the order of the traffic.
    season, zone
        Which season, in which time zone; None for none.
    time_column, label
        Columns of a table that have the times and the labels; prediction events carry theirs.
    segments, segments_max
        Keys that cut the rows into segments, each with a reference of its own, as those of
        ``[segments]``; how many values of a key have one.
    """

    paths: Sequence[Path]
    columns: Collection[str] = ()
    points_max: int = 500_000
    in_order: bool = True
    season: SeasonKind | None = None
    zone: str = "UTC"
    time_column: str = ""
    label: str = ""
    segments: Sequence[str] = ()
    segments_max: int = 20

    @property
    def segment_keys(self) -> Sequence[str]:
        """Keys of segments that are no features."""
        return [key for key in self.segments if not key.startswith(FEATURE)]

    @property
    def wanted(self) -> Collection[str]:
        """Columns to read."""
        return [*self.columns, self.label] if self.columns and self.label else self.columns


def build_reference(
    building: Building, notes: Notes, advance: Callable[[int, float], None]
) -> Reference:
    """Build a reference.

    Parameters
    ----------
    advance
        Called with the number of a file and which share of the work on it is done.

    Raises
    ------
    TableError
        A file cannot be read, has no usable row, or no times where a season needs them.
    ValueError
        There is no such time zone.
    """
    clock = SeasonClock(building.season, building.zone) if building.season else None
    looks = _Looks(building, advance, timed=clock is not None)
    builder = ReferenceBuilder(building.points_max, in_order=building.in_order)
    parts = SegmentReferences(
        building.segments,
        building.segments_max,
        points_max=building.points_max,
        in_order=building.in_order,
    )
    for piece in looks.pieces(0, notes):
        builder.add(piece.columns, piece.labels)
        parts.add(piece)
    created, origin = time.time(), ", ".join(path.name for path in building.paths)
    whole = replace(builder.build(created, origin), segments=parts.build(created, origin))
    notes.small_segments, notes.folded = parts.few, parts.folded
    if not whole.rows or not whole.columns:
        names = ", ".join(map(str, building.paths))
        raise TableError(f"cannot build a reference from {names}: there is no usable row in it")
    if clock is None or building.season is None:
        return whole
    counted = SeasonBuilder(whole, building.season, building.zone)
    for slots, piece in looks.slotted(1, clock):
        counted.add(slots, piece.columns)
    season = counted.season()
    if building.in_order:
        residuals = SeasonResiduals(season)
        for slots, piece in looks.slotted(2, clock):
            residuals.add(slots, piece.columns)
        season = residuals.season()
    return replace(whole, season=season)


class _Looks:
    """Reads the files, from the first look to the last."""

    def __init__(
        self, building: Building, advance: Callable[[int, float], None], *, timed: bool
    ) -> None:
        self._building = building
        self._advance = advance
        self._timed = timed
        self._looks = 1 if not timed else 3 if building.in_order else 2

    def pieces(self, look: int, notes: Notes) -> Iterator[Piece]:
        """Read all files once."""
        building = self._building
        for number, path in enumerate(building.paths):
            for found in pieces(
                path,
                building.wanted,
                notes,
                time_column=building.time_column,
                segment_keys=building.segment_keys,
            ):
                piece = found.labelled(building.label).segmented(building.segment_keys)
                if self._timed and piece.ts is None:
                    raise TableError(
                        f"{path} does not say when its rows were, which a season needs: name "
                        "its column of times with --time-column"
                    )
                yield piece
                self._advance(number, (look + piece.share_read) / self._looks)

    def slotted(self, look: int, clock: SeasonClock) -> Iterator[tuple[Ints, Piece]]:
        """Read all files once more, with the slot of each row; what is left out was told."""
        for piece in self.pieces(look, Notes()):
            if piece.ts is not None:
                yield clock.slots(piece.ts), piece
