"""What two versions' answers to the same requests mean for going back to one of them. Pure."""

from __future__ import annotations

from detectors.paired_comparison import PairedSummary
from rollback.better import Outcome, ShadowComparison


def comparison_of(summary: PairedSummary) -> ShadowComparison:
    """Return a comparison as the gate `better_on_shadow` takes it; the target is the other one.

    Only labels can say that the target is better, or worse: that it answers differently does not.
    One that answers alike is no better. What the labels leave open is unknown.

    Examples
    --------
    >>> from detectors.paired_comparison import unknown_summary
    >>> comparison_of(unknown_summary("8", "7", "version 7 does not load")).verdict
    'unknown'
    """
    verdict: Outcome = "alike" if summary.verdict == "alike" else "unknown"
    low, high = summary.gain_low, summary.gain_high
    if low is not None and low > 0:
        verdict = "better"
    elif high is not None and high < 0:
        verdict = "worse"
    detail = summary.why
    if summary.verdict == "apart" and summary.gain is None:
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
