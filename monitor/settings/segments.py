"""The table ``[segments]`` of ``kedge.toml``, and what must hold of rules that look at segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from detectors.rules.judgement import EACH_SEGMENT
from monitor.settings.faults import Fault
from monitor.settings.kinds import change_metrics, label_metrics, sampled_metrics
from monitor.settings.loader import UNUSABLE
from monitor.settings.tables import Positive, Text

if TYPE_CHECKING:
    from monitor.settings.rules import RuleSettings


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """``[segments]``: parts of the traffic that are watched by themselves, beside the whole."""

    keys: tuple[Text, ...] = ()
    """Keys of the events' ``segment``, such as ``["country"]``, or ``features.NAME`` for a feature
    of categories. Each of their values has windows and a reference of its own; each key cuts all
    of the traffic, not what another one left. None: nothing is cut, and nothing is spent on it."""

    events: Positive = 5_000
    """Events that make the reference of a segment, of each version, with ``from = "first"`` or
    ``"trailing"``: fewer than of the whole, because a segment has fewer."""

    def __post_init__(self) -> None:
        """Refuse a key that is given twice, or that could not be told from its value."""
        for number, key in enumerate(self.keys):
            if "=" in key or not key.isprintable():
                raise ValueError(f'keys: "{key}" cannot be a key: it must not hold "="')
            if key in self.keys[:number]:
                raise ValueError(f'keys: "{key}" is given twice')


def segment_of(rule: RuleSettings) -> str:
    """Return which segment a rule looks at, as the detectors take it."""
    return EACH_SEGMENT if rule.segments else rule.segment


def segments_max_of(segments: SegmentSettings, segments_max: int) -> int:
    """Return how many segments a version may have: those of each key, and ``other``."""
    return len(segments.keys) * (segments_max + 1)


def looked_at(rule: RuleSettings, segments: SegmentSettings, segments_max: int) -> int:
    """Return how many populations of a version a rule may look at, for it to share its budget."""
    return segments_max_of(segments, segments_max) if rule.segments else 1


def segment_faults(rules: Mapping[int, RuleSettings], segments: Any) -> Iterator[Fault]:  # noqa: ANN401 - may be unusable
    """Find rules of segments that cannot be."""
    if segments is UNUSABLE:
        return
    keys = () if segments is None else segments.keys
    of_all = {*change_metrics(), *label_metrics(), *sampled_metrics()}
    for i, rule in rules.items():
        at = "segments" if rule.segments else "segment"
        if not rule.segment and not rule.segments:
            continue
        key, mark, value = rule.segment.partition("=")
        if not keys:
            yield Fault(f"rules[{i}].{at}", "needs [segments] keys: no segment is watched")
        elif rule.segment and not (mark and value and key in keys):
            known = " or ".join(f'"{one}=…"' for one in keys)
            yield Fault(f"rules[{i}].segment", f'expected {known}, got "{rule.segment}"')
        if rule.action == "rollback":
            yield Fault(
                f"rules[{i}].action",
                'a rule of a segment can only "alert": a rollback moves all of the traffic, and of '
                "that a segment is no evidence; have a rule of the whole for it",
            )
        if rule.metric in of_all:
            yield Fault(f"rules[{i}].{at}", f'"{rule.metric}" is told of the whole traffic only')
