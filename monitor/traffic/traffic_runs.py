"""Runs: so many rows of a version in the order in which they came, to sample traffic by.

A run and not a row is what is kept or passed over, so that a reference of sampled traffic can
still tell how much neighbouring rows have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

import msgspec
import numpy as np

from collectors.batch import (
    CategoryColumn,
    Column,
    Floats,
    NumberColumn,
    PredictionBatch,
    VectorColumn,
)
from collectors.formats.event_vectors import joined_vectors
from detectors.numerics.packing import (
    PackedArray,
    pack_counts,
    pack_floats,
    unpack_counts,
    unpack_floats,
)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Consecutive answered rows of one version.

    Parameters
    ----------
    priority
        Chance decides which runs are kept: those of the smallest, uniform in ``[0, 1)``.
    ts
        Event times, seconds since the epoch, shape ``(rows,)``.
    columns
        As in a batch.
    """

    version: str
    priority: float
    ts: Floats
    columns: Mapping[str, Column]
    at: float = field(init=False)
    """When it was: the median, since one wrong clock must not move a run."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", float(np.median(self.ts)))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.ts)


class OpenRun:
    """A run that is being filled."""

    def __init__(self, version: str, priority: float) -> None:
        self._version = version
        self._priority = priority
        self._parts: list[Run] = []
        self.rows = 0

    @classmethod
    def of(cls, run: Run) -> OpenRun:
        """Go on filling a run."""
        opened = cls(run.version, run.priority)
        opened._parts, opened.rows = [run], run.rows
        return opened

    @property
    def begins(self) -> float:
        """Event time of the first row."""
        return float(self._parts[0].ts[0])

    def add(self, batch: PredictionBatch) -> None:
        """Append the rows of a batch, of answered requests of the same version."""
        if batch.rows:
            # Copied, for a slice would keep the whole batch in memory.
            columns = {name: _copied(column) for name, column in batch.columns.items()}
            self._parts.append(Run(self._version, self._priority, batch.ts.copy(), columns))
            self.rows += batch.rows

    def run(self) -> Run:
        """Return the rows so far as one run."""
        if len(self._parts) != 1:
            self._parts = [self._joined()]
        return self._parts[0]

    def _joined(self) -> Run:
        ts = np.concatenate([np.empty(0), *(part.ts for part in self._parts)])
        kinds = kinds_of(self._parts)
        columns = {
            name: _concatenated([_column(part, name, kind) for part in self._parts], kind)
            for name, kind in kinds.items()
        }
        return Run(self._version, self._priority, ts, columns)


def kinds_of(runs: Iterable[Run]) -> dict[str, type[Column]]:
    """Columns of several runs, and what they hold; the last word counts."""
    return {name: type(column) for run in runs for name, column in run.columns.items()}


def _column(run: Run, name: str, kind: type[Column]) -> Column:
    """Return a column of a run, missing throughout where it has none of the kind.

    Vectors without a value have one number, which joins with any others.
    """
    column = run.columns.get(name)
    if isinstance(column, kind):
        return column
    if kind is NumberColumn:
        return NumberColumn(np.full(run.rows, np.nan))
    if kind is VectorColumn:
        return VectorColumn(np.full((run.rows, 1), np.nan))
    return CategoryColumn([None] * run.rows)


def _concatenated(columns: Sequence[Column], kind: type[Column]) -> Column:
    starts = np.cumsum([0, *(len(column.values) for column in columns)]).tolist()
    invalid = tuple(
        start + row
        for start, column in zip(starts, columns, strict=False)
        for row in column.invalid_rows
    )
    if kind is NumberColumn:
        return NumberColumn(np.concatenate([column.values for column in columns]), invalid)
    if kind is VectorColumn:
        rows = [len(column.values) for column in columns]
        return VectorColumn(joined_vectors(columns, rows), invalid)
    return CategoryColumn(list(chain.from_iterable(column.values for column in columns)), invalid)


def _copied(column: Column) -> Column:
    if isinstance(column, NumberColumn):
        return NumberColumn(column.values.copy(), column.invalid_rows)
    if isinstance(column, VectorColumn):
        return VectorColumn(column.values.copy(), column.invalid_rows)
    return CategoryColumn(list(column.values), column.invalid_rows)


class _Numbers(msgspec.Struct, array_like=True, frozen=True, tag="number"):
    values: PackedArray
    invalid: PackedArray


class _Categories(msgspec.Struct, array_like=True, frozen=True, tag="category"):
    names: list[str]
    codes: PackedArray
    invalid: PackedArray


class _Vectors(msgspec.Struct, array_like=True, frozen=True, tag="vector"):
    values: PackedArray
    dimensions: int
    invalid: PackedArray


_Packed: TypeAlias = _Numbers | _Categories | _Vectors


class RunState(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a run in the store."""

    version: str
    priority: float
    ts: PackedArray
    columns: dict[str, _Packed]


def state_of(run: Run) -> RunState:
    """Return what to keep of a run."""
    columns = {name: _packed(column) for name, column in run.columns.items()}
    return RunState(run.version, run.priority, pack_floats(run.ts), columns)


def run_of(state: RunState) -> Run:
    """Return the run of a state."""
    columns = {name: _unpacked(column) for name, column in state.columns.items()}
    return Run(state.version, state.priority, unpack_floats(state.ts), columns)


def _packed(column: Column) -> _Packed:
    invalid = pack_counts(np.array(column.invalid_rows, np.int64))
    if isinstance(column, NumberColumn):
        return _Numbers(pack_floats(column.values), invalid)
    if isinstance(column, VectorColumn):
        return _Vectors(pack_floats(column.values), column.dimensions, invalid)
    # Few distinct values in many rows: each is written once. Code 0 is no value.
    codes: dict[str | None, int] = {None: 0}
    coded = [codes.setdefault(value, len(codes)) for value in column.values]
    names = [value for value in codes if value is not None]
    return _Categories(names, pack_counts(np.array(coded, np.int64)), invalid)


def _unpacked(packed: _Packed) -> Column:
    invalid = tuple(unpack_counts(packed.invalid).tolist())
    if isinstance(packed, _Numbers):
        return NumberColumn(unpack_floats(packed.values), invalid)
    if isinstance(packed, _Vectors):
        values = unpack_floats(packed.values).reshape(-1, max(1, packed.dimensions))
        return VectorColumn(values, invalid)
    names: list[str | None] = [None, *packed.names]
    codes = unpack_counts(packed.codes).tolist()
    return CategoryColumn([names[code] for code in codes], invalid)
