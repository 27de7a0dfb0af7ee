"""Normal scores of the rows of several number columns: what their correlations are made of.

A value's normal score is the standard normal quantile of its rank in the reference. Correlations of
such scores see any monotone relation, and one value of 1e9 counts no more than one row. Here the
rank is looked up in a coarse table of the reference's first rows, and the score is a whole number
of 32nds: so sums of products are exact, and the same in any order.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from collectors.batch import NumberColumn
from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references
from detectors.numerics.ascending import distinct, distinct_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collectors.batch import Column, Floats

Scores: TypeAlias = npt.NDArray[np.int8]
#: Scores as single-precision floats, shape ``(p, rows)``; whole numbers all the same.
ScoreMatrix: TypeAlias = npt.NDArray[np.float32]

#: Columns whose correlations are watched, at most: those first by name.
COLUMNS_MAX = 64
#: Steps of a score per standard deviation.
SCORE_UNIT = 32
#: Largest score, in steps: 2.5 standard deviations.
SCORE_MAX = 80
#: Buckets of equal width that a column is cut into.
_BUCKETS = 1_024
#: Ranks between which the buckets are spread; what is outside falls in those at the ends.
_TAIL = 0.005
#: Bins at quantiles, for a column whose values crowd in few of the buckets of equal width.
_BINS = 32
#: Rows of one bucket, above those of its most frequent value, from which on it is crowded.
_CROWDED = 1 / _BINS


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Scores by bucket of one column; a bucket's values have the score of its middle rank.

    Parameters
    ----------
    edges
        Ascending edges of half-open bins ``(a, b]``; empty where buckets have equal width.
    origin, scale
        Bucket ``floor((value - origin) * scale)``, for buckets of equal width.
    scores
        Score by bucket, in steps, shape ``(buckets,)``.
    """

    edges: Floats
    origin: float
    scale: float
    scores: Scores
    _looked_up: npt.NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        buckets = self.edges.size + 1 if self.edges.size else _BUCKETS
        if self.scores.shape != (buckets,) or np.abs(self.scores.astype(int)).max() > SCORE_MAX:
            raise ReferenceError(f"a table of {self.scores.size} scores, expected {buckets}")
        if not math.isfinite(self.origin) or not 0 < self.scale < math.inf:
            raise ReferenceError("the buckets of a table of scores have no place")
        # Missing values have a bucket of their own: the last of bins, the first of equal ones.
        missing = np.zeros(1, np.int8)
        parts = (self.scores, missing) if self.edges.size else (missing, self.scores)
        object.__setattr__(self, "_looked_up", np.concatenate(parts).astype(np.float32))

    @classmethod
    def of_pilot(cls, values: Floats) -> ScoreTable:
        """Make the table of the first rows; of a constant column, all scores are 0."""
        known = np.sort(values[~np.isnan(values)])
        low, high = known[int(known.size * _TAIL)], known[-1 - int(known.size * _TAIL)]
        width = float(high) / (_BUCKETS - 2) - float(low) / (_BUCKETS - 2)
        if 0 < width < math.inf and 1 / width < math.inf:
            origin, scale = float(low) - width, 1 / width
            buckets = _buckets(known, origin, scale)
            if not _crowded(known, buckets):
                scores = _scores(np.bincount(buckets, minlength=_BUCKETS))
                return cls(np.empty(0), origin, scale, scores)
        ranks = np.ceil(np.arange(1, _BINS) / _BINS * known.size).astype(np.int64) - 1
        edges = distinct(known[ranks])
        counts = np.bincount(edges.searchsorted(known), minlength=edges.size + 1)
        return cls(edges, 0.0, 1.0, _scores(counts))

    def look_up(self, values: Floats, out: npt.NDArray[np.float32]) -> None:
        """Write the score of each value to `out`; 0 where it is NaN."""
        if self.edges.size:
            buckets = self.edges.searchsorted(values)
            buckets[np.isnan(values)] = self.scores.size
        else:
            # Infinite, and too large to be told from it, is in a bucket at an end.
            with np.errstate(over="ignore"):
                scaled = values - self.origin
                scaled *= self.scale
            scaled += 1
            np.clip(scaled, 1, _BUCKETS, out=scaled)
            # The larger of NaN and a number is the number.
            np.fmax(scaled, 0, out=scaled)
            buckets = scaled.astype(np.intp)
        # All are within the table; this mode spares numpy a copy.
        self._looked_up.take(buckets, out=out, mode="clip")


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTables:
    """Tables of all the columns whose correlations are watched.

    Parameters
    ----------
    tables
        By name of the column, ascending; at most :data:`COLUMNS_MAX`.

    Raises
    ------
    ReferenceError
        If there are more columns, or they are not in order.

    Examples
    --------
    >>> tables = ScoreTables({"age": ScoreTable.of_pilot(np.arange(1000.0))})
    >>> tables.matrix([({"age": NumberColumn(np.array([0.0, 500.0, 1e9, np.nan]))}, 4)])
    array([[-80.,   0.,  80.,   0.]], dtype=float32)
    """

    tables: Mapping[str, ScoreTable]
    digest: str = field(init=False)
    """Hex SHA-256 of the tables: scores of equal tables add up."""

    def __post_init__(self) -> None:
        names = list(self.tables)
        if len(names) > COLUMNS_MAX or names != sorted(set(names)):
            raise ReferenceError(f"{len(names)} tables of scores, or not in order of their names")
        object.__setattr__(self, "digest", _digest(self.tables))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(self.tables)

    def matrix(self, parts: Sequence[tuple[Mapping[str, Column], int]]) -> ScoreMatrix:
        """Scores of rows, shape ``(p, rows)``; 0, the middle, where a value is missing.

        Parameters
        ----------
        parts
            Columns by name and how many rows they have, part by part. A column that is not
            there, not of numbers, or shorter, is missing in the rest.
        """
        matrix = np.empty((len(self.tables), sum(rows for _, rows in parts)), np.float32)
        # Column by column, because one column's intermediate results stay in the cache.
        for row, (name, table) in enumerate(self.tables.items()):
            table.look_up(_values(name, parts), matrix[row])
        return matrix


