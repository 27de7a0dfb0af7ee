"""Batches of rows for the tests of the statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, Column, LatencyKind, NumberColumn, PredictionBatch
from detectors.reference.reference import Reference, ReferenceBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def batch_of(
    ts: Sequence[float],
    columns: Mapping[str, Column] | None = None,
    *,
    version: str = "1",
    latency_ms: Sequence[float] | None = None,
    status: Sequence[int] | None = None,
    weight: Sequence[float] | None = None,
    latency_kind: LatencyKind = "model",
) -> PredictionBatch:
    rows = len(ts)
    return PredictionBatch(
        model="m",
        version=version,
        role="live",
        latency_kind=latency_kind,
        ts=np.array(ts, np.float64),
        latency_ms=np.array([np.nan] * rows if latency_ms is None else latency_ms, np.float64),
        status=np.array([200] * rows if status is None else status, np.int64),
        weight=np.array([1.0] * rows if weight is None else weight, np.float64),
        columns=columns or {},
    )


def reference_of(columns: Mapping[str, Column]) -> Reference:
    builder = ReferenceBuilder()
    builder.add(columns)
    return builder.build(created=0.0, origin="test")


#: Few distinct numbers, so that ties, ends and gaps are met; infinities and NaN among them.
NUMBERS = st.one_of(
    st.integers(-4, 4).map(float),
    st.sampled_from([0.5, 1e9, -1e9, float("inf"), float("-inf"), float("nan")]),
)
NAMES = st.sampled_from(["a", "b", "c", "new", "newer", None])


@st.composite
def batches(draw: st.DrawFn, rows_max: int = 12) -> PredictionBatch:
    rows = draw(st.integers(0, rows_max))

    def many(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    numbers = np.array(many(NUMBERS), np.float64)
    names = many(NAMES)
    broken = tuple(row for row in np.flatnonzero(np.isnan(numbers)).tolist() if row % 2)
    columns: dict[str, Column] = {
        "x": NumberColumn(numbers, broken),
        "c": CategoryColumn(names),  # type: ignore[arg-type]  # names and None, as drawn above
        "unknown": NumberColumn(np.array(many(NUMBERS), np.float64)),
    }
    for name in draw(st.sets(st.sampled_from(sorted(columns)))):
        del columns[name]
    return batch_of(
        many(st.integers(0, 600).map(float)),  # type: ignore[arg-type]  # floats, as mapped
        columns,
        latency_ms=many(  # type: ignore[arg-type]  # floats, as listed
            st.one_of(st.floats(0, 1e8), st.just(float("nan")))
        ),
        status=many(st.sampled_from([0, 200, 201, 404, 503])),  # type: ignore[arg-type]  # ints
        weight=many(st.sampled_from([1.0, 10 / 3, 10.0, 0.1])),  # type: ignore[arg-type]  # floats
        latency_kind=draw(st.sampled_from(["model", "server", "client"])),
    )
