"""What happened to a model, a line a happening: breaches, rollbacks, what people said. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from monitor.judging.incidents import told_cause
from monitor.page.verdict import Moment, columns_of, figure, listed, seconds_of

Json: TypeAlias = Mapping[str, Any]
Tone: TypeAlias = Literal["good", "watch", "bad", "plain"]

#: What is told of a rule, by the kind of the incident.
_OF_RULES: Final[Mapping[str, tuple[Tone, str]]] = {
    "opened": ("watch", "Breach opened"),
    "confirmed": ("bad", "Breach confirmed"),
    "cleared": ("good", "Breach cleared"),
}
#: What is told of a rollback, by its phase.
_OF_ROLLBACKS: Final[Mapping[str, tuple[Tone, str]]] = {
    "confirmed": ("watch", "Rollback considered"),
    "gated": ("watch", "Every gate passed"),
    "intended": ("watch", "Rollback planned"),
    "acting": ("watch", "Rollback under way"),
    "verifying": ("watch", "Rollback done, being verified"),
    "resolved": ("good", "Rollback verified: it helped"),
    "refused": ("plain", "Rollback refused"),
    "escalated": ("bad", "A person has to look"),
    "contested": ("bad", "Somebody else moved the model"),
}
_OF_PEOPLE: Final[Mapping[str, str]] = {
    "hold": "Automatic action held",
    "resume": "Automatic action resumed",
    "bless": "Version called fit",
    "quarantine": "Version called unfit",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the timeline.

    Parameters
    ----------
    title, detail
        What happened, and what there is to know besides; the detail may be empty.
    rollback
        Id of the rollback that it belongs to; empty without one.
    """

    at: Moment
    tone: Tone
    title: str
    detail: str
    version: str = ""
    rollback: str = ""
    before: tuple[Happening, ...] = ()
    """What led to it within the same rollback, newest first."""


def timeline(incidents: Sequence[Json]) -> list[Happening]:
    """Tell incidents as the API answers them, in their order.

    The steps of a rollback that follow one another are one happening, told by the last of them.
    """
    told: list[Happening] = []
    for happening in map(_happening, incidents):
        if told and happening.rollback and told[-1].rollback == happening.rollback:
            told[-1] = replace(told[-1], before=(*told[-1].before, happening))
        else:
            told.append(happening)
    return told


def _happening(incident: Json) -> Happening:
    evidence, kind = incident["evidence"], incident["kind"]
    at, version = Moment(seconds_of(incident["at"])), incident["version"] or ""
    if incident["rollback"]:
        tone, title = _OF_ROLLBACKS.get(kind, ("plain", f"Rollback {kind}"))
        if evidence.get("dry_run"):
            title = f"{title} (dry run)"
        to = f"to version {evidence['to']}: " if evidence.get("to") else ""
        detail = f"{to}{evidence.get('why') or ''}".strip(" :")
        return Happening(at, tone, title, detail, version, incident["rollback"])
    if incident["rule"]:
        tone, title = _OF_RULES.get(kind, ("plain", kind.capitalize()))
        return Happening(at, tone, title, _of_rule(incident), version)
    by = f" ({evidence['by']})" if evidence.get("by") else ""
    detail = f"{evidence.get('why') or ''}{by}".strip()
    return Happening(at, "plain", _OF_PEOPLE.get(kind, kind.capitalize()), detail, version)


def _of_rule(incident: Json) -> str:
    evidence = incident["evidence"]
    columns = columns_of(evidence)
    of = f": {listed(columns)}" if columns else ""
    segment = f" in {incident['segment']}" if incident.get("segment") else ""
    figures = (
        f"; {evidence.get('metric')} {figure(evidence.get('value'))}, "
        f"limit {figure(evidence.get('threshold'))}"
    )
    cause = f"; {told_cause(evidence['cause'])}" if evidence.get("cause") else ""
    return f"{incident['rule']}{of}{segment}{figures}{cause}"
