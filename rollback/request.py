"""A person asks for a rollback, holds, resumes, blesses or quarantines. Pure."""

from __future__ import annotations

from dataclasses import replace

from rollback.command import ReadRegistry
from rollback.gates import ask_before_reading
from rollback.memory import Hold
from rollback.observation import (
    HoldCleared,
    HoldSet,
    ManualRequested,
    VersionBlessed,
    VersionQuarantined,
)
from rollback.record import GateResult
from rollback.state import Turn, new_record


def requested(turn: Turn, request: ManualRequested) -> None:
    """Open a rollback that a person asked for; outside mode ``act`` it is a rehearsal."""
    record = replace(
        new_record(turn, request.record_id),
        reason=request.reason,
        to_version=request.to_version,
        dry_run=request.dry_run or turn.policy.mode != "act",
        manual=True,
    )
    other = turn.state.record
    if other is not None:
        # Refused beside the open one, which goes on as if nothing had been asked.
        before = turn.state
        busy = GateResult("alias", passed=False, detail=f"rollback {other.id} is open")
        turn.refuse(record, (busy,))
        turn.state = before
        return
    gates = ask_before_reading(turn.case(record))
    if not gates[-1].passed:
        turn.refuse(record, gates)
        return
    turn.write(replace(record, gates=gates), "CONFIRMED", record.reason)
    turn.commands.append(ReadRegistry())


def hold(turn: Turn, observation: HoldSet | HoldCleared) -> None:
    """Stop automatic action, also what is not begun yet; or let it go on."""
    if isinstance(observation, HoldCleared):
        turn.set(
            memory=replace(turn.state.memory, hold=None, resumed_at=turn.now),
            told=None,
        )
        if turn.state.record is None and turn.state.phase in ("HELD", "ESCALATED", "CONTESTED"):
            turn.enter("WATCHING", "a person let automatic action go on")
        return
    until = Hold(observation.until, observation.reason)
    turn.set(memory=replace(turn.state.memory, hold=until))
    record = turn.state.record
    if record is not None and not record.acted:
        held = GateResult("hold", passed=False, detail=f"held: {until.reason}")
        turn.refuse(record, (*record.gates, held))
    elif record is None:
        turn.enter(turn.rest(), f"held: {until.reason}")


def mark(turn: Turn, observation: VersionBlessed | VersionQuarantined) -> None:
    """Remember what a person says of a version."""
    memory = turn.state.memory
    if isinstance(observation, VersionBlessed):
        memory = memory.blessed(observation.version, turn.now)
    else:
        memory = memory.quarantine(observation.version, observation.until)
    # There may be a target now, or another one: what was refused may be asked again.
    turn.set(memory=memory, told=None)
