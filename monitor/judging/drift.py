"""The drift rules' part of judging: what they remember of each version, and the rows they add."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from detectors.kinds import DRIFT
from detectors.measurement import Measurement
from detectors.reference.reference import Reference
from detectors.rules.drift_memory import DriftMemory
from detectors.rules.drift_rule import ColumnDrift, Drift, DriftRule, DriftWindow
from detectors.rules.judgement import RuleSpec, Verdict
from detectors.statistics.correlation import correlations_of
from detectors.windows.window import ClosedWindow

log = logging.getLogger("kedge.judging")

#: Where the memory of a drift rule stands in what is kept of its state.
MEMORY = "drift"
#: The verdicts, gravest first.
GRAVITY: Mapping[Verdict, int] = {"breach": 0, "unknown": 1, "ok": 2}


class DriftJudging:
    """Judges windows by the drift rules among `rules`.

    Parameters
    ----------
    confidence, psi_bins
        As of :class:`detectors.rules.drift_rule.DriftRule`.
    """

    def __init__(self, rules: Sequence[RuleSpec], *, confidence: float, psi_bins: int) -> None:
        self._confidence = confidence
        self._psi_bins = psi_bins
        self._rules = self._made(rules)
        self._memories: dict[tuple[str, str], DriftMemory] = {}

    def replace_rules(self, rules: Sequence[RuleSpec], changed: Collection[str]) -> None:
        """Judge by other rules; what those that `changed` remembered is let go."""
        self._rules = self._made(rules)
        self._memories = {
            key: kept for key, kept in self._memories.items() if key[0] not in changed
        }

    def restore(self, states: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Take up what rules that are still configured remembered."""
        kept = {
            key: _memory(key, state[MEMORY])
            for key, state in states.items()
            if key[0] in self._rules and MEMORY in state
        }
        self._memories = {key: memory for key, memory in kept.items() if memory is not None}

    def forget(self, versions: Collection[str]) -> None:
        """Let go of what is remembered of versions."""
        self._memories = {
            key: kept for key, kept in self._memories.items() if key[1] not in versions
        }

    def judge(
        self,
        window: ClosedWindow,
        reference: Reference | None,
        found: Sequence[Measurement],
        part: Reference | None = None,
    ) -> dict[str, Drift]:
        """Judge the next window of a version by each rule, by its name.

        Parameters
        ----------
        part
            What columns were compared with in `found`, if that is not the whole reference.
        """
        if not self._rules:
            return {}
        pane = window.pane
        counted = None if part is None else (part, pane.over(part).columns)
        seen = DriftWindow(
            pane.columns,
            pane.events,
            window.begins,
            found,
            counted,
            correlations_of(pane.joint, reference),
        )
        drifts = {}
        for name, rule in self._rules.items():
            if not rule.watches(window.segment):
                continue
            key = (name, window.population)
            drifts[name] = rule.judge(seen, reference, self._memories.get(key))
            memory = drifts[name].memory
            if memory is not None:
                self._memories[key] = memory
        return drifts

    def _made(self, rules: Sequence[RuleSpec]) -> dict[str, DriftRule]:
        return {
            rule.name: DriftRule(rule, confidence=self._confidence, psi_bins=self._psi_bins)
            for rule in rules
            if rule.drift is not None
        }


def drift_rows(drifts: Mapping[str, Drift]) -> list[dict[str, Any]]:
    """Measurements of drift, one a column: where two rules look at it, the graver."""
    gravest: dict[str, tuple[ColumnDrift, float]] = {}
    for drift in drifts.values():
        for one in drift.columns:
            before = gravest.get(one.column)
            if before is None or GRAVITY[one.verdict] < GRAVITY[before[0].verdict]:
                gravest[one.column] = one, drift.judgement.threshold
    return [
        {
            "column": one.column,
            "metric": DRIFT,
            "value": one.estimate.value,
            "low": one.estimate.low,
            "high": one.estimate.high,
            "p_value": one.estimate.p_value,
            "n": one.estimate.n,
            "threshold": threshold,
            "verdict": one.verdict,
        }
        for one, threshold in gravest.values()
    ]


def _memory(key: tuple[str, str], stored: Mapping[str, Any]) -> DriftMemory | None:
    try:
        return DriftMemory.from_json(stored)
    except ValueError as error:
        log.warning("rule %s begins to gather evidence of version %s anew: %s", *key, error)
        return None
