"""Building the references of segments, beside that of all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from detectors.reference.reference import Reference, ReferenceBuilder
from monitor.references.tables import Piece
from monitor.traffic.segments import OTHER, Segments

#: Rows that a segment needs: bounds against fewer are too wide to say anything.
ROWS_MIN: Final = 500


class SegmentReferences:
    """Collects rows by segment.

    Parameters
    ----------
    keys, segments_max
        As of :class:`monitor.traffic.segments.Segments`. What folds into ``other`` has no
        reference: which values that are depends on which came first, and need not be the same in
        the traffic.
    points_max
        As of all rows; the segments of a key share it.
    """

    def __init__(
        self, keys: Sequence[str], segments_max: int, *, points_max: int, in_order: bool
    ) -> None:
        self._segments = Segments(keys, segments_max)
        self._points_max = max(1, points_max // max(1, segments_max))
        self._in_order = in_order
        self._builders: dict[str, ReferenceBuilder] = {}

    @property
    def few(self) -> list[str]:
        """Segments that have no reference because they have too few rows."""
        return [name for name, one in self._builders.items() if one.rows < ROWS_MIN]

    @property
    def folded(self) -> int:
        """Rows of values past the limit."""
        return self._segments.folded

    def add(self, piece: Piece) -> None:
        """Count the rows of a piece."""
        for name, at in self._segments.rows(piece.columns, piece.segments):
            if name.endswith(f"={OTHER}"):
                continue
            if name not in self._builders:
                self._builders[name] = ReferenceBuilder(self._points_max, in_order=self._in_order)
            labels = piece.labels
            self._builders[name].add(
                {column: values.pick(at) for column, values in piece.columns.items()},
                None if labels is None else [labels[row] for row in at.tolist()],
            )

    def build(self, created: float, origin: str) -> Mapping[str, Reference]:
        """Return the references of the segments that have rows enough."""
        return {
            name: one.build(created, f"{origin}, {name}")
            for name, one in self._builders.items()
            if one.rows >= ROWS_MIN
        }
