"""The promise of a drift rule, kept in simulation: false alarms in a month, and what they cost.

A month of half-hourly windows over a hundred columns; run with ``-s`` to see the delays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from collectors.batch import CategoryColumn, Column, NumberColumn
from detectors.rules.drift_spec import DriftSpec
from tests.detectors.batches import reference_of
from tests.detectors.drifting import Stream, rule_of

LENGTH_S = 300.0
MONTH = 1_440
SPEC = DriftSpec.of_budget(1, MONTH, length_s=LENGTH_S)

pytestmark = pytest.mark.slow


def columns(
    rng: np.random.Generator, rows: int, *, common: float, shift: float = 0.0
) -> Mapping[str, Column]:
    """A hundred columns that share a part of their variance; the first can move."""
    shared = rng.normal(size=rows) * np.sqrt(common)
    made: dict[str, Column] = {}
    for i in range(80):
        values = shared + rng.normal(size=rows) * np.sqrt(1 - common)
        made[f"n{i:02d}"] = NumberColumn(values + shift if i == 0 else values)
    for i in range(10):
        made[f"f{i}"] = NumberColumn(np.floor(3 * np.exp(shared / (i + 2))).clip(0, 20))
        names = np.array(["a", "b", "c", "d", "rare"])
        codes = np.digitize(shared + rng.normal(size=rows), [-1.0, 0.0, 1.0, 3.7])
        made[f"c{i}"] = CategoryColumn(names[codes].tolist())
    return made


def alarms(stream: Stream, windows: Iterator[Mapping[str, Column]]) -> int:
    """How many breaches begin."""
    begun, before = 0, False
    for window in windows:
        breach = stream.next(window).judgement.verdict == "breach"
        begun += breach and not before
        before = breach
    return begun


@pytest.mark.parametrize(
    ("reference_rows", "rows", "common"),
    [(20_000, 300, 0.0), (20_000, 300, 0.5), (500, 300, 0.0), (300, 1_000, 0.0)],
    ids=["independent columns", "columns that move together", "a small reference", "a tiny one"],
)
@pytest.mark.timeout(900)
def test_a_month_of_a_hundred_columns_has_one_false_alarm_at_most(
    reference_rows: int, rows: int, common: float
) -> None:
    rng = np.random.default_rng(reference_rows + rows)
    stream = Stream(rule_of(SPEC), reference_of(dict(columns(rng, reference_rows, common=common))))

    begun = alarms(stream, (columns(rng, rows, common=common) for _ in range(MONTH)))

    print(f"{reference_rows} reference rows, windows of {rows}: {begun} false alarms in a month")  # noqa: T201 - beside the promise
    assert begun <= 1


@pytest.mark.parametrize("rows", [50, 1_000])
@pytest.mark.timeout(900)
def test_many_short_months_of_few_columns_have_one_false_alarm_each_at_most(rows: int) -> None:
    rng = np.random.default_rng(rows)
    budget, months, begun = 50, 40, 0
    spec = DriftSpec.of_budget(1, budget, length_s=LENGTH_S)

    for _ in range(months):
        reference = reference_of({f"c{i}": NumberColumn(rng.normal(size=400)) for i in range(5)})
        stream = Stream(rule_of(spec), reference)
        begun += alarms(
            stream,
            (
                {f"c{i}": NumberColumn(rng.normal(size=rows)) for i in range(5)}
                for _ in range(budget)
            ),
        )

    print(f"windows of {rows}: {begun} false alarms in {months} budgets of one")  # noqa: T201 - beside the promise
    assert begun <= months


@pytest.mark.parametrize(("sd", "windows_max"), [(0.15, 60), (0.2, 15), (0.3, 4), (0.5, 1)])
@pytest.mark.timeout(900)
def test_what_the_promise_costs_in_delay(sd: float, windows_max: int) -> None:
    rng = np.random.default_rng(31)
    delays = []

    for _ in range(5):
        reference = reference_of(dict(columns(rng, 20_000, common=0.2)))
        stream = Stream(rule_of(SPEC), reference)
        for _ in range(10):
            stream.next(columns(rng, 1_000, common=0.2))
        for delay in range(1, 4 * windows_max + 1):  # noqa: B007 - what is measured
            drift = stream.next(columns(rng, 1_000, common=0.2, shift=sd))
            if drift.judgement.verdict == "breach":
                assert drift.judgement.column == "n00"
                break
        delays.append(delay)

    print(f"one of 100 columns moved by {sd} sd, windows of 1,000 rows: after {sorted(delays)}")  # noqa: T201 - beside the promise
    assert np.median(delays) <= windows_max
