"""Samples of formats, and what was decoded of them as rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collectors.batch import Decoded, NumberColumn
from collectors.format import Format
from collectors.formats.options import ColumnNames, FormatOptions
from collectors.kinds import FORMATS

SAMPLES = Path(__file__).with_name("samples")
#: 2026-03-04T10:00:00Z, the time of the samples that were not recorded.
TS = 1_772_618_400.0
NOW = 1_800_000_000.0


def sample(name: str) -> bytes:
    """Read the lines of a sample."""
    return (SAMPLES / name).read_bytes()


def make(name: str, *, columns: ColumnNames | None = None, **options: Any) -> Format:  # noqa: ANN401 - as FormatOptions has them
    """Make a format as a configuration would; lines without a time are of `NOW`."""
    given = FormatOptions(**options, columns=columns or ColumnNames())
    kind: Any = FORMATS[name]
    if getattr(kind, "arrives", False):
        made: Format = kind("credit-default", options=given, clock=lambda: NOW)
        return made
    return FORMATS[name]("credit-default", options=given)


def rows(decoded: Decoded, *names: str) -> list[dict[str, Any]]:
    """What each row says of `names`, missing values left out, in the order of time."""
    found = [row for batch in decoded.batches for row in _rows_of(batch)]
    found.sort(key=lambda row: row["ts"])
    return [{name: row[name] for name in names if name in row} for row in found]


def columns(decoded: Decoded) -> list[dict[str, Any]]:
    """The columns of each row, missing values left out."""
    found = [row for batch in decoded.batches for row in _rows_of(batch)]
    found.sort(key=lambda row: row["ts"])
    return [
        {
            name: value
            for name, value in row.items()
            if name not in ("ts", "version", "latency_ms", "status", "kind", "weight", "role")
        }
        for row in found
    ]


def later_labels(decoded: Decoded) -> list[tuple[str, Any, float]]:
    """Labels that came in lines of their own: id, label, time."""
    return [
        row
        for part in decoded.labels
        for row in zip(part.ids, part.labels, part.ts.tolist(), strict=True)
    ]


def reasons(decoded: Decoded) -> Sequence[str]:
    """Why lines were rejected."""
    return [rejection.reason for rejection in decoded.rejections]


def _rows_of(batch: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any batch
    found = []
    for i in range(batch.rows):
        row: dict[str, Any] = {
            "ts": float(batch.ts[i]),
            "version": batch.version,
            "latency_ms": float(batch.latency_ms[i]),
            "status": int(batch.status[i]),
            "kind": batch.latency_kind,
            "weight": float(batch.weight[i]),
            "role": batch.role,
        }
        for name, column in batch.columns.items():
            value = column.values[i]
            row[name] = float(value) if isinstance(column, NumberColumn) else value
        found.append(
            {
                name: value
                for name, value in row.items()
                if value is not None and not (isinstance(value, float) and math.isnan(value))
            }
        )
    return found
