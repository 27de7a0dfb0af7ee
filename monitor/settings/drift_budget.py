"""From ``false_alarms = "1 per 30d"`` to what a drift rule promises of each of its windows."""

from __future__ import annotations

from detectors.rules.drift_spec import STABLE, TOLERANCE, DriftSpec
from monitor.settings.quantities import EventSpan, FalseAlarms, Span, TimeSpan
from monitor.settings.rules import RuleSettings
from monitor.settings.tables import WindowSettings


def drift_spec(rule: RuleSettings, windows: WindowSettings, *, populations: int = 1) -> DriftSpec:
    """Share a rule's budget out over the windows that close.

    Parameters
    ----------
    populations
        So many are looked at, each with windows of its own: all traffic, or every segment.

    Raises
    ------
    ValueError
        These windows cannot keep it; the message says why.
    """
    budget = rule.false_alarms or FalseAlarms(1, TimeSpan(30 * 86_400.0))
    length, slide = windows.length, windows.slide or windows.length
    panes = round(_ticks(length) / _ticks(slide))
    if isinstance(budget.per, int):
        closed = float(budget.per)
    elif isinstance(slide, EventSpan):
        raise ValueError(  # noqa: TRY004 - the settings contradict one another
            f'"{budget}" says nothing of windows of events, of which any number may close in that '
            'time; give a number of windows, such as "1 per 1000 windows"'
        )
    else:
        closed = budget.per.seconds / slide.seconds
    if closed < 2 * panes * budget.alarms:
        raise ValueError(
            f'"{budget}" is more than one false alarm in two windows of "{length}" every "{slide}"'
        )
    return DriftSpec.of_budget(
        budget.alarms / populations,
        closed,
        panes=panes,
        length_s=length.seconds if isinstance(length, TimeSpan) else None,
        tolerance=TOLERANCE if rule.tolerance is None else rule.tolerance,
        stable=STABLE if rule.stable is None else rule.stable,
    )


def _ticks(span: Span) -> float:
    return span.events if isinstance(span, EventSpan) else span.seconds
