"""What log lines are about besides their text: fields of the Elastic Common Schema.

The ids are those of the API: ``kedge.incident.id`` is the ``id`` in ``/api/v1/incidents``,
``kedge.rollback.id`` that in ``/api/v1/rollbacks``. Values that are not there are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from monitor.store.queries import rfc3339
from rollback.observation import Word
from rollback.record import RollbackRecord, StepRecord, Transition

Fields = dict[str, Any]

#: How a rollback that has ended counts in ``event.outcome``.
_OUTCOMES: Final = {"resolved": "success", "escalated": "failure", "contested": "failure"}


def of_window(window: Mapping[str, Any]) -> Fields:
    """Return the fields of a closed window."""
    return _filled(
        {
            "event.kind": "metric",
            "event.action": "window-closed",
            "kedge.model": window["model"],
            "kedge.version": window["version"],
            "kedge.segment": window["segment"],
            "kedge.window.begins": rfc3339(window["begins"]),
            "kedge.window.ends": rfc3339(window["ends"]),
            "kedge.window.events": window["events"],
        }
    )


def of_rule(incident: Mapping[str, Any]) -> Fields:
    """Return the fields of what happened to a rule; its action is ``rule-opened`` or the like."""
    evidence = incident["evidence"]
    return _filled(
        {
            "event.kind": "event" if incident["kind"] == "cleared" else "alert",
            "event.action": f"rule-{incident['kind']}",
            **_of_incident(incident),
            "kedge.metric": evidence.get("metric"),
            "kedge.column": evidence.get("column"),
        }
    )


def of_transition(
    transition: Transition,
    record: RollbackRecord | None,
    incident: Mapping[str, Any] | None = None,
) -> Fields:
    """Return the fields of a transition, and of the rollback and its step if it has one.

    The action is ``rollback-`` and the phase, or ``decision-`` and the phase where no rollback
    is concerned: ``rollback-acting``, ``decision-held``.
    """
    subject = "decision" if record is None else "rollback"
    fields = {
        "event.kind": "event",
        "event.action": f"{subject}-{transition.after.lower()}",
        "kedge.model": transition.model,
        "kedge.phase.before": transition.before,
        "kedge.phase.after": transition.after,
        "kedge.gate": transition.gate,
    }
    if incident is not None:
        fields |= _of_incident(incident)
    if record is not None:
        fields |= _of_record(record)
    return _filled(fields)


def of_word(model: str, word: Word, incident: Mapping[str, Any]) -> Fields:
    """Return the fields of what a person has said; the action is ``hold``, ``bless`` and so on."""
    return _filled(
        {
            "event.kind": "event",
            "event.action": incident["kind"],
            "kedge.model": model,
            "user.name": word.by,
            **_of_incident(incident),
        }
    )


def _of_incident(incident: Mapping[str, Any]) -> Fields:
    # Missing where the store took it not, or not yet.
    identity = incident.get("id")
    return {
        "event.id": None if identity is None else str(identity),
        "kedge.incident.id": identity,
        "kedge.model": incident["model"],
        "kedge.version": incident["version"],
        "kedge.segment": incident.get("segment"),
        "kedge.rule": incident["rule"],
    }


def _of_record(record: RollbackRecord) -> Fields:
    step = _latest(record)
    return {
        "event.outcome": _OUTCOMES.get(record.outcome or ""),
        "kedge.version": record.from_version,
        "kedge.rollback.id": record.id,
        "kedge.rollback.from": record.from_version,
        "kedge.rollback.to": record.to_version,
        "kedge.rollback.state": record.state,
        "kedge.rollback.outcome": record.outcome,
        "kedge.rollback.revision": record.revision,
        "kedge.rollback.dry_run": record.dry_run,
        "kedge.rollback.manual": record.manual,
        "kedge.rollback.step.name": step and step.step,
        "kedge.rollback.step.state": step and step.state,
        "kedge.rollback.step.attempts": step and step.attempts,
    }


def _latest(record: RollbackRecord) -> StepRecord | None:
    """Return the step that was begun last."""
    return next((one for one in reversed(record.steps) if one.state != "pending"), None)


def _filled(fields: Mapping[str, Any]) -> Fields:
    return {name: value for name, value in fields.items() if value not in (None, "")}
