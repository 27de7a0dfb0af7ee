"""Tables of scores as they are kept in files and stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from detectors.joint.scores import ScoreTable, ScoreTables
from detectors.numerics.packing import PackedArray, pack_floats, unpack_floats

if TYPE_CHECKING:
    from collectors.batch import Floats


class TableState(msgspec.Struct, array_like=True, frozen=True):
    """One column's table."""

    name: str
    edges: PackedArray
    origin: float
    scale: float
    scores: bytes


TablesState: TypeAlias = list[TableState]


def packed_tables(tables: ScoreTables) -> TablesState:
    """Write tables."""
    return [
        TableState(
            name,
            pack_floats(one.edges),
            one.origin,
            one.scale,
            one.scores.astype(np.int8).tobytes(),
        )
        for name, one in tables.tables.items()
    ]


def unpacked_tables(state: TablesState) -> ScoreTables:
    """Read what `packed_tables` wrote.

    Raises
    ------
    PackingError
        If an array is none.
    ReferenceError
        If the parts contradict one another.
    """
    return ScoreTables({one.name: _table(one, unpack_floats(one.edges)) for one in state})


def _table(state: TableState, edges: Floats) -> ScoreTable:
    return ScoreTable(edges, state.origin, state.scale, np.frombuffer(state.scores, np.int8))
