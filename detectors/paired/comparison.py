"""Comparing two models by their answers to the same requests: figures with bounds, and a verdict.

Differences are *shadow less live*: a positive one says that the shadow answers higher, or is right
more often, or errs by more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from detectors.measurement import Estimate, Measurement, untold
from detectors.numerics.ratio import ratio
from detectors.paired.answer_buckets import buckets_apart
from detectors.paired.mcnemar import accuracy_difference
from detectors.paired.signed_rank import signed_rank
from detectors.statistics.bins import number_shares
from detectors.statistics.psi import psi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectors.batch import Ints
    from detectors.paired.answers import PairedAnswers
    from detectors.paired.difference import Differences

#: What is measured of a window of pairs.
SHADOW_METRICS = frozenset(
    {
        "shadow_disagreement",  # share of pairs
        "shadow_difference",  # mean, in the answers' unit, signed
        "shadow_signed_rank",  # -1 to 1
        "shadow_accuracy",  # share of right answers; needs labels, as those below
        "shadow_live_accuracy",
        "shadow_accuracy_difference",  # -1 to 1
        "shadow_error",  # mean absolute error, in the answers' unit
        "shadow_live_error",
        "shadow_error_difference",  # mean of absolute errors, signed
        "shadow_psi",
        "shadow_ks",  # 0 to 1
        "shadow_latency_p50",  # milliseconds
        "shadow_latency_p99",
        "shadow_live_latency_p50",
        "shadow_live_latency_p99",
    }
)

#: Those of them that need the right answer.
LABELLED_METRICS = frozenset(
    {
        *("shadow_accuracy", "shadow_live_accuracy", "shadow_accuracy_difference"),
        *("shadow_error", "shadow_live_error", "shadow_error_difference"),
    }
)

Verdict: TypeAlias = Literal["alike", "apart", "unknown"]

#: Up to this share of differing answers two versions count as alike.
APART_ABOVE = 0.05
#: Numbers differ, for a verdict, if they are further apart than this many standard deviations of
#: the live answers: what a person calls a small effect.
SMALL_EFFECT = 0.2


@dataclass(frozen=True, slots=True)
class PairedSummary:
    """Two versions on the same requests, in short: what a decision about a rollback may look at.

    Parameters
    ----------
    live, other
        The version that answered, and the one that was asked the same.
    n
        Rows that both answered.
    disagreement, disagreement_low, disagreement_high
        Share of the rows on which they differ, with bounds; None where nothing was compared.
        Numbers differ beyond the tolerance, or without one beyond `SMALL_EFFECT`.
    difference, difference_low, difference_high
        Mean of the other's answer less the live one's; None of answers that are no numbers.
    gain, gain_low, gain_high
        How much better the other is by the labels that are known: how much larger its share of
        right answers is, or by how much its mean absolute error is smaller. None without labels.
    verdict
        ``alike`` where the upper bound of the disagreement is at most `APART_ABOVE`, ``apart``
        where the lower one is above it, else ``unknown``.
    why
        A sentence for people.
    """

    live: str
    other: str
    n: int
    disagreement: float | None
    disagreement_low: float | None
    disagreement_high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    verdict: Verdict
    why: str


def unknown_summary(live: str, other: str, why: str) -> PairedSummary:
    """Summary of a comparison that did not come about.

    Examples
    --------
    >>> unknown_summary("8", "7", "version 7 does not load").verdict
    'unknown'
    """
    nothing: tuple[None, None, None] = (None, None, None)
    return PairedSummary(live, other, 0, *nothing, *nothing, *nothing, "unknown", why)


def summarise(
    counts: PairedAnswers,
    *,
    live: str,
    other: str,
    confidence: float,
    tolerance: float = 0.0,
    apart_above: float = APART_ABOVE,
) -> PairedSummary:
    """Sum up a comparison, with a verdict."""
    if not counts.n:
        return unknown_summary(live, other, "no request was answered by both")
    differing = counts.disagreements
    spread = counts.live_numbers.spread()
    if counts.numbers == counts.n and not tolerance and counts.whole < counts.n and spread:
        differing = counts.sizes.beyond(SMALL_EFFECT * spread)
    share = ratio(differing, counts.n, confidence=confidence)
    mean = counts.differences.mean(confidence=confidence)
    low, high = share.low or 0.0, 1.0 if share.high is None else share.high
    verdict: Verdict = "unknown"
    if high <= apart_above:
        verdict = "alike"
    elif low > apart_above:
        verdict = "apart"
    return PairedSummary(
        live,
        other,
        counts.n,
        share.value,
        low,
        high,
        mean.value,
        mean.low,
        mean.high,
        *_gain(counts, confidence),
        verdict,
        f"versions {live} and {other} differ on {differing} of {counts.n} rows "
        f"(between {low:.1%} and {high:.1%}; {apart_above:.0%} is the limit)",
    )


def _gain(
    counts: PairedAnswers, confidence: float
) -> tuple[float | None, float | None, float | None]:
    if _are_classes(counts) and counts.labelled:
        split = (counts.only_live, counts.only_shadow, counts.labelled)
        more = accuracy_difference(*split, confidence=confidence)
        return more.value, more.low, more.high
    errors = counts.errors.mean(confidence=confidence)
    less = [None if one is None else -one for one in (errors.value, errors.high, errors.low)]
    return less[0], less[1], less[2]


def _are_classes(counts: PairedAnswers) -> bool:
    return counts.numbers < counts.n or counts.whole == counts.n


def measure_paired(
    counts: PairedAnswers, *, confidence: float, psi_bins: int = 10
) -> list[Measurement]:
    """Measure a window of pairs: those of `SHADOW_METRICS` that its answers allow.

    Figures of numbers need pairs of numbers, figures of labels need labels; accuracy is of answers
    that can be classes: whole numbers, or no numbers at all.
    """
    return [
        Measurement(
            metric,
            None,
            estimate.value,
            estimate.low,
            estimate.high,
            estimate.p_value,
            estimate.n,
        )
        for metric, estimate in _estimates(counts, confidence, psi_bins)
    ]


def _estimates(
    counts: PairedAnswers, confidence: float, psi_bins: int
) -> Iterator[tuple[str, Estimate]]:
    yield "shadow_disagreement", ratio(counts.disagreements, counts.n, confidence=confidence)
    if counts.numbers:
        yield "shadow_difference", counts.differences.mean(confidence=confidence)
        yield "shadow_signed_rank", signed_rank(counts.sizes)
    if counts.labelled and _are_classes(counts):
        yield "shadow_accuracy", ratio(counts.right_shadow, counts.labelled, confidence=confidence)
        yield (
            "shadow_live_accuracy",
            ratio(counts.right_live, counts.labelled, confidence=confidence),
        )
        yield (
            "shadow_accuracy_difference",
            accuracy_difference(
                counts.only_live, counts.only_shadow, counts.labelled, confidence=confidence
            ),
        )
    if counts.errors.n:
        yield "shadow_error", _size(counts.shadow_errors, confidence)
        yield "shadow_live_error", _size(counts.live_errors, confidence)
        yield "shadow_error_difference", counts.errors.mean(confidence=confidence)
    yield "shadow_psi", _psi(counts, confidence, psi_bins)
    if counts.numbers:
        yield (
            "shadow_ks",
            buckets_apart(counts.live_numbers, counts.shadow_numbers, confidence=confidence),
        )
    for name, latency in (
        ("shadow_latency", counts.shadow_latency),
        ("shadow_live_latency", counts.live_latency),
    ):
        if latency.n:
            yield f"{name}_p50", latency.quantile(0.50, confidence=confidence)
            yield f"{name}_p99", latency.quantile(0.99, confidence=confidence)


def _size(errors: Differences, confidence: float) -> Estimate:
    """Estimate a mean absolute error; that it is not 0 needs no test."""
    return replace(errors.mean(confidence=confidence), p_value=None)


def _psi(counts: PairedAnswers, confidence: float, bins: int) -> Estimate:
    """Estimate the population stability index of the shadow's answers against the live ones.

    Bins of numbers are cut at quantiles of the live answers, and each class has one. As with the
    distance of the distribution functions, the bounds are those of independent samples, and so
    wider than need be.
    """
    if counts.numbers == counts.n and counts.n:
        profile = counts.live_numbers.profile()
        shares = number_shares(profile, counts.shadow_numbers.upto(profile), 0, bins)
    elif not counts.numbers:
        shares = _class_shares(counts)
    else:
        # Numbers here and names there: no bins hold both.
        return untold(counts.n)
    return psi(*shares, confidence=confidence)


def _class_shares(counts: PairedAnswers) -> tuple[Ints, Ints]:
    names = sorted({*counts.live_classes, *counts.shadow_classes})
    return (
        np.array([counts.live_classes.get(name, 0) for name in names], np.int64),
        np.array([counts.shadow_classes.get(name, 0) for name in names], np.int64),
    )
