"""Where rules stand with a version, and with the segments of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from detectors.cause import Cause
from detectors.rules.judgement import EACH_SEGMENT
from detectors.rules.rule import Judgement, RuleSpec, RuleState, State
from detectors.windows.population import population, split

#: States from the best to the worst, for a rule that stands in several: of small segments most
#: windows tell nothing, and that is not to hide what the large ones tell.
_ALARM: Mapping[State, int] = {"unknown": 0, "ok": 1, "suspect": 2, "breach": 3}


@dataclass(frozen=True, slots=True)
class RuleStanding:
    """A rule, where it stands with the live version, and what it compared last.

    Of a rule that looks at every segment, the segment with which it stands worst.
    """

    rule: RuleSpec
    state: RuleState
    last: Judgement | None
    segment: str = ""
    cause: Cause | None = None


def standing(
    rule: RuleSpec,
    version: str,
    states: Mapping[tuple[str, str], RuleState],
    judgements: Mapping[tuple[str, str], Judgement],
    cause_of: Callable[[tuple[str, str]], Cause | None],
) -> RuleStanding:
    """Tell where a rule stands; all three are by rule and population."""
    key = (rule.name, population(version, rule.segment))
    if rule.segment == EACH_SEGMENT:
        key = _worst(rule, version, states) or key
    segment = split(key[1])[1] if key in states else rule.segment
    return RuleStanding(
        rule, states.get(key, RuleState()), judgements.get(key), segment, cause_of(key)
    )


def _worst(
    rule: RuleSpec, version: str, states: Mapping[tuple[str, str], RuleState]
) -> tuple[str, str] | None:
    found: Iterable[tuple[str, str]] = (
        key for key in states if key[0] == rule.name and split(key[1])[0] == version
    )
    return max(found, key=lambda key: _ALARM[states[key].state], default=None)
