"""World or model: the causes' part of judging. What each rule saw before, and what it says now."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from detectors.cause import Cause, Circumstances, cause_of
from detectors.rules.judgement import Judgement, RuleSpec, Verdict
from detectors.rules.rule import State
from detectors.windows.population import split
from monitor.judging.circumstances import Scene, Shadow, no_shadow, symptom_of
from monitor.judging.onset import ONSET, Onset

log = logging.getLogger("kedge.judging")

#: What counts as answering at the same time: windows that share so much of a breach.
OVERLAP_MIN = 0.5


class CauseJudging:
    """Tells where breaches come from, and remembers of each rule and version what that takes.

    Parameters
    ----------
    shadow
        Whether another version answers a version's requests alike.
    """

    def __init__(self, shadow: Shadow = no_shadow) -> None:
        self._shadow = shadow
        self._onsets: dict[tuple[str, str], Onset] = {}
        self._seen: set[str] = set()

    def restore(self, states: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Take up what was kept with the states of rules."""
        self._seen = {split(population)[0] for _, population in states}
        for key, state in states.items():
            if ONSET in state:
                try:
                    self._onsets[key] = Onset.from_json(state[ONSET])
                except ValueError as error:
                    log.warning("rule %s counts windows of %s anew: %s", *key, error)

    def replace_rules(self, changed: Collection[str]) -> None:
        """Let go of what rules that `changed` saw."""
        for key in [key for key in self._onsets if key[0] in changed]:
            del self._onsets[key]

    def forget(self, populations: Collection[str]) -> None:
        """Let go of versions, and of segments of them."""
        self._seen.difference_update(populations)
        for key in [key for key in self._onsets if key[1] in populations]:
            del self._onsets[key]

    def arrive(self, version: str, rules: Sequence[RuleSpec]) -> None:
        """Note a version's window of traffic; the first one of a version beside others is new."""
        if version in self._seen:
            return
        watched = bool(self._seen)
        self._seen.add(version)
        for rule in rules:
            self._onsets.setdefault((rule.name, version), Onset(watched))

    def follow(
        self,
        rule: RuleSpec,
        judgement: Judgement,
        state: State,
        frame: tuple[str, float, float],
        scene: Scene | None,
        *,
        pair: Sequence[str] = (),
        events_by_version: Mapping[str, int],
    ) -> Cause | None:
        """Take in a window of a rule; return where its breach comes from, if there is one.

        Of a breach that this window clears, what was told of it.

        Parameters
        ----------
        state
            Where the rule stands after the window.
        frame
            The window's population (a version, or a segment of one), beginning and end.
        scene
            What else the window shows; None of a window of labels.
        """
        population, begins, ends = frame
        version = split(population)[0]
        key = (rule.name, population)
        before = self._onsets.get(key, Onset())
        if scene is None or _enough(rule, events_by_version.get(version, 0)):
            before = replace(before, latest=(ends, judgement.verdict))
        if state not in ("suspect", "breach"):
            self._onsets[key] = before.passed(judgement.verdict)
            return before.cause
        cause = None
        if judgement.verdict == "breach":
            since = begins if before.began is None else before.began
            cause = cause_of(
                Circumstances(
                    symptom=symptom_of(rule, judgement, pair),
                    inputs=() if scene is None else scene.inputs,
                    prediction=None if scene is None else scene.prediction,
                    explained=None if scene is None else scene.explained,
                    windows_before=before.windows_before,
                    elsewhere=self._elsewhere(rule, frame, since, events_by_version),
                    shadow=self._shadow(version),
                )
            )
        self._onsets[key] = before.breached(begins, cause)
        return self._onsets[key].cause

    def state_of(self, key: tuple[str, str]) -> dict[str, Any]:
        """Return what is to be kept with the state of a rule and version."""
        return {ONSET: self._onsets[key].to_json()}

    def of(self, key: tuple[str, str]) -> Cause | None:
        """Return where the present breach of a rule and version comes from; None without one."""
        onset = self._onsets.get(key)
        return None if onset is None else onset.cause

    def _elsewhere(
        self,
        rule: RuleSpec,
        frame: tuple[str, float, float],
        since: float,
        events_by_version: Mapping[str, int],
    ) -> Verdict | None:
        """Verdict of the rule on the other versions that answer enough requests meanwhile.

        Windows of several versions close one after another. The last one of another version
        counts if it ends no earlier than this one, or if most of it lies within the breach.
        """
        here, begins, ends = frame
        segment = split(here)[1]
        # How many requests of a segment another version answers, only its windows tell.
        others = (
            set()
            if segment
            else {name for name, events in events_by_version.items() if _enough(rule, events)}
        )
        # Of a backlog, too, it is not known who answered when, but by the windows themselves.
        others.update(
            name
            for (of, name), onset in self._onsets.items()
            if of == rule.name
            and onset.latest is not None
            and onset.latest[0] >= begins
            and split(name)[1] == segment
        )
        verdicts: set[Verdict] = set()
        for name in others - {here}:
            onset = self._onsets.get((rule.name, name), Onset())
            ended, verdict = onset.latest or (-math.inf, "unknown")
            inside = ended >= ends or ended - since >= OVERLAP_MIN * (ends - begins)
            verdicts.add(verdict if inside else "unknown")
        order: tuple[Verdict, ...] = ("breach", "unknown", "ok")
        return next((verdict for verdict in order if verdict in verdicts), None)


def _enough(rule: RuleSpec, events: int) -> bool:
    """Whether so many events of a version say something."""
    return events >= max(1, rule.min_events)
