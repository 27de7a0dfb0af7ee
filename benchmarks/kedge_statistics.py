"""Kedge over two tables, whole: the process that `benchmarks.column_statistics` measures.

    python -m benchmarks.kedge_statistics TABLES.npz [joint]

KS and PSI are of one column at a time: with `joint`, both tables are counted for correlations as
well, which `[detectors] joint` switches. It imports the statistics and not the daemon, as the
peers' processes import no more than theirs.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from collectors.batch import CategoryColumn, Column, NumberColumn, PredictionBatch, Schema
from detectors.kinds import measure
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.windows.pane import Pane


def read_tables(path: Path) -> list[dict[str, Column]]:
    with np.load(path) as file:
        arrays = dict(file)
    tables: list[dict[str, Column]] = []
    for side in ("reference", "window"):
        columns: dict[str, Column] = {
            f"number_{i}": NumberColumn(column)
            for i, column in enumerate(arrays[f"{side}_numbers"])
        }
        for i, codes in enumerate(arrays[f"{side}_codes"]):
            names = np.array([f"v{code}" for code in range(codes.max() + 1)], object)
            columns[f"category_{i}"] = CategoryColumn(names[codes].tolist())
        tables.append(columns)
    return tables


def batch_of(columns: dict[str, Column]) -> PredictionBatch:
    rows = max(len(column.values) for column in columns.values())
    nothing = np.full(rows, np.nan)
    return PredictionBatch(
        model="m",
        version="1",
        role="live",
        latency_kind="model",
        ts=np.zeros(rows),
        latency_ms=nothing,
        status=np.full(rows, 200, np.int64),
        weight=np.ones(rows),
        columns=columns,
    )


def reference_of(columns: dict[str, Column], *, joint: bool = True) -> Reference:
    builder = ReferenceBuilder(joint=joint)
    builder.add(columns)
    return builder.build(created=0.0, origin="benchmark")


def main() -> None:
    path, joint = Path(sys.argv[1]), sys.argv[2:] == ["joint"]
    before, now = read_tables(path)
    began = time.process_time()
    reference = reference_of(before, joint=joint)
    built = time.process_time()
    pane = Pane(reference, Schema({}), joint=joint)
    pane.add(batch_of(now))
    found = measure(pane, reference, seconds=None, confidence=0.99, metrics=("psi", "ks"))
    ended = time.process_time()
    statistics = sum(one.column is not None for one in found)
    print(
        json.dumps({"computing": ended - began, "window": ended - built, "statistics": statistics})
    )


if __name__ == "__main__":
    main()
