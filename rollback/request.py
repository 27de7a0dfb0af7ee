"""A person asks for a rollback, holds, resumes, blesses or quarantines. Pure."""

from __future__ import annotations

from dataclasses import replace

from rollback.command import ReadRegistry
from rollback.gates import ask_before_reading
from rollback.memory import Hold, Memory
from rollback.observation import (
    HoldCleared,
    HoldSet,
    ManualRequested,
    VersionBlessed,
    VersionQuarantined,
    Word,
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
        evidence={"by": request.by} if request.by else {},
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


def remembered_of(memory: Memory, word: Word, now: float) -> Memory:
    """Return what is remembered once a person has said something."""
    match word:
        case HoldSet():
            return replace(memory, hold=Hold(word.until, word.reason, now, word.by))
        case HoldCleared():
            return replace(memory, hold=None, resumed_at=now)
        case VersionBlessed():
            return memory.blessed(word.version, now, word.reason, word.by)
        case VersionQuarantined():
            return memory.quarantine(word.version, word.until, word.reason, word.by)


def hold(turn: Turn, observation: HoldSet | HoldCleared) -> None:
    """Stop automatic action, also what is not begun yet; or let it go on."""
    turn.set(memory=remembered_of(turn.state.memory, observation, turn.now))
    if isinstance(observation, HoldCleared):
        turn.set(told=None)
        if turn.state.record is None and turn.state.phase in ("HELD", "ESCALATED", "CONTESTED"):
            turn.enter("WATCHING", "a person let automatic action go on")
        return
    record = turn.state.record
    if record is not None and not record.acted:
        held = GateResult("hold", passed=False, detail=f"held: {observation.reason}")
        turn.refuse(record, (*record.gates, held))
    elif record is None:
        turn.enter(turn.rest(), f"held: {observation.reason}")


def mark(turn: Turn, observation: VersionBlessed | VersionQuarantined) -> None:
    """Remember what a person says of a version."""
    turn.set(memory=remembered_of(turn.state.memory, observation, turn.now))
    record = turn.state.record
    if (
        isinstance(observation, VersionQuarantined)
        and record is not None
        and not record.acted
        and record.to_version == observation.version
    ):
        # Its steps are just being rehearsed; they are not begun any more.
        unfit = f"version {observation.version} was called unfit: {observation.reason}"
        turn.refuse(record, (*record.gates, GateResult("quarantine", passed=False, detail=unfit)))
    # There may be a target now, or another one: what was refused may be asked again.
    turn.set(told=None)
