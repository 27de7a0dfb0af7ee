"""What two versions' answers to the same requests mean for going back to one of them. Pure."""

from __future__ import annotations

from detectors.paired.comparison import PairedSummary
from rollback.better import Outcome, ShadowComparison


def comparison_of(summary: PairedSummary) -> ShadowComparison:
    """Return a comparison as the gate `better_on_shadow` takes it; the target is the other one.

    Only labels can say that the target is better, or worse. Without any, one that answers
    differently is ``apart``. One that answers alike is no better. What the labels leave open is
    unknown.

    Examples
    --------
    >>> from detectors.paired.comparison import unknown_summary
    >>> comparison_of(unknown_summary("8", "7", "version 7 does not load")).verdict
    'unknown'
    """
    verdict: Outcome = "unknown"
    if summary.verdict == "alike" or (summary.verdict == "apart" and summary.gain is None):
        verdict = summary.verdict
    low, high = summary.gain_low, summary.gain_high
    if low is not None and low > 0:
        verdict = "better"
    elif high is not None and high < 0:
        verdict = "worse"
    detail = summary.why
    if verdict == "alike":
        detail += "; going back would change little"
    elif verdict == "apart":
        detail += "; without labels it is not known which of the two is right"
    return ShadowComparison(
        to_version=summary.other,
        n=summary.n,
        difference=summary.gain,
        low=low,
        high=high,
        verdict=verdict,
        detail=detail,
    )
