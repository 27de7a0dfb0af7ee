"""What every metric of a column promises, whatever it measures.

The tests run over the table of the metrics: a new one is held to all of it at once. That the bounds
hold as often as they say is simulated in test_simulated.py.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np
import pytest

from collectors.batch import Floats, Schema
from detectors.kinds import COLUMN_METRICS
from detectors.windows.pane import Pane
from tests.detectors.columns import Values, compared, measured_pane, pane_of, reference_to

if TYPE_CHECKING:
    from detectors.measurement import Measurement

RANDOM = np.random.default_rng(7)
NORMAL = RANDOM.normal(size=2_000)
SHIFTED = RANDOM.normal(0.5, 1.2, size=1_000)
TIES = np.concatenate((RANDOM.poisson(3, size=700).astype(float), np.zeros(300)))
NAMES = ["a"] * 900 + ["b"] * 700 + ["c"] * 399 + ["rare"]
VECTORS = RANDOM.normal(size=(900, 6)) * np.arange(1, 7)
WIDE = RANDOM.normal(size=(400, 100))
OTHER_NAMES = ["a"] * 500 + ["b"] * 100 + ["c"] * 300 + ["new"] * 90 + ["newer"] * 10

#: A reference, and a window that differs from it, of which every metric has something to say.
USUAL: dict[str, tuple[Values, Values]] = {
    "numbers": (NORMAL, SHIFTED),
    "ties": (TIES, TIES[:600] + 1),
    "categories": (NAMES, OTHER_NAMES),
    "vectors": (VECTORS, VECTORS[:500] * 1.1 + 2),
    "wide vectors": (WIDE, RANDOM.normal(0.5, 1, size=(300, 100))),
}
#: These rest on samples, of which the window's is another than the reference's.
SAMPLED = ("mmd",)


def nan(rows: int) -> Floats:
    return np.full(rows, np.nan)


#: References and windows that something may trip over.
ODD: dict[str, tuple[Values, Values]] = {
    "no rows": (NORMAL, nan(0)),
    "no row with a number": (NORMAL, nan(300)),
    "one row": (NORMAL, np.array([0.3])),
    "two rows": (NORMAL, np.array([0.3, 9.0])),
    "four rows": (NORMAL, np.array([0.3, 0.2, 0.1, 0.0])),
    "one row far out": (NORMAL, np.array([1e9])),
    "a reference of no rows": (nan(0), NORMAL),
    "a reference without numbers": (nan(300), NORMAL),
    "a reference of one row": (np.array([0.3]), NORMAL),
    "a reference of two rows": (np.array([0.3, 0.4]), NORMAL),
    "a constant that stays": (np.ones(500), np.ones(300)),
    "a constant that moves": (np.ones(500), np.zeros(300)),
    "a constant that begins to vary": (np.ones(500), NORMAL),
    "a column that becomes constant": (TIES, np.full(300, 3.0)),
    "a column that sticks between values": (NORMAL, np.full(300, 0.123456)),
    "a column that sticks beyond all": (NORMAL, np.full(300, -999.0)),
    "constant but for one row": (np.r_[np.ones(2_000), 5.0], np.r_[np.ones(300), 5.0]),
    "infinities in the window": (NORMAL, np.r_[SHIFTED, np.inf, -np.inf]),
    "infinities on both sides": (np.r_[NORMAL, np.inf, -np.inf], np.r_[SHIFTED, np.inf, -np.inf]),
    "all infinite": (NORMAL, np.full(50, np.inf)),
    "a reference of infinities": (np.r_[[np.inf] * 90, [-np.inf] * 10], np.r_[[np.inf] * 30, 0.0]),
    "as large as numbers get": (NORMAL * 1e307, SHIFTED * 1e307),
    "as small as numbers get": (NORMAL * 5e-324, SHIFTED * 5e-324),
    "from smallest to largest": (np.r_[-1.7e308, NORMAL, 1.7e308], np.r_[-1.7e308, 1.7e308]),
    "large numbers close together": (1e15 + NORMAL, 1e15 + SHIFTED),
    "two values": (np.repeat([0.0, 1.0], [1_950, 50]), np.repeat([0.0, 1.0], [280, 20])),
    "nulls begin": (NORMAL, np.r_[SHIFTED, nan(200)]),
    "no category": (NAMES, []),
    "only nulls": (NAMES, [None] * 300),
    "one category": (NAMES, ["a"]),
    "a new one only": (NAMES, ["new"] * 300),
    "more new ones than are kept": (NAMES, [f"v{number}" for number in range(5_000)]),
    "categories that stay constant": (["a"] * 500, ["a"] * 300),
    "categories that become constant": (NAMES, ["b"] * 300),
    "more categories than are kept": ([f"v{number}" for number in range(1_500)], NAMES),
    "a reference of nulls": ([None] * 90, NAMES),
    "a reference of one category": (["a"], NAMES),
    "no vector": (VECTORS, VECTORS[:0]),
    "one vector": (VECTORS, VECTORS[:1]),
    "vectors that are missing": (VECTORS, np.full((300, 6), np.nan)),
    "vectors of another length": (VECTORS, WIDE),
    "vectors for numbers": (NORMAL, VECTORS),
    "numbers for vectors": (VECTORS, NORMAL),
    "a reference of no vectors": (VECTORS[:0], VECTORS),
    "a reference of missing vectors": (np.full((90, 6), np.nan), VECTORS),
    "a reference of one vector": (VECTORS[:1], VECTORS),
    "a vector that stays": (np.ones((500, 6)), np.ones((300, 6))),
    "a vector that moves": (np.ones((500, 6)), np.zeros((300, 6))),
    "a vector that begins to vary": (np.ones((500, 6)), VECTORS),
    "vectors that become one": (VECTORS, np.ones((300, 6))),
    "vectors of one number": (VECTORS[:, :1], VECTORS[:300, :1] + 1),
    "vectors as large as numbers get": (VECTORS * 1e306, -VECTORS * 1e306),
    "vectors as small as numbers get": (VECTORS * 5e-324, VECTORS * 5e-323),
    "vectors far from the middle": (1e15 + VECTORS, 1e15 + 2 * VECTORS),
    "vectors that repeat": (np.repeat(VECTORS[:9], 50, axis=0), np.repeat(VECTORS[:3], 90, axis=0)),
    "few of many categories": ([f"v{n}" for n in range(900)] * 2, [f"v{n}" for n in range(20)]),
}


def found(kind: str, metric: str) -> Measurement:
    return compared(*USUAL[kind], metrics=[metric])[metric]


METRIC = pytest.mark.parametrize("metric", COLUMN_METRICS)
#: Every metric with every kind of column that it is of.
OF_KIND = pytest.mark.parametrize(
    ("metric", "kind"),
    [(metric, kind) for kind, columns in USUAL.items() for metric in compared(*columns)],
)


@METRIC
def test_it_applies_to_some_column_and_tells_something_of_it(metric: str) -> None:
    told = [compared(*columns, metrics=[metric]).get(metric) for columns in USUAL.values()]

    assert any(one is not None and one.value is not None for one in told)


@METRIC
@pytest.mark.parametrize("case", [*USUAL, *ODD])
def test_whatever_comes_it_is_untold_or_within_its_bounds(metric: str, case: str) -> None:
    measurement = compared(*(USUAL | ODD)[case], metrics=[metric]).get(metric)

    if measurement is None:
        return
    value, low, high = measurement.value, measurement.low, measurement.high
    assert measurement.n >= 0
    if value is None:
        assert (low, high, measurement.p_value) == (None, None, None)
        return
    assert math.isfinite(value)
    assert low is None or -math.inf < low <= value + 1e-9
    assert high is None or value - 1e-9 <= high < math.inf
    assert measurement.p_value is None or 0 <= measurement.p_value <= 1


@METRIC
@pytest.mark.parametrize("case", ["no rows", "no category"])
def test_of_no_rows_nothing_is_told(metric: str, case: str) -> None:
    measurement = compared(*ODD[case], metrics=[metric]).get(metric)

    if measurement is not None:
        assert astuple(measurement)[2:] == (None, None, None, None, 0)


@OF_KIND
def test_n_is_the_rows_that_it_rests_on(metric: str, kind: str) -> None:
    assert found(kind, metric).n == len(USUAL[kind][1])


@OF_KIND
def test_the_same_rows_give_the_same_figures(metric: str, kind: str) -> None:
    assert found(kind, metric) == found(kind, metric)


@OF_KIND
def test_panes_add_up_in_any_order_to_one_pane_of_all(metric: str, kind: str) -> None:
    reference, window = (column for column in USUAL[kind])
    known = reference_to(reference)
    parts = [window[:250], window[250:251], window[251:]]
    at_once = measured_pane(pane_of(known, window), known, metrics=[metric])

    for order in itertools.permutations(parts):
        sum_of_panes = pane_of(known)
        for part in order:
            sum_of_panes.merge(pane_of(known, part))
        assert measured_pane(sum_of_panes, known, metrics=[metric]) == at_once


@OF_KIND
def test_the_order_of_rows_does_not_matter(metric: str, kind: str) -> None:
    reference, window = USUAL[kind]
    order = RANDOM.permutation(len(window)).tolist()
    mixed = window[order] if isinstance(window, np.ndarray) else [window[row] for row in order]

    assert compared(reference, mixed, metrics=[metric]) == compared(
        reference, window, metrics=[metric]
    )


@OF_KIND
def test_bounds_shrink_with_the_rows(metric: str, kind: str) -> None:
    def width(times: int) -> float:
        reference, window = (_repeated(kind, column, times) for column in USUAL[kind])
        measurement = compared(reference, window, metrics=[metric])[metric]
        assert measurement.low is not None
        assert measurement.high is not None
        return measurement.high - measurement.low

    if metric == "cardinality" and kind != "categories":
        pytest.skip("how many distinct values lie between two of the reference is never known")

    if metric in SAMPLED:
        pytest.skip("the sample of a window is no larger of ten times the rows")

    few, many = width(1), width(10)

    # What is certain has no width, and a quantile may stay between the same two of few values.
    assert many < few or few == many == 0 or (few == many and metric.startswith(("p05", "p95")))


@METRIC
def test_an_outlier_is_one_row_beyond_the_others_however_far(metric: str) -> None:
    reference, window = RANDOM.normal(size=10_000), RANDOM.normal(1, 1, size=10_000)
    beyond = max(reference.max(), window.max()) + 1
    figures = []
    for outlier in (window[0], beyond, 1e9, np.inf):
        window = np.r_[outlier, window[1:]]
        figures.append(compared(reference, window, metrics=[metric]).get(metric))

    usual, near, *far = figures
    if usual is None or usual.value is None:
        return
    assert all(one == near for one in far)
    assert near is not None
    # Of one row in 10,000 the steepest are the shift of a mean, by the width of the axis over the
    # rows, and the ratio of deviations, by half of its square.
    assert near.value == pytest.approx(usual.value, abs=50 / 10_000)


@METRIC
def test_an_outlier_of_the_reference_is_one_row_however_far(metric: str) -> None:
    random = np.random.default_rng(8)
    reference, window = random.normal(size=10_000), random.normal(1, 1, size=10_000)
    # An axis that reaches farther up shows more of what lies beyond the reference: nothing here.
    window = window[window <= reference[1:].max()]
    usual = compared(reference, window, metrics=[metric]).get(metric)
    figures = []
    for outlier in (100.0, 1e9, np.inf):
        reference = np.r_[outlier, reference[1:]]
        figures.append(compared(reference, window, metrics=[metric]).get(metric))

    near, *far = figures
    if usual is None or near is None or usual.value is None:
        return
    assert all(one == near for one in far)
    # Of one row in 10,000 the ratio of deviations moves most, by half of the square of where the
    # axis ends: about twelve deviations out.
    assert near.value == pytest.approx(usual.value, abs=12**2 / 2 / 10_000 + 0.001)


@OF_KIND
def test_more_confidence_is_never_narrower(metric: str, kind: str) -> None:
    reference, window = USUAL[kind]
    less, more = (
        compared(reference, window, metrics=[metric], confidence=confidence)[metric]
        for confidence in (0.9, 0.999)
    )

    assert more.value == less.value
    assert None not in (less.low, less.high, more.low, more.high)
    assert more.low <= less.low  # type: ignore[operator]  # none of them is None
    assert less.high <= more.high  # type: ignore[operator]  # likewise


@OF_KIND
def test_nothing_is_found_where_the_window_is_the_reference(metric: str, kind: str) -> None:
    reference, _ = USUAL[kind]

    measurement = compared(reference, reference, metrics=[metric])[metric]

    if metric in SAMPLED:
        assert measurement.low == 0
        assert measurement.p_value is not None
        assert measurement.p_value > 0.05
        return
    unchanged = {"std_ratio": 1.0, "cardinality": 1.0}.get(metric, 0.0)
    assert measurement.value == pytest.approx(unchanged, abs=1e-9)
    assert measurement.low is not None
    assert measurement.high is not None
    assert measurement.low <= unchanged + 1e-9
    assert unchanged - 1e-9 <= measurement.high
    assert measurement.p_value is None or measurement.p_value > 0.5


def test_state_and_back_changes_no_figure() -> None:
    for reference, window in USUAL.values():
        known = reference_to(reference)
        pane = pane_of(known, window)
        before = measured_pane(pane, known)

        restored = Pane.decode(pane.encode(), known, Schema({}))

        assert measured_pane(restored, known) == before


def _repeated(kind: str, values: Values, times: int) -> Values:
    if isinstance(values, np.ndarray):
        # A column without ties is moved a little, so that it has none.
        step = 1e-9 if kind == "numbers" else 0.0
        return np.concatenate([values + step * turn for turn in range(times)])
    return list(values) * times
