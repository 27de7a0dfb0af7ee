"""What is measured of predictions and their labels: exact where it can be, additive, bounded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.labels import Scalar
from detectors.measurement import Measurement
from detectors.performance.classes import CLASSES_MAX
from detectors.performance.performance import (
    PERFORMANCE_METRICS,
    Pair,
    Performance,
    PerformanceError,
    Reading,
    Task,
    measure_performance,
)
from detectors.performance.scores import cell_of

READING = Reading()


def counted(pairs: Sequence[tuple[Scalar, Scalar]], reading: Reading = READING) -> Performance:
    counts = Performance()
    for number, (prediction, label) in enumerate(pairs):
        counts.add(Pair(prediction, label), reading, float(number))
    return counts


def measured(
    counts: Performance,
    *,
    task: Task | None = None,
    reading: Reading = READING,
    known: set[str] | None = None,
    confidence: float = 0.95,
) -> dict[str, Measurement]:
    found = measure_performance(
        counts,
        task or counts.task(),
        known=counts.classes.names if known is None else known,
        reading=reading,
        confidence=confidence,
    )
    return {one.metric: one for one in found}


def value(found: dict[str, Measurement], metric: str) -> float:
    told = found[metric].value
    assert told is not None
    return told


PAIRS = st.tuples(
    st.one_of(st.sampled_from([0.0, 1.0, 0.5, 0.25, "a", "b", "true"]), st.floats(-1e75, 1e75)),
    st.one_of(st.sampled_from([0.0, 1.0, "a", "b", "true", "false"]), st.floats(-1e75, 1e75)),
)


@given(st.lists(PAIRS, max_size=30), st.randoms(use_true_random=False), st.integers(0, 30))
def test_panes_add_up_to_the_statistics_of_all_their_rows_in_any_order(
    pairs: list[tuple[Scalar, Scalar]], chance: object, cut: int
) -> None:
    shuffled = sorted(range(len(pairs)), key=lambda i: (i * 7919) % 31)
    whole = Performance()
    for i in range(len(pairs)):
        whole.add(Pair(*pairs[i]), READING, float(i))

    parts = [Performance(), Performance()]
    for i in shuffled:
        parts[i < cut].add(Pair(*pairs[i]), READING, float(i))
    parts[0].merge(parts[1])

    assert parts[0].encode() == whole.encode()
    assert Performance.decode(whole.encode()).encode() == whole.encode()


@given(st.lists(PAIRS, max_size=20), PAIRS)
def test_a_pair_taken_out_again_leaves_nothing(
    pairs: list[tuple[Scalar, Scalar]], odd: tuple[Scalar, Scalar]
) -> None:
    counts = counted(pairs)
    before = counts.encode()

    counts.add(Pair(*odd), READING, float(len(pairs) - 1) if pairs else math.inf)
    counts.remove(Pair(*odd), READING)
    if not pairs:
        counts.first, counts.last = math.inf, -math.inf

    assert counts.encode() == before


@pytest.mark.parametrize("seed", range(5))
def test_binary_classes_agree_with_scikit_learn(seed: int) -> None:
    from sklearn import metrics  # noqa: PLC0415 - slow to import, for a few tests only

    rng = np.random.default_rng(seed)
    actual = rng.integers(0, 2, 400)
    predicted = np.where(rng.random(400) < 0.8, actual, 1 - actual)

    found = measured(counted(list(zip(predicted.astype(float), actual.astype(float), strict=True))))

    assert value(found, "accuracy") == metrics.accuracy_score(actual, predicted)
    for metric, peer in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert value(found, metric) == pytest.approx(peer(actual, predicted), abs=1e-12)
    assert "roc_auc" not in found


@pytest.mark.parametrize("seed", range(5))
def test_several_classes_are_averaged_as_scikit_learn_does(seed: int) -> None:
    from sklearn import metrics  # noqa: PLC0415 - slow to import, for a few tests only

    rng = np.random.default_rng(seed)
    names = np.array(["a", "b", "c", "d"])
    actual = names[rng.choice(4, 300, p=[0.6, 0.3, 0.09, 0.01])]
    predicted = np.where(rng.random(300) < 0.7, actual, names[rng.integers(0, 3, 300)])
    pairs = list(zip(map(str, predicted), map(str, actual), strict=True))

    found = measured(counted(pairs))

    assert value(found, "accuracy") == metrics.accuracy_score(actual, predicted)
    for metric, peer in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        expected = peer(actual, predicted, average="macro", zero_division=0)
        assert value(found, metric) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_agree_with_scikit_learn(seed: int) -> None:
    from sklearn import metrics  # noqa: PLC0415 - slow to import, for a few tests only

    rng = np.random.default_rng(seed)
    # Two decimals: every tie is a real one, and none other falls into a cell.
    scores = np.round(rng.beta(0.5, 2, 500), 2)
    actual = rng.random(500) < scores
    pairs = [(float(p), "true" if y else "false") for p, y in zip(scores, actual, strict=True)]

    found = measured(counted(pairs))

    assert value(found, "roc_auc") == pytest.approx(metrics.roc_auc_score(actual, scores), abs=1e-9)
    assert value(found, "log_loss") == pytest.approx(metrics.log_loss(actual, scores), abs=1e-9)
    called = scores >= 0.5
    assert value(found, "accuracy") == metrics.accuracy_score(actual, called)
    assert value(found, "f1") == pytest.approx(metrics.f1_score(actual, called), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_grid_moves_the_auc_by_less_than_its_bounds_are_widened(seed: int) -> None:
    from sklearn import metrics  # noqa: PLC0415 - slow to import, for a few tests only

    rng = np.random.default_rng(seed)
    scores = rng.beta(0.05, 3, 5000)  # nearly all of them crowd near 0
    actual = rng.random(5000) < scores
    pairs = [(float(p), float(y)) for p, y in zip(scores, actual, strict=True)]

    counts = counted(pairs)

    table = np.array(list(counts.scores.cells.values()))
    widened = (table[:, 0] @ table[:, 1]) / (2 * table[:, 0].sum() * table[:, 1].sum())
    exact = metrics.roc_auc_score(actual, scores)
    assert abs(value(measured(counts), "roc_auc") - exact) <= widened < 0.001


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_score_never_falls_into_a_lower_cell(one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert cell_of(low) <= cell_of(high)


@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("seed", range(3))
def test_quantities_agree_with_scikit_learn(seed: int, offset: float) -> None:
    from sklearn import metrics  # noqa: PLC0415 - slow to import, for a few tests only

    rng = np.random.default_rng(seed)
    actual = offset + rng.standard_t(5, 400)
    predicted = actual + rng.normal(0.1, 0.5, 400)

    found = measured(counted(list(zip(map(float, predicted), map(float, actual), strict=True))))

    expected = {
        "mae": metrics.mean_absolute_error(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
        "r2": metrics.r2_score(actual, predicted),
    }
    assert {metric: one.value for metric, one in found.items()} == pytest.approx(expected, abs=1e-9)


def test_a_sure_mistake_costs_what_the_clipped_probability_costs() -> None:
    found = measured(counted([(0.0, 1.0), (0.5, 1.0)]))

    expected = (-math.log(2.0**-52) + math.log(2)) / 2
    assert value(found, "log_loss") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("pairs", "task"),
    [
        pytest.param([("a", "a")], "classes", id="texts"),
        pytest.param([(1.0, 0.0), (0.0, 1.0)], "classes", id="whole numbers"),
        pytest.param([(3.0, 2.0), (7.0, 7.0)], "classes", id="several whole numbers"),
        pytest.param([(0.7, 1.0), (0.0, 0.0)], "probability", id="scores and 0 or 1"),
        pytest.param([(0.7, "true"), (0.1, "false")], "probability", id="scores and booleans"),
        pytest.param([("true", 1.0), ("false", 0.0)], "classes", id="booleans and 0 or 1"),
        pytest.param([(0.7, 0.3), (0.1, 1.0)], "quantity", id="shares"),
        pytest.param([(1.5, 1.0), (0.1, 0.0)], "quantity", id="beyond 1"),
        pytest.param([(1.5, 2.5)] * 10 + [(1.5, "n/a")], "quantity", id="one odd label"),
        pytest.param([], None, id="nothing"),
    ],
)
def test_the_task_is_told_from_the_pairs(
    pairs: list[tuple[Scalar, Scalar]], task: Task | None
) -> None:
    assert counted(pairs).task() == task


def test_truth_values_and_their_numbers_are_the_same_classes() -> None:
    found = measured(counted([("true", 1.0), ("false", 0.0), ("true", 0.0), ("true", 1.0)]))

    assert value(found, "accuracy") == 0.75
    assert value(found, "precision") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("pairs", "known", "precision"),
    [
        pytest.param([("no", "no"), ("yes", "no")], {"no", "yes"}, 0.0, id="the larger text"),
        pytest.param([(9.0, 9.0), (10.0, 9.0)], {"9", "10"}, 0.0, id="the larger number"),
        pytest.param([(0.0, 0.0)], {"0"}, None, id="no positive seen"),
        pytest.param([("red", "red")], {"red"}, None, id="one class that says nothing"),
        pytest.param([("a", "a"), ("b", "b")], {"a", "b", "c"}, 1.0, id="two of three"),
    ],
)
def test_which_class_is_positive_does_not_depend_on_one_window(
    pairs: list[tuple[Scalar, Scalar]], known: set[str], precision: float | None
) -> None:
    found = measured(counted(pairs), task="classes", known=known)

    assert found["precision"].value == precision


def test_a_configured_positive_class_is_what_a_score_predicts() -> None:
    reading = Reading(positive="fraud", threshold=0.2)
    pairs: list[tuple[Scalar, Scalar]] = [(0.3, "fraud"), (0.25, "ok"), (0.1, "ok"), (0.05, "ok")]

    found = measured(counted(pairs, reading), reading=reading)

    assert value(found, "roc_auc") == 1.0
    assert value(found, "precision") == 0.5


def test_with_too_many_classes_accuracy_alone_is_left() -> None:
    pairs = [(f"class {i}", f"class {i + i % 2}") for i in range(CLASSES_MAX + 10)]
    counts, half = counted(pairs), counted(pairs[: CLASSES_MAX // 2])

    half.merge(counted(pairs[CLASSES_MAX // 2 :]))
    found = measured(counts, known={"a", "b", "c"})

    assert counts.classes.overflowed
    assert half.classes.state() == counts.classes.state()
    assert value(found, "accuracy") == 0.5
    assert found["f1"].value is None


def test_nothing_is_told_of_no_pairs_and_no_auc_of_one_outcome() -> None:
    empty = [measured(Performance(), task=task) for task in ("classes", "probability", "quantity")]
    one_sided = measured(counted([(0.7, 1.0), (0.2, 1.0)]))
    constant = measured(counted([(1.5, 2.0), (2.5, 2.0)]))

    assert all(one.value is None for found in empty for one in found.values())
    assert {metric for found in empty for metric in found} == PERFORMANCE_METRICS
    assert one_sided["roc_auc"].value is None
    assert value(one_sided, "recall") == 0.5
    assert constant["r2"].value is None


def test_numbers_beyond_measure_are_no_quantities() -> None:
    counts = counted([(1.5, 2.0), (1e200, 2.0), (2.0, -1e300)])

    assert counts.n == 3
    assert measured(counts, task="quantity")["mae"].n == 1


def test_damaged_bytes_are_refused() -> None:
    with pytest.raises(PerformanceError, match="damaged"):
        Performance.decode(b"\x93\x01")


def truths(rng: np.random.Generator, n: int) -> list[tuple[Scalar, Scalar]]:
    """Scores that are calibrated: true with the chance that they state."""
    scores = rng.beta(2, 2, n)
    return [(float(p), float(rng.random() < p)) for p in scores]


def classes(rng: np.random.Generator, n: int) -> list[tuple[Scalar, Scalar]]:
    actual = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(n) < 0.85, actual, rng.integers(0, 3, n))
    return [(f"c{p}", f"c{a}") for p, a in zip(predicted, actual, strict=True)]


def quantities(rng: np.random.Generator, n: int) -> list[tuple[Scalar, Scalar]]:
    actual = rng.normal(10, 2, n)
    predicted = actual + rng.normal(0, 1, n)
    return [(float(p), float(a)) for p, a in zip(predicted, actual, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize("make", [truths, classes, quantities])
def test_the_bounds_hold_about_as_often_as_they_say(make: object, n: int) -> None:
    assert callable(make)
    rng = np.random.default_rng(5)
    truth = measured(counted(make(rng, 60_000)))
    runs = 400
    missed = dict.fromkeys(truth, 0)

    for _ in range(runs):
        for metric, one in measured(counted(make(rng, n)), known={"c0", "c1", "c2"}).items():
            low = -math.inf if one.low is None else one.low
            high = math.inf if one.high is None else one.high
            missed[metric] += not low <= value(truth, metric) <= high

    # 5 % stated; an approximate bound may err a little more often, and 400 runs count roughly.
    assert {metric: count / runs for metric, count in missed.items() if count > 0.09 * runs} == {}


def test_a_flawless_window_still_has_bounds() -> None:
    ranked = measured(counted([(0.9, 1.0), (0.1, 0.0)] * 30))
    named = measured(counted([("a", "a"), ("b", "b"), ("c", "c")] * 100))

    assert ranked["roc_auc"].high == 1.0
    assert ranked["roc_auc"].low == pytest.approx(0.025 ** (1 / 30))
    assert named["f1"].value == 1.0
    assert 0.95 < (named["f1"].low or 0.0) < 1.0
