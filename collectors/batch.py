"""The columns that a format makes of log lines: what flows from collectors to detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from collectors.labels import JoinColumns, LabelRows

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

ColumnKind: TypeAlias = Literal["number", "category", "vector"]
Role: TypeAlias = Literal["live", "shadow"]
LatencyKind: TypeAlias = Literal["model", "server", "client"]

UNKNOWN_VERSION = "unknown"
PREDICTION = "prediction"
#: Stands for the status of a request in a log that does not say how requests ended.
STATUS_UNKNOWN = -1
#: Numbers that one value of a vector column holds at most; a longer array fits no column.
VECTOR_DIMENSIONS_MAX = 4_096

#: HTTP statuses from here on are failed requests: the caller's fault or ours, it got no answer.
ERROR_STATUS_MIN = 400


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """Numbers of one column, a row each.

    Parameters
    ----------
    values
        Shape ``(rows,)``; NaN where the value is missing or was of a wrong type.
    invalid_rows
        Indices of the rows whose NaN stands for a value of a wrong type (a string, an object),
        ascending. The rest of the NaN are missing (absent or null).
    """

    values: Floats
    invalid_rows: tuple[int, ...] = ()

    def take(self, rows: slice) -> NumberColumn:
        """Return the rows of a slice without a step."""
        return NumberColumn(self.values[rows], _shifted(self.invalid_rows, rows, len(self.values)))

    def pick(self, rows: Ints) -> NumberColumn:
        """Return the rows at the indices `rows`, in that order."""
        return NumberColumn(self.values[rows], _picked(self.invalid_rows, rows))


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """Strings of one column, a row each; booleans are ``"true"`` and ``"false"``.

    Parameters
    ----------
    values
        Length ``rows``; None where the value is missing or was of a wrong type.
    invalid_rows
        Indices of the rows whose None stands for a value of a wrong type (an array, an object),
        ascending.
    """

    values: Sequence[str | None]
    invalid_rows: tuple[int, ...] = ()

    def take(self, rows: slice) -> CategoryColumn:
        """Return the rows of a slice without a step."""
        return CategoryColumn(
            self.values[rows], _shifted(self.invalid_rows, rows, len(self.values))
        )

    def pick(self, rows: Ints) -> CategoryColumn:
        """Return the rows at the indices `rows`, in that order."""
        values = [self.values[row] for row in rows.tolist()]
        return CategoryColumn(values, _picked(self.invalid_rows, rows))


@dataclass(frozen=True, slots=True)
class VectorColumn:
    """Arrays of one column, such as embeddings, a row each, all of one length.

    Parameters
    ----------
    values
        Shape ``(rows, dimensions)``; NaN throughout a row whose value is missing or was of a
        wrong type, and in no other row.
    invalid_rows
        Indices of the rows whose NaN stand for a value of a wrong type (no array, an array of
        another length, one that holds anything but numbers), ascending.
    """

    values: Floats
    invalid_rows: tuple[int, ...] = ()

    @property
    def dimensions(self) -> int:
        """Numbers of a row."""
        return int(self.values.shape[1])

    def there(self) -> npt.NDArray[np.bool_]:
        """Which rows have a value, shape ``(rows,)``."""
        return ~np.isnan(self.values[:, 0])

    def take(self, rows: slice) -> VectorColumn:
        """Return the rows of a slice without a step."""
        return VectorColumn(self.values[rows], _shifted(self.invalid_rows, rows, len(self.values)))

    def pick(self, rows: Ints) -> VectorColumn:
        """Return the rows at the indices `rows`, in that order."""
        return VectorColumn(self.values[rows], _picked(self.invalid_rows, rows))


def _picked(indices: tuple[int, ...], rows: Ints) -> tuple[int, ...]:
    """Return where in `rows` the indices stand."""
    return tuple(np.flatnonzero(np.isin(rows, indices)).tolist()) if indices else ()


def _shifted(indices: tuple[int, ...], rows: slice, length: int) -> tuple[int, ...]:
    """Return the indices that fall in the slice, counted from its start."""
    if not indices:
        return ()
    start, stop, _ = rows.indices(length)
    return tuple(index - start for index in indices if start <= index < stop)


Column: TypeAlias = NumberColumn | CategoryColumn | VectorColumn


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """Rows of one model, one version and one role, column by column, in log order.

    Parameters
    ----------
    ts
        Event time, seconds since the epoch, UTC. Shape ``(rows,)``.
    latency_ms
        Time to answer in milliseconds, shape ``(rows,)``; NaN where the event carried none
        (rows of one request carry it once).
    status
        HTTP status, shape ``(rows,)``; 0 where the event carried none because an earlier row
        of the same request (``<id>#0``) did: such a row is not a request of its own.
        `STATUS_UNKNOWN` for a request of which the log does not say how it ended.
    weight
        ``1 / sampling``: requests that a row stands for. Shape ``(rows,)``.
    columns
        Watched features by name, and the prediction under ``"prediction"``.
    requests_only
        The rows tell of requests and nothing of what was in them, as an access log's do: that
        they have no columns says nothing about the columns.
    joins
        What labels join on; None unless a format was asked for it, and in a part of a batch.
    segments
        Values of the segment keys that a format was asked for, by key, each of length ``rows``;
        None where an event has no such value.
    params
        Parameters of each row's request, as JSON text (:mod:`collectors.params`); empty where no
        row has any.
    """

    model: str
    version: str
    role: Role
    latency_kind: LatencyKind
    ts: Floats
    latency_ms: Floats
    status: Ints
    weight: Floats
    columns: Mapping[str, Column] = field(default_factory=dict)
    requests_only: bool = False
    joins: JoinColumns | None = None
    segments: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    params: Sequence[str | None] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.ts)

    def take(self, rows: slice) -> PredictionBatch:
        """Return the rows of a slice without a step."""
        return self._chosen(
            rows,
            {name: column.take(rows) for name, column in self.columns.items()},
            {key: values[rows] for key, values in self.segments.items()},
            self.params[rows],
        )

    def pick(self, rows: Ints) -> PredictionBatch:
        """Return the rows at the indices `rows`, in that order."""
        return self._chosen(
            rows,
            {name: column.pick(rows) for name, column in self.columns.items()},
            {key: [values[row] for row in rows.tolist()] for key, values in self.segments.items()},
            [self.params[row] for row in rows.tolist()] if self.params else (),
        )

    def _chosen(
        self,
        rows: slice | Ints,
        columns: Mapping[str, Column],
        segments: Mapping[str, Sequence[str | None]],
        params: Sequence[str | None],
    ) -> PredictionBatch:
        return replace(
            self,
            ts=self.ts[rows],
            latency_ms=self.latency_ms[rows],
            status=self.status[rows],
            weight=self.weight[rows],
            columns=columns,
            joins=None,
            segments=segments,
            params=params,
        )

    def answered(self) -> PredictionBatch:
        """Return the rows whose request did not fail; the batch itself when none did.

        A failed request has no answer to measure, and its features were often never read: its
        row says something about errors, and nothing about any column.
        """
        failed = self.status >= ERROR_STATUS_MIN
        return self.pick(np.flatnonzero(~failed)) if failed.any() else self


@dataclass(frozen=True, slots=True)
class Schema:
    """Which columns a format decodes, and as what.

    Parameters
    ----------
    columns
        Column name to kind, features and ``"prediction"`` alike.
    dimensions
        Length of the arrays of columns of vectors, as far as it is known.
    """

    columns: Mapping[str, ColumnKind]
    dimensions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that could not be used.

    Parameters
    ----------
    reason
        One of :data:`REASONS`.
    line
        The first bytes of the line, at most 4 KiB, for the quarantine file.
    """

    reason: str
    line: bytes


#: Why a line is rejected: a closed set, because it becomes a metric's label.
REASONS = (
    "malformed",  # not JSON, or JSON that is not an object
    "not_utf8",
    "wrong_type",  # a known key whose value is of a type that INTERFACE §3 does not allow
    "missing_key",  # no ts, or neither features nor prediction
    "bad_time",  # ts is not a time
    "too_long",  # longer than max_event_bytes
    "too_deep",
    "wrong_model",  # the event names another model
    "rows_differ",  # a request of so many rows, an answer of another number
    "not_mapped",  # the format's own code failed on the line
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a format made of one chunk of lines.

    Parameters
    ----------
    batches
        The usable rows, one batch for each (model, version, role, latency kind) in the chunk.
    rejections
        The lines that could not be used, in order.
    unknown_keys
        Keys that the event format does not know (ignored, counted): name to lines.
    ignored
        Lines that belong to the log and hold no prediction: a header, a health check.
    joined
        Events made of two halves.
    alone
        Halves whose other half did not come in time; they count as rows of their own.
    labels
        Labels that came in lines of their own, from a format that was asked for them.
    """

    batches: Sequence[PredictionBatch]
    rejections: Sequence[Rejection] = ()
    unknown_keys: Mapping[str, int] = field(default_factory=dict)
    ignored: int = 0
    joined: int = 0
    alone: int = 0
    labels: Sequence[LabelRows] = ()
