"""From a closed window to rows of the store: measure, judge by the rules, say what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectors.cause import Cause
from detectors.change.change_kinds import LOSS_METRICS
from detectors.kinds import COLUMN_DEFAULTS, measure
from detectors.measurement import Measurement
from detectors.paired.comparison import SHADOW_METRICS
from detectors.performance.performance import PERFORMANCE_METRICS
from detectors.reference.reference import Reference
from detectors.rules.rule import Judgement, RuleSpec, RuleState, Verdict, advance, judge
from detectors.windows.labelled import ClosedPerformance
from detectors.windows.paired import ClosedPairs
from detectors.windows.population import split
from detectors.windows.window import ClosedWindow
from monitor.judging.cause import CauseJudging
from monitor.judging.circumstances import Look, Scene, Shadow, no_shadow
from monitor.judging.drift import GRAVITY, MEMORY, DriftJudging, drift_rows
from monitor.judging.frame import Frame
from monitor.judging.incidents import incident_of, pair_measured, pair_of
from monitor.judging.rule_standings import RuleStanding, standing
from monitor.pictures.distributions import Distributions
from monitor.store.store import WindowRow
from rollback.observation import RuleReport


@dataclass(frozen=True, slots=True)
class Judged:
    """A closed window with everything that was concluded from it.

    Parameters
    ----------
    row
        For the store: the window, and what was measured in it.
    reports
        Where each rule stands after this window, for the decision about a rollback.
    incidents
        Breaches that opened, were confirmed or cleared, as rows of the store, which gives them ids.
    rule_states
        Changed states, by rule and population (:mod:`detectors.windows.population`).
    events_by_version
        Events of every version between the window's ends.
    labelled
        Whether the window is one of predictions and their labels, and not of traffic.
    live
        Of a window of a shadow, the version that it is compared with.
    """

    row: WindowRow
    reports: tuple[RuleReport, ...]
    incidents: tuple[dict[str, Any], ...]
    rule_states: Mapping[tuple[str, str], Mapping[str, Any]]
    events_by_version: Mapping[str, int]
    labelled: bool = False
    live: str | None = None


class Judge:
    """Measures windows and keeps the state of every rule for every version.

    Parameters
    ----------
    confidence
        Coverage of the bounds, in (0, 1).
    metrics
        What is measured of columns, besides what a rule names.
    shadow
        Whether another version answers a version's requests alike, for the causes of breaches.
    """

    def __init__(
        self,
        *,
        rules: Sequence[RuleSpec],
        confidence: float,
        psi_bins: int,
        metrics: Collection[str] = COLUMN_DEFAULTS,
        shadow: Shadow = no_shadow,
    ) -> None:
        self._rules = tuple(rules)
        self._confidence = confidence
        self._psi_bins = psi_bins
        self._metrics = frozenset(metrics)
        self._states: dict[tuple[str, str], RuleState] = {}
        self._judgements: dict[tuple[str, str], Judgement] = {}
        self._drift = DriftJudging(rules, confidence=confidence, psi_bins=psi_bins)
        self._causes = CauseJudging(shadow)
        self._look = Look(confidence=confidence, psi_bins=psi_bins)
        self._distributions = Distributions()

    @property
    def rules(self) -> tuple[RuleSpec, ...]:
        """The rules, in the order of the configuration."""
        return self._rules

    def replace_rules(self, rules: Sequence[RuleSpec]) -> None:
        """Judge by other rules from here on; a rule that was changed starts anew."""
        changed = {rule.name for rule in self._rules} - {
            rule.name for rule in rules if rule in self._rules
        }
        self._rules = tuple(rules)
        self._drift.replace_rules(rules, changed)
        self._causes.replace_rules(changed)
        for states in (self._states, self._judgements):
            for key in [key for key in states if key[0] in changed]:
                del states[key]

    def restore(self, states: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Take up the states of the rules that are still configured."""
        looking = {rule.name: rule for rule in self._rules}
        self._states = {
            (name, population): RuleState.from_json(state)
            for (name, population), state in states.items()
            if name in looking and looking[name].watches(split(population)[1])
        }
        self._drift.restore(states)
        self._causes.restore(states)

    def forget(self, versions: Collection[str]) -> None:
        """Let go of where rules stand with versions that are not remembered any more."""
        gone = set(versions)
        if gone:
            populations = {key[1] for key in self._states if split(key[1])[0] in gone} | gone
            for states in (self._states, self._judgements):
                for key in [key for key in states if key[1] in populations]:
                    del states[key]
            self._drift.forget(populations)
            self._causes.forget(populations)

    def standings(self, version: str | None) -> list[RuleStanding]:
        """Where each rule stands with a version; a version never seen stands nowhere yet."""
        where = (version or "", self._states, self._judgements)
        return [standing(rule, *where, self._causes.of) for rule in self._rules]

    def judgements(self, population: str) -> Mapping[str, Judgement]:
        """Return what each rule made of the last window of a population that it looked at."""
        return {key[0]: last for key, last in self._judgements.items() if key[1] == population}

    def conclude(
        self,
        window: ClosedWindow,
        reference: Reference | None,
        *,
        rejected: int,
        late: int,
        events_by_version: Mapping[str, int],
        sampled: Sequence[Measurement] = (),
        part: Reference | None = None,
    ) -> Judged:
        """Measure a window and move every rule on; `sampled` is measured already.

        Its columns are compared with a `part` of the reference where one is given.
        """
        pane = window.pane
        found = measure(
            pane,
            reference,
            seconds=window.seconds,
            confidence=self._confidence,
            psi_bins=self._psi_bins,
            metrics=self._metrics | measured_for(self._rules),
            part=part,
        )
        found.extend(sampled)
        drifts = self._drift.judge(window, reference, found, part)
        shares = {**events_by_version, window.version: pane.events}
        scene = Scene(self._look, window, found, drifts, part)
        self._causes.arrive(window.version, self._rules)
        reports, incidents, states = self._move(window, found, pane.events, scene, shares)
        measured = [
            *(self._measurement_row(window, one, pane.events) for one in found),
            *(_frame_row(window) | one for one in drift_rows(drifts)),
        ]
        # Segments are as many as one likes: of each, only what is worth a look.
        bad = {one["column"] for one in measured if one["column"] and one["verdict"] == "breach"}
        row = WindowRow(
            window=_window_row(window, rejected=rejected, late=late),
            measurements=measured,
            distribution=self._distributions.of(
                window, reference, part, bad if window.segment else None
            ),
        )
        return Judged(row, reports, incidents, states, shares)

    def conclude_labels(
        self,
        window: ClosedPerformance | ClosedPairs,
        found: Sequence[Measurement],
        *,
        events_by_version: Mapping[str, int],
    ) -> Judged:
        """Move on the rules of labelled predictions, or of pairs of them, by a window of such."""
        pairs = window.counts.n
        reports, incidents, states = self._move(window, found, pairs, None, events_by_version)
        row = WindowRow(
            window=_frame_row(window) | _LABELS | {"events": pairs},
            measurements=[self._measurement_row(window, one, pairs) for one in found],
        )
        return Judged(row, reports, incidents, states, events_by_version, labelled=True)

    def _move(
        self,
        window: Frame,
        found: Sequence[Measurement],
        events: int,
        scene: Scene | None,
        shares: Mapping[str, int],
    ) -> tuple[
        tuple[RuleReport, ...],
        tuple[dict[str, Any], ...],
        Mapping[tuple[str, str], Mapping[str, Any]],
    ]:
        """Judge a window by the rules of its kind; the others stand where they stood.

        A window of labels has no `scene`.
        """
        labelled = scene is None
        drifts = {} if scene is None else scene.drifts
        reports, incidents, states = [], [], {}
        for rule in self._rules:
            if not rule.watches(window.segment):
                continue
            key = (rule.name, window.population)
            before = self._states.get(key, RuleState())
            if (rule.metric in _LABEL_METRICS) != labelled:
                if before.state in ("suspect", "breach"):
                    reports.append(_standing_report(rule, self._judgements.get(key)))
                continue
            drift = drifts.get(rule.name)
            judgement = judge(found, events, rule) if drift is None else drift.judgement
            state, event = advance(before, judgement, window.ends, rule)
            self._states[key], self._judgements[key] = state, judgement
            pair = pair_measured(found, rule)
            cause = self._causes.follow(
                rule,
                judgement,
                state.state,
                (window.population, window.begins, window.ends),
                scene,
                pair=pair.get("pair") or pair_of(judgement, drift),
                events_by_version=shares,
            )
            states[key] = state.to_json() | self._causes.state_of(key)
            if drift is not None and drift.memory is not None:
                states[key][MEMORY] = drift.memory.to_json()
            reports.append(_report(rule, state, judgement, cause))
            if event is not None:
                incident = incident_of(window, rule, judgement, event)
                incident["evidence"] |= drift.evidence() if drift is not None else {}
                incident["evidence"] |= pair | ({"cause": cause.to_json()} if cause else {})
                incidents.append(incident)
        return tuple(reports), tuple(incidents), states

    def _measurement_row(self, window: Frame, one: Measurement, events: int) -> dict[str, Any]:
        threshold, verdict = self._verdict(one, events, window.segment)
        return _frame_row(window) | {
            "column": one.column,
            "metric": one.metric,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "p_value": one.p_value,
            "n": one.n,
            "threshold": threshold,
            "verdict": verdict,
        }

    def _verdict(self, one: Measurement, events: int, segment: str) -> tuple[float | None, Verdict]:
        """Judge one measurement by the rules that look at it; the gravest verdict wins.

        Without a rule there is nothing to judge by: no threshold, and unknown.
        """
        judged = [
            (judgement.threshold, judgement.verdict)
            for rule in self._rules
            if rule.watches(segment) and rule.covers(one)
            for judgement in (judge([one], events, rule),)
        ]
        return min(judged, key=lambda pair: GRAVITY[pair[1]], default=(None, "unknown"))


