"""Segments: the parts of a version's traffic that are watched by themselves.

A key of ``[segments]`` cuts a batch into parts by its value in each row. Past `segments_max`
values of a key, further ones fold into ``other``: values come out of a log, and each one costs
panes, a reference, and rows of the store. A row without a value belongs to no segment.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from collectors.batch import CategoryColumn, Column, Ints, PredictionBatch
from detectors.windows.population import population, split

if TYPE_CHECKING:
    from monitor.settings.settings import Settings

log = logging.getLogger("kedge.segments")

#: Name of what is kept in the store: the values that have segments of their own.
SEGMENTS: Final = "segments"
#: Of a key that names a feature, so that its column says the segment.
FEATURE: Final = "features."
#: What values beyond the limit fold into.
OTHER: Final = "other"


class Segments:
    """Cuts batches into segments.

    Parameters
    ----------
    keys
        Keys of the events' ``segment``, or ``features.NAME`` for a column of categories.
    segments_max
        Values of one key that have a segment of their own.

    Attributes
    ----------
    folded
        Rows whose value was folded into ``other``.
    """

    def __init__(self, keys: Sequence[str], segments_max: int) -> None:
        self._values: dict[str, dict[str, str]] = {key: {} for key in keys}  # to the segment
        self._segments_max = segments_max
        self._changed = False
        self.folded = 0

    @property
    def event_keys(self) -> list[str]:
        """Keys that formats have to hand out."""
        return [key for key in self._values if not key.startswith(FEATURE)]

    @property
    def names(self) -> list[str]:
        """The segments that were seen."""
        return [name for values in self._values.values() for name in values.values()]

    def watches(self, name: str) -> bool:
        """Say whether a population is watched: all of a version, or a segment of these keys."""
        segment = split(name)[1]
        return not segment or segment.partition("=")[0] in self._values

    def parts(self, batch: PredictionBatch) -> Iterator[PredictionBatch]:
        """Yield the rows of each segment, as a batch of that population."""
        for segment, at in self.rows(batch.columns, batch.segments):
            part = batch if at.size == batch.rows else batch.pick(at)
            yield replace(part, version=population(batch.version, segment))

    def rows(
        self, columns: Mapping[str, Column], segments: Mapping[str, Sequence[str | None]]
    ) -> Iterator[tuple[str, Ints]]:
        """Yield which rows are of which segment, of those that have these columns and values."""
        for key, known in self._values.items():
            found: dict[str, list[int]] = {}
            for row, value in enumerate(_values(columns, segments, key)):
                if value is not None:
                    found.setdefault(value, []).append(row)
            rows: dict[str, list[int]] = {}
            for value, at in found.items():
                rows.setdefault(known.get(value) or self._named(key, value, len(at)), []).extend(at)
            for segment, at in rows.items():
                # Several values of one segment: in the order of the log again.
                yield segment, np.array(sorted(at))

    def of_rows(self, batch: PredictionBatch, place: slice) -> list[list[str]]:
        """Return in which segments each row of a part of a batch is.

        For rows that were counted already: what folds into ``other`` is not counted again.
        """
        found: list[list[str]] = [[] for _ in range(*place.indices(batch.rows))]
        for key, known in self._values.items():
            values = _values(batch.columns, batch.segments, key)[place]
            for names, value in zip(found, values, strict=False):
                if value is not None:
                    names.append(known.get(value) or self._named(key, value, 0))
        return found

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Go on with the values that had segments of their own."""
        if SEGMENTS not in states:
            return
        try:
            kept = msgspec.json.decode(states[SEGMENTS], type=dict[str, list[str]])
        except msgspec.DecodeError as error:
            log.warning("which segments there were is damaged, and is learned anew: %s", error)
            return
        for key, values in kept.items():
            if key in self._values:
                self._values[key] = {value: _segment(key, value) for value in values}

    def changed(self) -> Mapping[str, bytes | None]:
        """Return what to write to the store since the last call."""
        if not self._changed:
            return {}
        self._changed = False
        kept = {key: list(values) for key, values in self._values.items()}
        return {SEGMENTS: msgspec.json.encode(kept)}

    def _named(self, key: str, value: str, rows: int) -> str:
        known = self._values[key]
        if value == OTHER or len(known) - (OTHER in known) < self._segments_max:
            known[value] = _segment(key, value)
            self._changed = True
            return known[value]
        if OTHER not in known:
            known[OTHER] = _segment(key, OTHER)
            self._changed = True
            log.warning("more than %d values of %s: others are one", self._segments_max, key)
        self.folded += rows
        return known[OTHER]


def segments_of(settings: Settings) -> Segments:
    """Return what cuts the traffic as the settings say."""
    return Segments(settings.segments.keys, settings.limits.segments_max)


def _segment(key: str, value: str) -> str:
    return f"{key}={value}"


def _values(
    columns: Mapping[str, Column], segments: Mapping[str, Sequence[str | None]], key: str
) -> Sequence[str | None]:
    if not key.startswith(FEATURE):
        return segments.get(key, ())
    column = columns.get(key.removeprefix(FEATURE))
    return column.values if isinstance(column, CategoryColumn) else ()