def _values(name: str, parts: Sequence[tuple[Mapping[str, Column], int]]) -> Floats:
    """Return the values of a column over all parts; NaN where it is missing."""
    values = np.full(sum(rows for _, rows in parts), np.nan)
    start = 0
    for columns, rows in parts:
        column = columns.get(name)
        if isinstance(column, NumberColumn):
            if column.values.size == values.size:
                return column.values
            values[start : start + column.values.size] = column.values
        start += rows
    return values


def _buckets(values: Floats, origin: float, scale: float) -> npt.NDArray[np.intp]:
    """Bucket of each value, worked out as a window's rows are."""
    with np.errstate(over="ignore"):
        scaled = (values - origin) * scale + 1
    return np.clip(scaled, 1, _BUCKETS).astype(np.intp) - 1


def _crowded(known: Floats, buckets: npt.NDArray[np.intp]) -> bool:
    """Say whether a bucket inside holds many rows of different values."""
    starts = np.flatnonzero(np.concatenate(([True], buckets[1:] != buckets[:-1])))
    stops = np.append(starts[1:], known.size)
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if stop - start > _CROWDED * known.size:
            _, repeats = distinct_counts(known[start:stop])
            if stop - start - int(repeats.max()) > _CROWDED * known.size:
                return True
    return False


def _scores(counts: npt.NDArray[np.integer]) -> Scores:
    """Score of each bucket by the rows of the pilot in it."""
    upto = np.cumsum(counts)
    ranks = np.clip((upto - counts / 2) / upto[-1], 0.005, 0.995)
    return np.asarray(_score_ends().searchsorted(ranks) - SCORE_MAX, np.int8)


@lru_cache(maxsize=1)
def _score_ends() -> Floats:
    """Rank up to which values have each score but the largest: where the nearest step changes."""
    steps = np.arange(-SCORE_MAX, SCORE_MAX) + 0.5
    normal = NormalDist()
    return np.array([normal.cdf(step / SCORE_UNIT) for step in steps.tolist()])


def _digest(tables: Mapping[str, ScoreTable]) -> str:
    digest = hashlib.sha256()
    for name, table in tables.items():
        digest.update(name.encode() + b"\0")
        place = np.array([table.origin, table.scale, *table.edges])
        digest.update(place.astype("<f8").tobytes() + table.scores.tobytes())
    return digest.hexdigest()
