"""An alert of somebody else's: a hint that opens SUSPECT, or evidence where that was allowed. Pure.

An alert never acts by itself. Only one that the configuration names as evidence opens a rollback,
and that goes through every gate, with what Kedge itself knows of the version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rollback.breach import evidence_of, open_rollback
from rollback.command import ReadRegistry
from rollback.observation import Alerted, WindowsClosed
from rollback.record import JsonObject
from rollback.state import Turn, new_record

#: Versions whose last window is kept, for an alert about one of them.
WINDOWS_MAX: Final = 4


def keep_window(turn: Turn, window: WindowsClosed) -> None:
    """Keep the last window of each of the versions that were heard of lately."""
    others = tuple(one for one in turn.state.lately if one.version != window.version)
    turn.set(lately=(*others, window)[-WINDOWS_MAX:])


def alerted(turn: Turn, alert: Alerted) -> None:
    """Take an alert into account."""
    if not alert.firing:
        _ended(turn, alert)
    elif alert.confirms and alert.version is not None and turn.state.record is None:
        _confirm(turn, alert, alert.version)
    else:
        _suspect(turn, alert)


def _suspect(turn: Turn, alert: Alerted) -> None:
    state = turn.state
    if state.record is not None or state.phase not in ("WATCHING", "BLIND", "RESOLVED"):
        return
    turn.set(about=alert.version, suspects=(), hint=alert.key)
    turn.enter("SUSPECT", f"alert {alert.name}: {alert.summary or 'is firing'}")
    # Where things stand is looked up at once; nothing follows from it but that it is known.
    turn.commands.append(ReadRegistry())


def _ended(turn: Turn, alert: Alerted) -> None:
    state = turn.state
    if state.hint == alert.key and state.phase == "SUSPECT" and not state.suspects:
        turn.set(about=None, hint=None)
        turn.enter("WATCHING", f"alert {alert.name} is over")


def _confirm(turn: Turn, alert: Alerted, version: str) -> None:
    """Open a rollback for the version that the alert names, unless a gate refuses it at once."""
    turn.set(about=version, suspects=(), window_ends=alert.starts_at, hint=alert.key)
    record = replace(
        new_record(turn, turn.state.next_id),
        reason=f"version {version}: alert {alert.name}",
        from_version=version,
        dry_run=turn.policy.mode != "act",
        evidence=_evidence(turn, alert, version),
    )
    open_rollback(turn, record)


def _evidence(turn: Turn, alert: Alerted, version: str) -> JsonObject:
    own = next((one for one in turn.state.lately if one.version == version), None)
    known: JsonObject = {}
    if own is not None and turn.now - own.ends <= turn.policy.evidence_age_max_s:
        # Rules of any action: what may not act by itself is evidence all the same.
        known = evidence_of(own, [rule for rule in own.rules if rule.state == "breach"])
    if not known.get("breached"):
        # By these a recovery is told; without any, every rule that may roll back counts.
        known.pop("breached", None)
    told = {
        "name": alert.name,
        "summary": alert.summary,
        "key": alert.key,
        "starts_at": alert.starts_at,
        "labels": dict(alert.labels),
    }
    return {**known, "alert": told}
