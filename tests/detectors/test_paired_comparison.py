"""Two models' answers to the same requests: figures as scipy has them, sums, verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from collectors.labels import Scalar
from detectors.measurement import Measurement
from detectors.paired.answers import (
    CLASSES_MAX,
    OTHER,
    PairedAnswer,
    PairedAnswers,
    PairedStateError,
    disagree,
)
from detectors.paired.comparison import SHADOW_METRICS, measure_paired, summarise
from detectors.paired.mcnemar import accuracy_difference, mcnemar
from detectors.paired.signed_rank import signed_rank

ANSWERS = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False), st.sampled_from(["gold", "basic", "1", "true"])
)
PAIRS = st.lists(
    st.tuples(
        st.builds(PairedAnswer, ANSWERS, ANSWERS, st.one_of(st.none(), ANSWERS)),
        st.floats(0, 1e9),
        st.floats(0.001, 1e4),
    ),
    max_size=25,
)


def counted(
    pairs: Sequence[tuple[Scalar, Scalar]],
    *,
    labels: Sequence[Scalar] | None = None,
    tolerance: float = 0.0,
) -> PairedAnswers:
    counts = PairedAnswers()
    for i, (live, shadow) in enumerate(pairs):
        label = None if labels is None else labels[i]
        counts.add(PairedAnswer(live, shadow, label), float(i), tolerance=tolerance)
    return counts


def measured(counts: PairedAnswers, *, confidence: float = 0.95) -> dict[str, Measurement]:
    return {one.metric: one for one in measure_paired(counts, confidence=confidence)}


@pytest.mark.parametrize(
    ("first", "second"), [(0, 5), (3, 3), (1, 0), (10, 30), (400, 460), (50_000, 50_700)]
)
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second, 0.5).pvalue

    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-6)


def test_mcnemar_knows_nothing_where_no_pair_is_split() -> None:
    assert mcnemar(0, 0) == 1.0
    assert accuracy_difference(0, 0, 0, confidence=0.95).value is None


def test_bounds_of_the_accuracy_difference_hold_as_often_as_stated() -> None:
    chance = np.random.default_rng(1)
    truth = 0.1 - 0.04
    held = 0

    for only_live, only_shadow, _ in chance.multinomial(150, [0.04, 0.1, 0.86], size=400).tolist():
        estimate = accuracy_difference(only_live, only_shadow, 150, confidence=0.9)
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= truth <= estimate.high

    assert held / 400 >= 0.9


@pytest.mark.parametrize("shift", [0, 3, -11])
def test_the_signed_rank_test_is_scipys(shift: int) -> None:
    chance = np.random.default_rng(4)
    differences = chance.integers(-40, 41, 300) + shift
    counts = counted([(0.0, float(one)) for one in differences])

    expected = stats.wilcoxon(differences, zero_method="wilcox", correction=True, method="approx")

    assert signed_rank(counts.sizes).p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-15)


def test_the_mean_difference_is_that_of_a_paired_t_test() -> None:
    chance = np.random.default_rng(5)
    live, shadow = chance.normal(10, 3, 80), chance.normal(10.4, 3, 80)
    expected = stats.ttest_rel(shadow, live)
    low, high = expected.confidence_interval(0.95)

    found = measured(counted(list(zip(live.tolist(), shadow.tolist(), strict=True))))

    difference = found["shadow_difference"]
    assert difference.value == pytest.approx((shadow - live).mean())
    assert difference.low == pytest.approx(low)
    assert difference.high == pytest.approx(high)
    assert difference.p_value == pytest.approx(expected.pvalue)


def test_a_mean_of_huge_numbers_keeps_its_small_differences() -> None:
    found = measured(counted([(1e15 + i, 1e15 + i + 0.5) for i in range(10)]))

    assert found["shadow_difference"].value == 0.5
    assert (found["shadow_difference"].low, found["shadow_difference"].high) == (0.5, 0.5)


def test_the_distance_of_the_answers_is_that_of_all_the_rows() -> None:
    chance = np.random.default_rng(6)
    live, shadow = chance.integers(0, 60, 500), chance.integers(5, 70, 500)
    expected = stats.ks_2samp(live, shadow).statistic

    found = measured(counted([(float(a), float(b)) for a, b in zip(live, shadow, strict=True)]))

    assert found["shadow_ks"].value == pytest.approx(expected)


def test_a_share_of_disagreeing_classes_has_exact_bounds() -> None:
    pairs: Sequence[tuple[Scalar, Scalar]] = [("gold", "gold")] * 95 + [("gold", "basic")] * 5
    expected = stats.binomtest(5, 100).proportion_ci(0.95, method="exact")

    found = measured(counted(pairs))["shadow_disagreement"]

    assert found.value == 0.05
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)


@pytest.mark.parametrize(
    ("live", "shadow", "tolerance", "expected"),
    [
        (1.0, 1.0 + 1e-9, 0.0, False),
        (1.0, 1.1, 0.0, True),
        (1.0, 1.1, 0.2, False),
        (1.0, "1", 0.0, False),
        ("gold", "basic", 5.0, True),
    ],
    ids=["rounded", "apart", "tolerated", "one-class-in-two-forms", "classes-have-no-tolerance"],
)
def test_answers_differ_by_kind(
    live: float | str, shadow: float | str, tolerance: float, expected: object
) -> None:
    assert disagree(live, shadow, tolerance) is expected


def test_labels_tell_which_of_the_two_is_right_more_often() -> None:
    pairs: Sequence[tuple[Scalar, Scalar]] = (
        [(0.0, 1.0)] * 30 + [(1.0, 0.0)] * 10 + [(1.0, 1.0)] * 60
    )
    labels: list[Scalar] = [1.0] * 100

    found = measured(counted(pairs, labels=labels))

    assert found["shadow_accuracy_difference"].value == 0.2
    expected = stats.binomtest(10, 40, 0.5).pvalue
    assert found["shadow_accuracy_difference"].p_value == pytest.approx(expected)
    assert found["shadow_error_difference"].value == pytest.approx(-0.2)
    assert (found["shadow_live_accuracy"].value, found["shadow_accuracy"].value) == (0.7, 0.9)
    assert found["shadow_accuracy"].n == 100
    assert (found["shadow_live_error"].value, found["shadow_error"].value) == (0.3, 0.1)


def test_quantities_are_not_taken_for_classes() -> None:
    pairs: Sequence[tuple[Scalar, Scalar]] = [(1.25, 1.5), (2.5, 2.25)]

    found = measured(counted(pairs, labels=[1.5, 2.5]))

    assert "shadow_accuracy_difference" not in found
    assert "shadow_accuracy" not in found
    assert (found["shadow_live_error"].value, found["shadow_error"].value) == (0.125, 0.125)
    assert found["shadow_error_difference"].value == 0.0
    assert found["shadow_error"].p_value is None


def test_equal_answers_measure_as_no_difference_at_all() -> None:
    chance = np.random.default_rng(8)
    found = measured(counted([(one, one) for one in chance.normal(0, 1, 400).tolist()]))

    assert found["shadow_disagreement"].value == 0
    assert found["shadow_difference"].value == 0
    assert found["shadow_ks"].value == 0
    assert found["shadow_psi"].value == 0
    assert found["shadow_signed_rank"].value is None


def test_latencies_of_both_are_told_where_they_are_known() -> None:
    counts = counted([(1.0, 1.0)])
    counts.add_latency(10.0, 30.0)
    counts.add_latency(math.nan, 30.0)

    found = measured(counts)

    assert found["shadow_latency_p50"].value == pytest.approx(30, rel=0.02)
    assert found["shadow_live_latency_p50"].value == pytest.approx(10, rel=0.02)
    assert found["shadow_latency_p50"].n == 2


def test_every_figure_has_a_name_that_rules_know() -> None:
    classes = measured(counted([("a", "b")], labels=["a"]))
    numbers = counted([(1.0, 2.0)], labels=[1.0])
    numbers.add_latency(1.0, 2.0)

    assert {*classes, *measured(numbers)} == SHADOW_METRICS


@given(PAIRS, PAIRS)
def test_panes_add_up_to_one_count_of_all_their_pairs(
    first: list[tuple[PairedAnswer, float, float]], second: list[tuple[PairedAnswer, float, float]]
) -> None:
    whole, parts = PairedAnswers(), [PairedAnswers(), PairedAnswers()]
    for part, pairs in zip(parts, (first, second), strict=True):
        for pair, ts, latency in pairs:
            for counts in (whole, part):
                counts.add(pair, ts, tolerance=0.5)
                counts.add_latency(latency, 2 * latency)

    parts[1].merge(parts[0])

    assert parts[1].encode() == whole.encode()
    assert PairedAnswers.decode(whole.encode()).encode() == whole.encode()


def test_damaged_counts_are_refused() -> None:
    with pytest.raises(PairedStateError, match="damaged"):
        PairedAnswers.decode(b"\x93no")


def test_too_many_classes_are_folded_and_still_counted() -> None:
    counts = counted([(f"a{i}", f"b{i}") for i in range(CLASSES_MAX + 50)])

    assert len(counts.live_classes) == CLASSES_MAX + 1
    assert counts.live_classes[OTHER] == 50
    assert counts.disagreements == CLASSES_MAX + 50


@pytest.mark.parametrize(
    ("differing", "n", "verdict"),
    [(0, 500, "alike"), (200, 500, "apart"), (0, 10, "unknown"), (25, 500, "unknown")],
)
def test_a_verdict_needs_the_whole_interval(differing: int, n: int, verdict: str) -> None:
    pairs: Sequence[tuple[Scalar, Scalar]] = [("a", "b")] * differing + [("a", "a")] * (
        n - differing
    )

    summary = summarise(counted(pairs), live="8", other="7", confidence=0.99)

    assert summary.verdict == verdict
    assert (summary.live, summary.other, summary.n) == ("8", "7", n)


def test_numbers_without_a_tolerance_are_apart_beyond_a_small_effect() -> None:
    chance = np.random.default_rng(9)
    live = chance.normal(0, 1, 400).tolist()

    near = summarise(counted([(x, x + 0.05) for x in live]), live="8", other="7", confidence=0.99)
    far = summarise(counted([(x, x + 0.5) for x in live]), live="8", other="7", confidence=0.99)

    assert near.verdict == "alike"
    assert far.verdict == "apart"
    assert far.difference == pytest.approx(0.5)


def test_nothing_compared_is_unknown() -> None:
    assert summarise(PairedAnswers(), live="8", other="7", confidence=0.99).verdict == "unknown"


def test_labels_say_how_much_better_the_other_is() -> None:
    classes: Sequence[tuple[Scalar, Scalar]] = [("a", "b")] * 40 + [("b", "b")] * 60
    numbers: Sequence[tuple[Scalar, Scalar]] = [(1.5, 1.0), (3.5, 3.0)] * 20

    right = summarise(counted(classes, labels=["b"] * 100), live="8", other="7", confidence=0.9)
    nearer = summarise(
        counted(numbers, labels=[1.0, 3.0] * 20), live="8", other="7", confidence=0.9
    )
    untold = summarise(counted(classes), live="8", other="7", confidence=0.9)

    assert right.gain == 0.4
    assert right.gain_low is not None
    assert 0.2 < right.gain_low < 0.4
    assert (nearer.gain, nearer.gain_low, nearer.gain_high) == (0.5, 0.5, 0.5)
    assert untold.gain is None
