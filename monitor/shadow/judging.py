"""Rules about a shadow: judged by windows of pairs, and by nothing else.

They stand with the shadow's version, and never lead to a rollback: what a shadow answers says
nothing about what serves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from detectors.measurement import Measurement
from detectors.paired.comparison import SHADOW_METRICS
from detectors.rules.rule import Judgement, RuleSpec
from detectors.windows.paired import ClosedPairs
from monitor.judging.judging import Judge, Judged
from monitor.judging.rule_standings import RuleStanding


def other_rules(rules: Sequence[RuleSpec]) -> list[RuleSpec]:
    """Return the rules that are not."""
    return [rule for rule in rules if rule.metric not in SHADOW_METRICS]


class ShadowJudging:
    """Keeps the state of every rule about a shadow, for every version that was one.

    Parameters
    ----------
    rules
        All rules; those about something else are passed over.
    metrics
        What its windows tell of.
    """

    def __init__(
        self,
        rules: Sequence[RuleSpec],
        *,
        confidence: float,
        psi_bins: int,
        metrics: Collection[str] = SHADOW_METRICS,
    ) -> None:
        self._metrics = frozenset(metrics)
        self._judge = Judge(rules=self._own(rules), confidence=confidence, psi_bins=psi_bins)

    def replace_rules(self, rules: Sequence[RuleSpec]) -> None:
        """Judge by other rules from here on."""
        self._judge.replace_rules(self._own(rules))

    def restore(self, states: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Take up the states of the rules that are still configured."""
        self._judge.restore(states)

    def forget(self, versions: Collection[str]) -> None:
        """Let go of where rules stand with versions that are not remembered any more."""
        self._judge.forget(versions)

    def standings(self, version: str) -> list[RuleStanding]:
        """Say where each rule stands with a version as a shadow."""
        return self._judge.standings(version)

    def judgements(self, population: str) -> Mapping[str, Judgement]:
        """Return what each rule made of the last window of a population that it looked at."""
        return self._judge.judgements(population)

    def conclude(
        self, window: ClosedPairs, found: Sequence[Measurement], *, kind: str = "shadow"
    ) -> Judged:
        """Move the rules on by a window of pairs.

        In its rows the live version stands in the place of a column: of two windows of one shadow
        it says which is which.
        """
        judged = self._judge.conclude_labels(window, found, events_by_version={})
        row = replace(
            judged.row,
            window={**judged.row.window, "kind": kind},
            measurements=[{**one, "column": window.live} for one in judged.row.measurements],
        )
        incidents = tuple(
            {**one, "evidence": {**one["evidence"], "live": window.live}}
            for one in judged.incidents
        )
        return replace(judged, row=row, incidents=incidents, live=window.live, labelled=False)

    def _own(self, rules: Sequence[RuleSpec]) -> list[RuleSpec]:
        return [rule for rule in rules if rule.metric in self._metrics]
