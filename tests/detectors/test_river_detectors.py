"""River's detectors behind our protocol: the same alarms as river itself, and over restarts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from river.drift import binary

from detectors.change.change import ChangeDetector, DamagedMemory, Memory
from detectors.change.change_kinds import CHANGE_KINDS
from detectors.change.river_detectors import critical_steps

#: Eager ones, so that short streams hold many changes.
EAGER: Mapping[str, Mapping[str, Any]] = {
    "adwin": {"delta": 0.05, "clock": 1},
    "kswin": {"alpha": 0.05, "window_size": 30, "stat_size": 10},
    "page_hinkley": {"delta": 0.005, "threshold": 2.0, "alpha": 0.99, "min_instances": 5},
    "ddm": {"warm_start": 5, "drift_threshold": 2.0},
    "eddm": {"warm_start": 5, "beta": 0.9},
    "hddm_a": {"drift_confidence": 0.05},
    "hddm_w": {"drift_confidence": 0.05, "lambda_val": 0.1},
}
RIVERS: Mapping[str, Callable[..., Any]] = {
    "adwin": drift.ADWIN,
    "kswin": drift.KSWIN,
    "page_hinkley": drift.PageHinkley,
    "ddm": binary.DDM,
    "eddm": lambda **asked: binary.EDDM(alpha=1.0, **asked),
    "hddm_a": lambda **asked: binary.HDDMA(two_sided_test=True, **asked),
    "hddm_w": lambda **asked: binary.HDDMW(two_sided_test=True, **asked),
}
OF_NUMBERS = ("adwin", "kswin", "page_hinkley")


def build(kind: str) -> ChangeDetector:
    return CHANGE_KINDS[kind](**EAGER[kind]).build(two_sided=True)


def stream(kind: str, seed: int, rows: int) -> list[float]:
    """Return a stream whose level changes every 40 rows or so."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.random(rows // 40 + 1), 40)[:rows]
    if kind in OF_NUMBERS:
        values = np.clip(rng.normal(level, 0.1), 0, 1).round(2)
    else:
        values = (rng.random(rows) < level).astype(float)
    return [float(value) for value in values]


def rivers_rows(kind: str, values: list[float]) -> list[int]:
    seeded = {"seed": 0} if kind == "kswin" else {}
    theirs = RIVERS[kind](**EAGER[kind], **seeded)
    rows = []
    for row, value in enumerate(values):
        theirs.update(value)
        if theirs.drift_detected:
            rows.append(row)
    return rows


@pytest.mark.parametrize("kind", CHANGE_KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_alarms_are_rivers_row_by_row(kind: str, seed: int) -> None:
    values = stream(kind, seed, 600)

    found = [shift.row for shift in build(kind).update(values)]

    assert found == rivers_rows(kind, values)
    assert found


@pytest.mark.parametrize("kind", CHANGE_KINDS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 300))
def test_a_restart_at_any_row_changes_no_alarm(kind: str, seed: int, cut: int) -> None:
    values = stream(kind, seed, 300)
    whole = [(shift.row, shift.upward) for shift in build(kind).update(values)]

    first, second = build(kind), build(kind)
    before = [(shift.row, shift.upward) for shift in first.update(values[:cut])]
    second.recall(msgspec.msgpack.decode(msgspec.msgpack.encode(first.memory()), type=Memory))
    after = [(shift.row + cut, shift.upward) for shift in second.update(values[cut:])]

    assert before + after == whole


@pytest.mark.parametrize("kind", CHANGE_KINDS)
def test_values_that_never_change_raise_no_alarm(kind: str) -> None:
    detector = CHANGE_KINDS[kind]().build(two_sided=True)

    assert detector.update([0.0] * 3_000) == []
    assert detector.update([0.0] * 3_000) == []


@pytest.mark.parametrize("kind", CHANGE_KINDS)
def test_a_rise_is_told_upward_from_its_old_level(kind: str) -> None:
    rng = np.random.default_rng(5)
    if kind in OF_NUMBERS:
        values = np.clip(
            np.concatenate([rng.normal(0.3, 0.05, 3000), rng.normal(0.7, 0.05, 3000)]), 0, 1
        )
        values = values * 8 - 4 if kind == "page_hinkley" else values
    else:
        values = (rng.random(6000) < np.repeat([0.05, 0.6], 3000)).astype(float)

    found = CHANGE_KINDS[kind]().build(two_sided=True).update(values.tolist())

    assert found[0].row >= 3000
    assert found[0].upward
    assert found[0].before == pytest.approx(values[: found[0].row].mean(), abs=0.3)
    assert np.isnan(found[0].after) or found[0].after > found[0].before


@pytest.mark.parametrize("kind", CHANGE_KINDS)
def test_memory_of_another_kind_is_refused(kind: str) -> None:
    with pytest.raises(DamagedMemory):
        build(kind).recall(Memory([0.0] * 40, b""))


@pytest.mark.parametrize(("alpha", "size"), [(0.005, 30), (1e-7, 100), (0.05, 10)])
def test_kswin_alarms_from_the_distance_on_at_which_rivers_p_value_does(
    alpha: float, size: int
) -> None:
    from scipy import stats  # noqa: PLC0415 - it is heavy

    steps = critical_steps(alpha, size) or 0
    one = np.arange(size, dtype=float)
    p = [stats.ks_2samp(one, one + far - 0.5).pvalue for far in (steps - 1, steps)]

    assert p[1] <= alpha < p[0]


def test_kswin_is_several_times_faster_than_rivers() -> None:
    values = np.random.default_rng(0).normal(size=900).tolist()
    ours = CHANGE_KINDS["kswin"]().build(two_sided=True)
    theirs = drift.KSWIN(alpha=1e-7, window_size=300, stat_size=100, seed=0)
    ours.update(values[:300])
    for value in values[:300]:
        theirs.update(value)

    began = time.process_time()
    ours.update(values[300:])
    took = time.process_time() - began
    began = time.process_time()
    for value in values[300:]:
        theirs.update(value)

    assert time.process_time() - began > 2 * took


def test_the_table_of_kinds_imports_no_river() -> None:
    import subprocess  # noqa: PLC0415 - for this test only

    probe = (
        "import sys, monitor.composition, detectors.change.change_stream as _; "
        "print('river' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True, text=True)

    assert said.stdout == "False\n"
