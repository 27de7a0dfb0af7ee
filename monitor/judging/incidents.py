"""Incidents: what happened to a rule as a row of the store, and in one line for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from detectors.measurement import Measurement
from detectors.rules.drift_rule import Drift
from detectors.rules.rule import Judgement, RuleEvent, RuleSpec

if TYPE_CHECKING:
    from monitor.judging.frame import Frame


def told(incident: Mapping[str, Any]) -> str:
    """Return an incident of a rule as a line.

    Examples
    --------
    >>> told({"rule": "drift", "kind": "opened", "version": "7", "evidence": {"column": "age"}})
    'rule drift opened: version 7, column age'
    """
    evidence = incident["evidence"]
    of = f", column {evidence['column']}" if evidence.get("column") else ""
    why = f"; {told_cause(evidence['cause'])}" if evidence.get("cause") else ""
    return f"rule {incident['rule']} {incident['kind']}: version {incident['version']}{of}{why}"


def told_cause(cause: Mapping[str, Any]) -> str:
    """Return where a breach comes from as a part of a line.

    Examples
    --------
    >>> told_cause({"origin": "model", "because": "the inputs are stable", "columns": []})
    'likely the model: the inputs are stable'
    """
    origin = cause["origin"]
    likely = "cause unknown" if origin == "unknown" else f"likely the {origin}"
    return f"{likely}: {cause['because']}"


def pair_measured(found: Sequence[Measurement], rule: RuleSpec) -> dict[str, list[str]]:
    """Name the two columns that a rule of several columns is about."""
    pairs = [one.pair for one in found if one.metric == rule.metric and one.pair]
    return {"pair": list(pairs[0])} if pairs else {}


def pair_of(judgement: Judgement, drift: Drift | None) -> tuple[str, ...]:
    """Return the two columns that the worst one of a rule of drift stands for, if it does."""
    columns = () if drift is None else drift.columns
    return next((one.pair for one in columns if one.column == judgement.column and one.pair), ())


def incident_of(
    window: Frame, rule: RuleSpec, judgement: Judgement, event: RuleEvent
) -> dict[str, Any]:
    """Return what happened to a rule as a row of the store, with its evidence."""
    return {
        "at": window.ends,
        "kind": event.kind,
        "model": window.model,
        "version": window.version,
        "segment": window.segment,
        "rule": rule.name,
        "rollback": None,
        "evidence": {
            "metric": rule.metric,
            "column": judgement.column,
            "value": judgement.value,
            "low": judgement.low,
            "high": judgement.high,
            "threshold": judgement.threshold,
            "n": judgement.n,
            "window_begins": window.begins,
            "window_ends": window.ends,
        },
    }
