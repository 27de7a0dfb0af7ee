"""Is the target better? Two versions' answers to the same requests, and what a gate makes of them.

Pure. Who compares is no business of this module: a comparison comes in, or none does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rollback.record import GateResult, JsonObject

if TYPE_CHECKING:
    from rollback.policy import BetterOnShadow

#: - ``better``: the whole interval says that the target does better.
#: - ``alike``: it does neither better nor worse by more than nobody minds.
#: - ``worse``: the whole interval says that it does worse.
#: - ``unknown``: too few requests to tell.
Outcome: TypeAlias = Literal["better", "alike", "worse", "unknown"]


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


def better_on_shadow(
    policy: BetterOnShadow, comparison: ShadowComparison | None, *, manual: bool = False
) -> GateResult:
    """Say whether a target may be gone to by what a shadow found of it.

    A comparison that could not tell counts as none. ``if-available`` lets pass what was not
    compared; nothing but ``off`` lets pass a target that is no better.

    Parameters
    ----------
    manual
        A person asked, who may know more.
    """
    if manual:
        return GateResult("better_on_shadow", passed=True, detail="asked for by a person")
    if policy == "off":
        return GateResult("better_on_shadow", passed=True, detail="off")
    if comparison is None or comparison.verdict == "unknown":
        found = "no shadow has compared the target"
        if comparison is not None:
            found = f"{comparison.n} requests are too few to tell"
        return GateResult("better_on_shadow", policy == "if-available", found)
    return GateResult("better_on_shadow", comparison.verdict == "better", _words(comparison))


def _words(comparison: ShadowComparison) -> str:
    means = {"better": "is better", "alike": "is no better", "worse": "is worse"}
    bounds = ""
    if comparison.low is not None and comparison.high is not None:
        bounds = f", difference between {comparison.low:.4g} and {comparison.high:.4g}"
    found = means.get(comparison.verdict, comparison.verdict)
    about = f"version {comparison.to_version} {found} on {comparison.n} of the same requests"
    return f"{about}{bounds}" + (f"; {comparison.detail}" if comparison.detail else "")
