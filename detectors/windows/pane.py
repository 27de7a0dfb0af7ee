"""A pane: the additive statistics of one short interval of one version's traffic."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from collectors.batch import ERROR_STATUS_MIN, LatencyKind, Schema
from detectors.columns.column_counts import (
    ColumnCounts,
    ColumnState,
    add_column,
    counts_of,
    counts_of_state,
    counts_over,
    merge_column,
)
from detectors.columns.latency import LatencyHistogram, LatencyState
from detectors.joint.counts import JointCounts, JointState
from detectors.numerics.packing import PackingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collectors.batch import Ints, PredictionBatch
    from detectors.columns.profile import Profile
    from detectors.reference.reference import Reference

#: Weights are summed as whole multiples of a millionth part or so of a request, because sums
#: of floating-point numbers depend on their order and a pane's must not.
_WEIGHT_UNITS = 1 << 20
_FORMAT = 1
#: Where :data:`collectors.batch.STATUS_UNKNOWN` falls; no status of HTTP does.
_UNKNOWN_CLASS = 0


class PaneError(ValueError):
    """Bytes that are no pane, or a pane that does not belong to the one it should join."""


class PaneReferenceError(PaneError):
    """A pane that was counted against another reference."""


class _PaneState(msgspec.Struct, array_like=True, frozen=True):
    format: int
    digest: str
    events: int
    answered: int
    requests: int
    errors: int
    weight_units: int
    statuses: dict[int, int]
    first_ts: float
    last_ts: float
    latency: dict[LatencyKind, LatencyState]
    columns: dict[str, ColumnState]
    joint: JointState | None = None


class Pane:
    """Counts of rows, requests, latencies and column values; panes of one reference add up.

    ``merge(a, b)`` equals the statistics of all their rows in one pane, exactly, in any order and
    however the rows were batched.

    Parameters
    ----------
    reference
        What columns are counted against; None while there is none, then only rows, missing and
        invalid values are counted.
    columns
        Which columns to count. A row of a batch without such a column counts as missing there;
        a column that only batches bring is counted from when it first comes, and as missing
        in the rows before.
    joint
        Whether to count what the reference's number columns have in common, if it knows it.

    Attributes
    ----------
    events
        Rows.
    answered
        Rows whose request did not fail: those that the columns are counted in. Rows that tell of
        requests only are not among them.
    requests
        Rows with a status: a request of several rows carries it once.
    errors
        Requests with a status of :data:`collectors.batch.ERROR_STATUS_MIN` or more.
    weight
        Requests that these stand for, where only a share of the traffic is logged.
    statuses
        Requests by class of status: 2 for 200 to 299, 0 where the log does not say.
    latency
        Histogram by latency kind.
    first_ts, last_ts
        Smallest and largest event time, seconds since the epoch; ``inf`` and ``-inf`` of no rows.
    columns
        Counts by column name.
    joint
        Products of several columns; None where they are not counted. Rows from before they
        were are not among its rows.
    """

    __slots__ = (
        "answered",
        "columns",
        "errors",
        "events",
        "first_ts",
        "joint",
        "last_ts",
        "latency",
        "reference",
        "requests",
        "statuses",
        "weight_units",
    )

    def __init__(self, reference: Reference | None, columns: Schema, *, joint: bool = True) -> None:
        self.events = 0
        self.answered = 0
        self.requests = 0
        self.errors = 0
        self.weight_units = 0
        self.statuses: dict[int, int] = {}
        self.first_ts = math.inf
        self.last_ts = -math.inf
        self.latency: dict[LatencyKind, LatencyHistogram] = {}
        self.reference = reference
        self.columns: dict[str, ColumnCounts] = {
            name: counts_of(_profile(reference, name)) for name in columns.columns
        }
        common = reference.joint if reference and joint else None
        self.joint = JointCounts(common.tables) if common else None

    @property
    def digest(self) -> str:
        """Digest of the reference that columns are counted against; empty without one."""
        return self.reference.digest if self.reference else ""

    @property
    def ended(self) -> int:
        """Requests of which it is known how they ended."""
        return self.requests - self.statuses.get(_UNKNOWN_CLASS, 0)

    @property
    def weight(self) -> float:
        """Requests that the counted ones stand for."""
        return self.weight_units / _WEIGHT_UNITS

    def add(self, batch: PredictionBatch, rows: slice | Ints | None = None) -> None:
        """Count the rows of `batch`, or those at `rows` of it (a slice without a step, or indices).

        Values of another kind than the reference's count as invalid.
        """
        if isinstance(rows, slice):
            batch = batch.take(rows)
        elif rows is not None:
            batch = batch.pick(rows)
        if not batch.rows:
            return
        if not batch.requests_only:
            self._add_columns(batch.answered())
        self.events += batch.rows
        self.first_ts = min(self.first_ts, float(batch.ts.min()))
        self.last_ts = max(self.last_ts, float(batch.ts.max()))
        self._add_requests(batch)

    def _add_columns(self, batch: PredictionBatch) -> None:
        for name, column in batch.columns.items():
            add_column(self._counts(name), column, batch.ts)
        for name, counts in self.columns.items():
            if name not in batch.columns:
                counts.miss(batch.rows)
        if self.joint is not None:
            self.joint.add(batch.columns, batch.rows)
        self.answered += batch.rows

    def merge(self, other: Pane) -> None:
        """Add what `other` holds; it stays as it is.

        Raises
        ------
        PaneReferenceError
            If it was counted against another reference.
        """
        if other.digest != self.digest:
            raise PaneReferenceError(
                f"cannot add a pane counted against reference {other.digest[:12] or 'none'} "
                f"to one counted against {self.digest[:12] or 'none'}"
            )
        for name, counts in other.columns.items():
            merge_column(self._counts(name), counts)
        for name, counts in self.columns.items():
            if name not in other.columns:
                counts.miss(other.answered)
        if other.joint is not None:
            if self.joint is None:
                self.joint = JointCounts(other.joint.tables)
            self.joint.merge(other.joint)
        self.events += other.events
        self.answered += other.answered
        self.requests += other.requests
        self.errors += other.errors
        self.weight_units += other.weight_units
        self.first_ts = min(self.first_ts, other.first_ts)
        self.last_ts = max(self.last_ts, other.last_ts)
        for status, requests in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + requests
        for kind, histogram in other.latency.items():
            self.latency.setdefault(kind, LatencyHistogram()).merge(histogram)

    @classmethod
    def sum(cls, panes: Iterable[Pane]) -> Pane:
        """Return one pane with what all `panes` hold; they stay as they are.

        Raises
        ------
        PaneReferenceError
            If they were counted against several references.
        ValueError
            If there is none: then there is no reference to count against.
        """
        first, *rest = panes
        total = cls(first.reference, Schema({}), joint=False)
        for pane in (first, *rest):
            total.merge(pane)
        return total

    def rebased(self, reference: Reference | None, columns: Schema, *, joint: bool = True) -> Pane:
        """Return the same rows with columns counted against `reference` from here on.

        What was counted of columns against another reference cannot be carried over: it is
        dropped, and the columns' own row counts say so. Requests and latencies stay.
        """
        return Pane.decode_rebased(self.encode(), reference, columns, joint=joint)

    def over(self, part: Reference) -> Pane:
        """Return the same rows counted over a part of the reference's points: for a comparison."""
        pane = copy.copy(self)
        pane.reference = part
        pane.columns = {
            name: counts_over(counts, part.columns.get(name))
            for name, counts in self.columns.items()
        }
        return pane

    def encode(self) -> bytes:
        """Everything to go on from, for the store; panes of equal statistics give equal bytes."""
        state = _PaneState(
            format=_FORMAT,
            digest=self.digest,
            events=self.events,
            answered=self.answered,
            requests=self.requests,
            errors=self.errors,
            weight_units=self.weight_units,
            statuses=dict(sorted(self.statuses.items())),
            first_ts=self.first_ts,
            last_ts=self.last_ts,
            latency={kind: self.latency[kind].state() for kind in sorted(self.latency)},
            columns={name: self.columns[name].state() for name in sorted(self.columns)},
            joint=self.joint.state() if self.joint is not None else None,
        )
        return msgspec.msgpack.encode(state)

    @classmethod
    def decode(
        cls, data: bytes, reference: Reference | None, columns: Schema, *, joint: bool = True
    ) -> Pane:
        """Go on where `encode` stood.

        A column of `columns` that the bytes do not hold is counted from here on, and so is what
        columns have in common where they hold nothing of it, or of other columns.

        Raises
        ------
        PaneReferenceError
            If the pane was counted against another reference.
        PaneError
            If the bytes are damaged, or of a format that this program does not know.
        """
        state = _state(data)
        pane = cls(reference, columns, joint=joint)
        if state.digest != pane.digest:
            raise PaneReferenceError(
                f"the stored pane was counted against reference {state.digest[:12] or 'none'}, "
                f"the present one is {pane.digest[:12] or 'none'}"
            )
        pane._restore(state)
        try:
            for name, kept in state.columns.items():
                pane.columns[name] = _restored(kept, reference, name)
            if pane.joint is not None and state.joint is not None:
                pane.joint = pane.joint.restored(state.joint)
        except PackingError as error:
            raise PaneError(f"the stored pane is damaged: {error}") from error
        return pane

    @classmethod
    def decode_rebased(
        cls, data: bytes, reference: Reference | None, columns: Schema, *, joint: bool = True
    ) -> Pane:
        """As `decode`, but a pane of another reference loses its columns' counts (`rebased`).

        Raises
        ------
        PaneError
            If the bytes are damaged, or of a format that this program does not know.
        """
        try:
            return cls.decode(data, reference, columns, joint=joint)
        except PaneReferenceError:
            pane = cls(reference, columns, joint=joint)
            pane._restore(_state(data))
            return pane

    def _restore(self, state: _PaneState) -> None:
        self.events, self.answered = state.events, state.answered
        self.requests, self.errors = state.requests, state.errors
        self.weight_units, self.statuses = state.weight_units, dict(state.statuses)
        self.first_ts, self.last_ts = state.first_ts, state.last_ts
        try:
            self.latency = {
                kind: LatencyHistogram.of_state(kept) for kind, kept in state.latency.items()
            }
        except PackingError as error:
            raise PaneError(f"the stored pane is damaged: {error}") from error

    def _counts(self, name: str) -> ColumnCounts:
        """Return the counts of a column; in the rows before it first came, it was missing."""
        if name not in self.columns:
            self.columns[name] = counts_of(_profile(self.reference, name))
            self.columns[name].miss(self.answered)
        return self.columns[name]

    def _add_requests(self, batch: PredictionBatch) -> None:
        carries_status = batch.status != 0
        status = batch.status[carries_status]
        self.requests += int(status.size)
        self.errors += int(np.count_nonzero(status >= ERROR_STATUS_MIN))
        units = np.rint(batch.weight[carries_status] * _WEIGHT_UNITS)
        self.weight_units += int(units.astype(np.int64).sum())
        classes = np.bincount(np.clip(status // 100, 0, 9), minlength=1)
        for key in np.flatnonzero(classes).tolist():
            self.statuses[key] = self.statuses.get(key, 0) + int(classes[key])
        if not np.isnan(batch.latency_ms).all():
            histogram = self.latency.setdefault(batch.latency_kind, LatencyHistogram())
            histogram.add(batch.latency_ms)


def _state(data: bytes) -> _PaneState:
    try:
        state = msgspec.msgpack.decode(data, type=_PaneState)
    except msgspec.DecodeError as error:
        raise PaneError(f"the stored pane is damaged: {error}") from error
    if state.format != _FORMAT:
        raise PaneError(
            f"the stored pane has format {state.format}, this program knows {_FORMAT}; "
            "let the program that wrote it close its windows first, or drop its panes"
        )
    return state


def _profile(reference: Reference | None, name: str) -> Profile | None:
    return reference.columns.get(name) if reference else None


def _restored(state: ColumnState, reference: Reference | None, name: str) -> ColumnCounts:
    try:
        return counts_of_state(state, _profile(reference, name))
    except PackingError as error:
        raise PackingError(f"column {name!r}: {error}") from error
