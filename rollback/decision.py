"""The decision: `step(state, observation, policy, now) -> (state, commands)`. Start reading here.

Pure: no I/O, no clock, no randomness. The states and their order are those of
`rollback.record.Phase`. The rules that hold whatever is observed:

* A rule that says unknown neither acts nor clears.
* The record is written before the act that it announces.
* One rollback is open at a time, and past its `expires` no step of it is begun.
* No automatic rollback within the cooldown after another, none over the budget, none to a
  version that is unfit, and none from a version that an automatic rollback chose.
* What another actor moved is left alone.
* Only mode ``act`` acts, whoever asks.

A breach goes this way: `breach.window_closed` → the registry is read → `acting.ask_gates` → the
steps are rehearsed → `acting.prechecked` → `acting.act`, `acting.step_done` → windows of the
target → `_registry_read`, which has the last word.
"""

from __future__ import annotations

from dataclasses import replace

from rollback.acting import (
    act,
    ask_gates,
    comparison_ended,
    give_up,
    prechecked,
    step_done,
    step_failed,
)
from rollback.alert import alerted, keep_window
from rollback.breach import window_closed
from rollback.command import Command, ReadRegistry
from rollback.observation import (
    Alerted,
    ComparisonEnded,
    HoldCleared,
    HoldSet,
    ManualRequested,
    Observation,
    Prechecked,
    RegistryFailed,
    RegistryRead,
    Resumed,
    StepDone,
    StepFailed,
    Tick,
    VersionBlessed,
    VersionQuarantined,
    WindowsClosed,
)
from rollback.policy import Policy, pause_s
from rollback.record import GateResult, RollbackRecord
from rollback.request import hold, mark, requested
from rollback.state import State, Turn, remembered
from rollback.verification import missing


def step(  # noqa: C901, PLR0912 - one line an observation
    state: State, observation: Observation, policy: Policy, now: float
) -> tuple[State, tuple[Command, ...]]:
    """Return the next state, and what is to be done, in order.

    Parameters
    ----------
    state
        Its `next_id` must be one that no record has yet.
    now
        Seconds since the epoch. A clock that steps back makes the limits longer, not shorter.
    """
    turn = Turn(state, policy, now)
    match observation:
        case WindowsClosed():
            keep_window(turn, observation)
            window_closed(turn, observation)
        case Alerted():
            alerted(turn, observation)
        case RegistryRead():
            _registry_read(turn, observation)
        case RegistryFailed():
            _registry_failed(turn, observation)
        case Prechecked():
            prechecked(turn, observation)
        case StepDone():
            step_done(turn, observation)
        case StepFailed():
            step_failed(turn, observation)
        case Tick():
            _tick(turn)
        case ComparisonEnded():
            comparison_ended(turn)
        case Resumed():
            _resumed(turn, observation)
        case ManualRequested():
            requested(turn, observation)
        case HoldSet() | HoldCleared():
            hold(turn, observation)
        case VersionBlessed() | VersionQuarantined():
            mark(turn, observation)
    return turn.state, tuple(turn.commands)


def _registry_read(turn: Turn, read: RegistryRead) -> None:
    turn.set(alias_version=read.alias_version)
    record = turn.state.record
    if record is None:
        return
    if record.undecided:
        ask_gates(turn, record, read)
    elif record.state == "VERIFYING":
        turn.set(failures=0, next_try=turn.now + turn.policy.verify_interval_s)
        stays = read.alias_stays and read.alias_version == record.from_version
        if read.alias_version != record.to_version and not stays:
            why = (
                f"the alias was moved to version {read.alias_version} by somebody else; "
                "it is left there"
            )
            turn.close(record, "CONTESTED", "contested", why)
        elif read.undone:
            why = f"{'; '.join(read.undone)}; it is left there"
            turn.close(record, "CONTESTED", "contested", why)
        elif not missing(turn.state.proof, turn.policy):
            turn.close(
                _with_proof(turn, record),
                "RESOLVED",
                "resolved",
                f"version {record.to_version} serves, and is well",
            )
            turn.set(about=record.to_version, suspects=())


