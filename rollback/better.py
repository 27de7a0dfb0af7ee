"""Is the target better? Two versions' answers to the same requests, and what a gate makes of them.

Pure. Who compares is no business of this module: a comparison comes in, or none does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from detectors.change.change_kinds import LOSS_METRICS
from detectors.performance.estimators import ESTIMATED_METRICS
from detectors.performance.performance import PERFORMANCE_METRICS
from rollback.record import GateResult, JsonObject

if TYPE_CHECKING:
    from rollback.policy import BetterOnShadow, GatePolicy

#: - ``better``: the whole interval says that the target does better, by labels.
#: - ``alike``: it does neither better nor worse by more than nobody minds, or answers the same.
#: - ``apart``: it answers otherwise, and without labels nobody knows which of the two is right.
#: - ``worse``: the whole interval says that it does worse, by labels.
#: - ``unknown``: it was not compared, or on too few requests to tell.
#: - ``pending``: the comparison is under way.
Outcome: TypeAlias = Literal["better", "alike", "apart", "worse", "unknown", "pending"]

_OF_ANSWERS: Final = PERFORMANCE_METRICS | LOSS_METRICS | ESTIMATED_METRICS


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """What a shadow found of a target beside the version that serves, on the same requests.

    Parameters
    ----------
    to_version
        The target.
    n
        Requests that both answered.
    difference, low, high
        Mean paired difference of what the breached rule measures, target less serving, with its
        bounds; None where it cannot be told.
    verdict
        What that means for the breached rule.
    detail
        The same in words.
    """

    to_version: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    verdict: Outcome
    detail: str = ""

    def to_json(self) -> JsonObject:
        """As a JSON-able dictionary, for the record's evidence."""
        return asdict(self)


def about_answers(metric: str, column: str) -> bool:
    """Say whether a rule looks at what is asked or answered; if not, at how it is served.

    Examples
    --------
    >>> about_answers("psi", "prediction"), about_answers("accuracy", "")
    (True, True)
    >>> about_answers("latency_p99", ""), about_answers("error_ratio", "")
    (False, False)
    """
    return bool(column) or metric in _OF_ANSWERS


def is_asked(policy: BetterOnShadow, evidence: Mapping[str, Any], *, manual: bool) -> bool:
    """Say whether a comparison of answers says something of a breach.

    It does not where requests are slow or fail. What somebody else's alert is about is not known:
    it is compared only where that is required.

    Parameters
    ----------
    evidence
        Of the record.
    """
    if manual or policy == "off":
        return False
    rules = evidence.get("rules", ())
    if not rules:
        return policy == "require"
    return any(about_answers(rule["metric"], rule["column"]) for rule in rules)


def waits_for_comparison(gates: GatePolicy, waited_s: float) -> bool:
    """Say whether a confirmed breach goes on waiting for a comparison that is under way.

    Where a comparison is required, only the rollback's own time ends the wait.

    Examples
    --------
    >>> from rollback.policy import GatePolicy
    >>> waits_for_comparison(GatePolicy(compare_wait_s=30.0), 29.9)
    True
    >>> waits_for_comparison(GatePolicy(compare_wait_s=30.0), 30.0)
    False
    """
    return gates.better_on_shadow == "require" or waited_s < gates.compare_wait_s


def not_waited_for(comparison: ShadowComparison, gates: GatePolicy) -> ShadowComparison:
    """Return what a comparison counts as that is still under way when nobody waits any more."""
    why = f"that was not done within {gates.compare_wait_s:g} s"
    detail = f"{comparison.detail}; {why}" if comparison.detail else why
    return replace(comparison, verdict="unknown", detail=detail)


def better_on_shadow(
    policy: BetterOnShadow,
    comparison: ShadowComparison | None,
    evidence: Mapping[str, Any],
    *,
    manual: bool = False,
    to_model: bool = False,
) -> GateResult:
    """Say whether a target may be gone to by what a shadow found of it.

    A comparison that could not tell counts as none. ``if-available`` lets pass what was not
    compared; nothing but ``off`` lets pass a target that is no better. That it answers otherwise
    speaks for it only where it is known that the version, and not the world, is the reason.

    Parameters
    ----------
    evidence
        Of the record.
    manual
        A person asked, who may know more.
    to_model
        Whether the cause of the breach speaks for going back.
    """
    if manual:
        return GateResult("better_on_shadow", passed=True, detail="asked for by a person")
    if policy == "off":
        return GateResult("better_on_shadow", passed=True, detail="off")
    if comparison is None and not is_asked(policy, evidence, manual=manual):
        told = "nothing says that the answers are in breach, so none are compared"
        return GateResult("better_on_shadow", passed=True, detail=told)
    if comparison is None or comparison.verdict in ("unknown", "pending"):
        return GateResult("better_on_shadow", policy == "if-available", _untold(comparison))
    passed = comparison.verdict == "better"
    if comparison.verdict == "apart":
        passed = to_model or policy == "if-available"
    return GateResult("better_on_shadow", passed, _words(comparison))


def _untold(comparison: ShadowComparison | None) -> str:
    if comparison is None:
        return "no shadow has compared the target"
    if not comparison.n:
        return f"the target was not compared: {comparison.detail}"
    few = f"{comparison.n} requests are too few to tell"
    return f"{few}; {comparison.detail}" if comparison.detail else few


def _words(comparison: ShadowComparison) -> str:
    means = {
        "better": "is better",
        "alike": "is no better",
        "apart": "answers otherwise",
        "worse": "is worse",
    }
    bounds = ""
    if comparison.low is not None and comparison.high is not None:
        bounds = f", difference between {comparison.low:.4g} and {comparison.high:.4g}"
    found = means.get(comparison.verdict, comparison.verdict)
    about = f"version {comparison.to_version} {found} on {comparison.n} of the same requests"
    return f"{about}{bounds}" + (f"; {comparison.detail}" if comparison.detail else "")
