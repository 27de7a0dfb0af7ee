"""Where a column of a version stands at the end of a report: from its series, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from monitor.reports.facts import INVALID, MISSING, NEW, VersionFacts
from monitor.reports.series import Series

#: ``drifted``: in breach in a window at least. ``stable``: ruled out in the last window.
#: ``undecided``: neither could be told. ``unjudged``: no rule looks at it.
State: TypeAlias = Literal["drifted", "undecided", "stable", "unjudged"]

#: The order in which columns are shown.
ORDER: Final[Mapping[State, int]] = {"drifted": 0, "undecided": 1, "stable": 2, "unjudged": 3}
#: What each state is called, and the mark beside it: nothing is said by colour alone.
NAMES: Final[Mapping[State, tuple[str, str]]] = {
    "drifted": ("drifted, proven", "▲"),
    "undecided": ("cannot be told", "?"),
    "stable": ("no drift", "✓"),
    "unjudged": ("no rule looks at it", "·"),
}
#: What is wrong with a column, by metric; with any other metric its distribution.
_ABOUT: Final = {MISSING: "missing values", INVALID: "values of a wrong type", NEW: "new values"}
#: Which metric is drawn where none was in breach, the first that was measured.
_DRAWN: Final = ("drift", "psi", "ks", "chi2", "js", "mmd")


@dataclass(frozen=True, slots=True)
class Standing:
    """One column of one version.

    Parameters
    ----------
    series
        By metric.
    breached
        Metrics that were in breach, those of the distribution first.
    drawn
        The metric to draw over time; empty where none was measured.
    since
        End of the first window in breach.
    """

    version: str
    column: str
    state: State
    series: Mapping[str, Series]
    breached: tuple[str, ...]
    drawn: str
    since: float | None

    @property
    def about(self) -> str:
        """What is wrong, in words: ``distribution and new values``."""
        said = list(dict.fromkeys(_ABOUT.get(metric, "distribution") for metric in self.breached))
        return " and ".join(said)

    @property
    def severity(self) -> float:
        """How many times over its threshold the worst value was; 0 of what did not drift."""
        worst = self.series[self.drawn].worst if self.breached else None
        if worst is None or worst.value is None:
            return 0.0
        return worst.value / worst.threshold if worst.threshold else worst.value


def standing(facts: VersionFacts, column: str) -> Standing:
    """Say where a column of a version stands."""
    series = facts.of(column)
    breached = sorted(
        (metric for metric, one in series.items() if one.breaches),
        key=lambda metric: (metric in _ABOUT, metric != "drift", -series[metric].breaches),
    )
    judged = {metric for metric, one in series.items() if _threshold(one) is not None}
    candidates = (*breached, *(one for one in _DRAWN if one in judged), *sorted(judged))
    candidates += tuple(one for one in _DRAWN if one in series)
    drawn = next((one for one in candidates if _valued(series[one])), "")
    since = [one.first_breach for one in series.values() if one.first_breach is not None]
    return Standing(
        *(facts.version, column, _state(series, judged, breached), series, tuple(breached)),
        *(drawn, min(since, default=None)),
    )


def _state(series: Mapping[str, Series], judged: set[str], breached: list[str]) -> State:
    if breached:
        return "drifted"
    if not judged:
        return "unjudged"
    last = [series[metric].last for metric in judged]
    return "stable" if all(one and one.verdict == "ok" for one in last) else "undecided"


def _threshold(series: Series) -> float | None:
    return series.last.threshold if series.last else None


def _valued(series: Series) -> bool:
    return series.worst is not None and series.worst.value is not None
