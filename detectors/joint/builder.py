"""Collecting what a reference knows of its number columns together, in one pass over its rows."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from collectors.batch import NumberColumn
from detectors.joint.blocks import BLOCK_ROWS, BlockScales, BlockScalesState
from detectors.joint.estimates import ScoreMoments, ScoreMomentsState, joint_profile_of
from detectors.joint.scores import COLUMNS_MAX, ScoreTable, ScoreTables
from detectors.joint.tables import TablesState, packed_tables, unpacked_tables
from detectors.numerics.packing import PackedArray, PackingError, pack_floats, unpack_floats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectors.batch import Column, Floats
    from detectors.joint.profile import JointProfile
    from detectors.joint.scores import ScoreMatrix

#: The first rows fix the columns and their scores.
PILOT_ROWS = 4_096
#: Rows are counted so many together, at fixed places of the stream: sums of floating-point
#: numbers then do not depend on how it was cut into batches.
_TOGETHER_ROWS = 64 * BLOCK_ROWS


class JointBuilderState(msgspec.Struct, array_like=True, frozen=True):
    """What `JointBuilder` keeps in the store: rows that wait, and the rest once it is fixed."""

    in_order: bool
    pilot: dict[str, PackedArray]
    pilot_rows: int
    tables: TablesState | None
    left_out: int
    waiting: bytes
    moments: ScoreMomentsState | None
    scales: BlockScalesState | None


class _Counted:
    """What the rows behind the pilot, and those in it, add up to."""

    def __init__(self, columns: int, *, in_order: bool) -> None:
        self.moments = ScoreMoments(columns)
        self.scales = BlockScales(columns) if in_order else None

    def add(self, matrix: ScoreMatrix) -> None:
        self.moments.add(matrix)
        if self.scales:
            self.scales.add(matrix)


class JointBuilder:
    """Collects the joint profile; the result does not depend on how rows are cut into batches.

    The columns are those that have a number within the first :data:`PILOT_ROWS` rows, at most
    :data:`detectors.joint.scores.COLUMNS_MAX`, the first by name. Memory: 8 bytes a number of
    the pilot, then 100 kB for 20 columns and 5 MB for 64.

    Parameters
    ----------
    in_order
        Whether rows come as the traffic did, so that their order tells how blocks of it differ.
    """

    def __init__(self, *, in_order: bool = True) -> None:
        self._in_order = in_order
        self._pilot: dict[str, list[Floats]] = {}
        self._pilot_rows = 0
        self._tables: ScoreTables | None = None
        self._left_out = 0
        self._waiting: list[ScoreMatrix] = []
        self._waiting_rows = 0
        self._counted: _Counted | None = None

    def add(self, columns: Mapping[str, Column], rows: int) -> None:
        """Take `rows` rows of these columns."""
        start = 0
        if self._tables is None:
            start = min(rows, PILOT_ROWS - self._pilot_rows)
            self._take_pilot(columns, start)
        if self._tables is not None and start < rows:
            rest = {
                name: columns[name].take(slice(start, None))
                for name in self._tables.names
                if name in columns
            }
            self._wait(self._tables.matrix([(rest, rows - start)]))

    def profile(self) -> JointProfile | None:
        """Profile of the rows so far; None of fewer than two columns. More rows may follow."""
        if self._tables is None:
            if not self._pilot_rows:
                return None
            return deepcopy(self).fixed().profile()
        if self._counted is None or len(self._tables.tables) < 2:  # noqa: PLR2004 - a pair
            return None
        counted = deepcopy(self._counted)
        counted.add(self._joined())
        return joint_profile_of(self._tables, counted.moments, counted.scales, self._left_out)

    def state(self) -> JointBuilderState:
        """Everything to go on from; equal rows give equal states."""
        counted = self._counted
        return JointBuilderState(
            self._in_order,
            {name: pack_floats(np.concatenate(self._pilot[name])) for name in sorted(self._pilot)},
            self._pilot_rows,
            packed_tables(self._tables) if self._tables else None,
            self._left_out,
            self._joined().astype(np.int8).tobytes() if self._tables else b"",
            counted.moments.state() if counted else None,
            counted.scales.state() if counted and counted.scales else None,
        )

    @classmethod
    def of_state(cls, state: JointBuilderState) -> JointBuilder:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls(in_order=state.in_order)
        self._pilot_rows, self._left_out = state.pilot_rows, state.left_out
        self._pilot = {name: [unpack_floats(kept)] for name, kept in state.pilot.items()}
        if any(parts[0].size != state.pilot_rows for parts in self._pilot.values()):
            raise PackingError("columns of a pilot that differ in length")
        if state.tables is None:
            return self
        self._tables = unpacked_tables(state.tables)
        size = len(self._tables.tables)
        if state.moments is None or (state.scales is None) == state.in_order:
            raise PackingError("tables of scores without what they were counted for")
        if len(state.waiting) % max(1, size):
            raise PackingError("rows of scores that are cut off")
        self._counted = _Counted(size, in_order=state.in_order)
        self._counted.moments = ScoreMoments.of_state(state.moments, size)
        if state.scales is not None:
            self._counted.scales = BlockScales.of_state(state.scales, size)
        if size:
            waiting = np.frombuffer(state.waiting, np.int8).reshape(size, -1)
            self._wait(waiting.astype(np.float32))
        return self

    def _take_pilot(self, columns: Mapping[str, Column], rows: int) -> None:
        for name, column in columns.items():
            if isinstance(column, NumberColumn) and not np.isnan(column.values[:rows]).all():
                self._pilot.setdefault(name, [np.full(self._pilot_rows, np.nan)])
        self._pilot_rows += rows
        for name, parts in self._pilot.items():
            # A part of its own, because a view would keep the whole batch in memory.
            part = np.full(rows, np.nan)
            named = columns.get(name)
            if isinstance(named, NumberColumn):
                values = named.values[:rows]
                part[: values.size] = values
            parts.append(part)
        if self._pilot_rows == PILOT_ROWS:
            self.fixed()

    def fixed(self) -> JointBuilder:
        """Fix columns and scores by the rows so far, and count those."""
        known = {name: np.concatenate(parts) for name, parts in self._pilot.items()}
        names = sorted(known)[:COLUMNS_MAX]
        self._left_out = len(known) - len(names)
        self._tables = ScoreTables({name: ScoreTable.of_pilot(known[name]) for name in names})
        self._counted = _Counted(len(names), in_order=self._in_order)
        columns: dict[str, Column] = {name: NumberColumn(known[name]) for name in names}
        self._wait(self._tables.matrix([(columns, self._pilot_rows)]))
        self._pilot, self._pilot_rows = {}, 0
        return self

    def _wait(self, matrix: ScoreMatrix) -> None:
        self._waiting.append(matrix)
        self._waiting_rows += matrix.shape[1]
        if self._waiting_rows >= _TOGETHER_ROWS and self._counted is not None:
            whole = self._joined()
            stop = whole.shape[1] // _TOGETHER_ROWS * _TOGETHER_ROWS
            for start in range(0, stop, _TOGETHER_ROWS):
                self._counted.add(whole[:, start : start + _TOGETHER_ROWS])
            self._waiting = [whole[:, stop:].copy()]
            self._waiting_rows = whole.shape[1] - stop

    def _joined(self) -> ScoreMatrix:
        size = len(self._tables.tables) if self._tables else 0
        return np.concatenate([np.empty((size, 0), np.float32), *self._waiting], axis=1)
