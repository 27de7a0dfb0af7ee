"""Windows for the tests of the drift rule: made of values, counted as the daemon counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collectors.batch import CategoryColumn, Column, Floats, NumberColumn
from detectors.kinds import measure
from detectors.reference.reference import Reference
from detectors.rules.drift_memory import DriftMemory
from detectors.rules.drift_rule import Drift, DriftRule, DriftWindow
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.judgement import RuleSpec, Verdict
from detectors.windows.pane import Pane
from tests.detectors.batches import batch_of, reference_of

LENGTH_S = 300.0


def rule_of(
    spec: DriftSpec,
    *,
    columns: tuple[str, ...] = ("*",),
    min_events: int = 50,
    on_missing: Verdict = "unknown",
) -> DriftRule:
    rule = RuleSpec(
        "any",
        "drift",
        columns,
        above=spec.tolerance,
        min_events=min_events,
        on_missing=on_missing,
        drift=spec,
    )
    return DriftRule(rule, confidence=0.99, psi_bins=10)


def window_of(
    reference: Reference, columns: Mapping[str, Column], *, begins: float = 0.0
) -> DriftWindow:
    """Count one window's columns, and measure them as far as the rule needs it."""
    pane = Pane(reference, reference.schema())
    rows = max((len(column.values) for column in columns.values()), default=0)
    if rows:
        pane.add(batch_of([begins] * rows, columns))
    found = measure(pane, reference, seconds=LENGTH_S, confidence=0.99, metrics=("ks",))
    return DriftWindow(pane.columns, pane.events, begins, found)


@dataclass(slots=True)
class Stream:
    """A version's windows, one after the other."""

    rule: DriftRule
    reference: Reference
    memory: DriftMemory | None = None
    windows: int = 0

    def next(self, columns: Mapping[str, Column]) -> Drift:
        """Judge the next window."""
        begins = self.windows * LENGTH_S
        window = window_of(self.reference, columns, begins=begins)
        drift = self.rule.judge(window, self.reference, self.memory)
        self.memory = drift.memory
        self.windows += 1
        return drift


def normals(
    rng: np.random.Generator, rows: int, shifts: Sequence[float]
) -> dict[str, NumberColumn]:
    """Columns ``c0``, ``c1``, … of normal values, each moved by so many standard deviations."""
    return {f"c{i}": NumberColumn(rng.normal(shift, size=rows)) for i, shift in enumerate(shifts)}


def mixed(rng: np.random.Generator, rows: int) -> dict[str, Column]:
    """A column of each kind: numbers, few numbers, categories, a constant, half of it missing."""
    half = rng.normal(size=rows)
    half[rng.random(rows) < 0.5] = np.nan
    plans = rng.choice(["basic", "gold", "silver", "none"], rows, p=[0.5, 0.3, 0.19, 0.01])
    few: Floats = rng.poisson(1.5, rows).astype(np.float64)
    return {
        "amount": NumberColumn(rng.lognormal(size=rows)),
        "constant": NumberColumn(np.full(rows, 7.0)),
        "few": NumberColumn(few),
        "half": NumberColumn(half),
        "plan": CategoryColumn(plans.tolist()),
    }


def mixed_reference(rng: np.random.Generator, rows: int) -> Reference:
    return reference_of(mixed(rng, rows))