def _registry_failed(turn: Turn, failed: RegistryFailed) -> None:
    record = turn.state.record
    if record is None:
        return
    failures = turn.state.failures + 1
    if record.undecided and not failed.transient:
        refusal = GateResult("alias", passed=False, detail=failed.message)
        turn.refuse(record, (*record.gates, refusal))
    elif record.undecided and failures >= turn.policy.attempts_max:
        turn.set(failures=failures)
        give_up(turn, record, "alias", f"after {failures} attempts, {failed.message}")
    else:
        # While verifying, the deadline is the limit: even a refusal may be lifted until then.
        turn.set(failures=failures, next_try=turn.now + pause_s(failures))


def _with_proof(turn: Turn, record: RollbackRecord) -> RollbackRecord:
    return replace(record, evidence={**record.evidence, "verification": turn.state.proof.to_json()})


def _tick(turn: Turn) -> None:
    _end_hold(turn)
    record = turn.state.record
    if record is None:
        _idle(turn)
        return
    due = turn.state.next_try is None or turn.now >= turn.state.next_try
    if record.undecided:
        if turn.now >= record.expires:
            _out_of_time(turn, record)
        elif due:
            turn.commands.append(ReadRegistry())
    elif record.state in ("INTENDED", "ACTING"):
        if due or turn.now >= record.expires:
            act(turn, record)
    elif turn.now >= record.timings["verifying"] + turn.policy.verify_timeout_s:
        still = missing(turn.state.proof, turn.policy) or ("the alias could not be read back",)
        why = f"not verified within {turn.policy.verify_timeout_s:.0f} s: {'; '.join(still)}"
        turn.close(_with_proof(turn, record), "ESCALATED", "escalated", why)
    elif due:
        turn.set(next_try=turn.now + turn.policy.verify_interval_s)
        turn.commands.append(ReadRegistry())


def _out_of_time(turn: Turn, record: RollbackRecord) -> None:
    if record.evidence.get("shadow", {}).get("verdict") == "pending":
        give_up(turn, record, "better_on_shadow", "the comparison has not ended in time")
    else:
        give_up(turn, record, "evidence", "the registry could not be read in time")


def _end_hold(turn: Turn) -> None:
    memory = turn.state.memory
    if memory.hold is not None and memory.held(turn.now) is None:
        turn.set(memory=replace(memory, hold=None))
        if turn.state.phase == "HELD":
            turn.enter(turn.rest(), "the hold has run out")


def _idle(turn: Turn) -> None:
    state = turn.state
    if state.decided_at is None or state.phase in ("BLIND", "HELD", "ESCALATED", "CONTESTED"):
        return
    if turn.now - state.decided_at >= turn.policy.blind_after_s:
        turn.set(about=None, suspects=(), told=None)
        turn.enter("BLIND", f"no rule could decide for {turn.policy.blind_after_s:.0f} s")


def _resumed(turn: Turn, resumed: Resumed) -> None:
    turn.set(history=remembered(sorted(resumed.recent, key=lambda r: r.updated)))
    opened = sorted(resumed.open_records, key=lambda r: (r.acted, r.updated), reverse=True)
    turn.enter(turn.rest(), "Kedge started")
    for extra in opened[1:]:
        # Two writers without a common lock; the one that got further goes on.
        turn.set(record=extra, phase=extra.state)
        another = GateResult("alias", passed=False, detail=f"rollback {opened[0].id} is open")
        turn.refuse(extra, (*extra.gates, another))
    if opened:
        _resume(turn, opened[0])


def _resume(turn: Turn, record: RollbackRecord) -> None:
    # The evidence is as old as the alert, whatever was measured since.
    alert, window = record.evidence.get("alert", {}), record.evidence.get("window", {})
    ends = alert.get("starts_at", window.get("ends"))
    turn.set(record=record, phase=record.state, window_ends=ends)
    until = turn.state.memory.held(turn.now)
    if until is not None and not record.acted:
        refusal = GateResult("hold", passed=False, detail=f"held: {until.reason}")
        turn.refuse(record, (*record.gates, refusal))
    else:
        _tick(turn)