#: What is measured in windows of labelled predictions, or of pairs; never in those of traffic.
_LABEL_METRICS = PERFORMANCE_METRICS | LOSS_METRICS | SHADOW_METRICS


def measured_for(rules: Iterable[RuleSpec]) -> frozenset[str]:
    """Metrics that rules need: their own, and the distances that a rule of drift goes by."""
    return frozenset("ks" if rule.drift is not None else rule.metric for rule in rules)


#: What a window of labels has in the place of a window of traffic's counts.
_LABELS = {"kind": "labels", "requests": 0, "errors": 0, "rejected": 0, "late": 0}


def _frame_row(window: Frame) -> dict[str, Any]:
    return {
        "model": window.model,
        "version": window.version,
        "segment": window.segment,
        "begins": window.begins,
        "ends": window.ends,
    }


def _window_row(window: ClosedWindow, *, rejected: int, late: int) -> dict[str, Any]:
    return {
        **_frame_row(window),
        "events": window.pane.events,
        "requests": window.pane.requests,
        "errors": window.pane.errors,
        "rejected": rejected,
        "late": late,
    }


def _report(
    rule: RuleSpec, state: RuleState, judgement: Judgement, cause: Cause | None
) -> RuleReport:
    return RuleReport(
        rule=rule.name,
        action=rule.action,
        state=state.state,
        metric=rule.metric,
        column=judgement.column or "",
        value=judgement.value,
        low=judgement.low,
        high=judgement.high,
        threshold=judgement.threshold,
        n=judgement.n,
        cause=cause if state.state in ("suspect", "breach") else None,
    )


def _standing_report(rule: RuleSpec, last: Judgement | None) -> RuleReport:
    """Report of a rule that this window says nothing of, and that is not well.

    It holds up the all-clear, but its breach is no news: only windows of its own confirm it.
    """
    return RuleReport(
        rule=rule.name,
        action=rule.action,
        state="suspect",
        metric=rule.metric,
        threshold=rule.threshold,
        value=last.value if last else None,
    )
