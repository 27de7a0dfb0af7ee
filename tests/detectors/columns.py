"""One column of a reference and of a window, measured: for the tests of the statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from collectors.batch import CategoryColumn, Column, Floats, NumberColumn, Schema, VectorColumn
from detectors.kinds import COLUMN_METRICS, measure
from detectors.windows.pane import Pane
from tests.detectors.batches import batch_of, reference_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from detectors.measurement import Measurement
    from detectors.reference.reference import Reference

Values: TypeAlias = "Floats | Sequence[str | None]"


def column_of(values: Values) -> Column:
    if isinstance(values, np.ndarray):
        return NumberColumn(values) if values.ndim == 1 else VectorColumn(values)
    return CategoryColumn(values)


def reference_to(values: Values) -> Reference:
    return reference_of({"x": column_of(values)})


def pane_of(reference: Reference, *parts: Values) -> Pane:
    """One pane of all parts, each a batch."""
    pane = Pane(reference, Schema({}))
    for values in parts:
        pane.add(batch_of([0.0] * len(values), {"x": column_of(values)}))
    return pane


def measured_pane(
    pane: Pane,
    reference: Reference,
    *,
    confidence: float = 0.95,
    metrics: Collection[str] = COLUMN_METRICS,
) -> dict[str, Measurement]:
    found = measure(pane, reference, seconds=None, confidence=confidence, metrics=metrics)
    return {one.metric: one for one in found if one.column == "x"}


def compared(
    reference: Values,
    window: Values,
    *,
    confidence: float = 0.95,
    metrics: Collection[str] = COLUMN_METRICS,
) -> dict[str, Measurement]:
    """Every column metric that applies, by name."""
    known = reference_to(reference)
    return measured_pane(pane_of(known, window), known, confidence=confidence, metrics=metrics)
