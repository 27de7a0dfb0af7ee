"""From the registry's answer to the last step done: gates, rehearsal, acting. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rollback.better import better_on_shadow, waits_for_comparison
from rollback.command import Act, Precheck, ReadRegistry
from rollback.gates import ask_with_registry
from rollback.observation import Prechecked, RegistryRead, StepDone, StepFailed
from rollback.policy import pause_s
from rollback.record import Gate, GateResult, RollbackRecord, StepRecord
from rollback.state import Turn

#: Between two calls of a step that waits for what it has set in motion.
WAITING_PAUSE_S: Final = 1.0
#: Between two questions whether the comparison with the target has ended, should nobody tell.
COMPARING_PAUSE_S: Final = 2.0


def ask_gates(turn: Turn, record: RollbackRecord, read: RegistryRead) -> None:
    """Ask every gate, now that the registry has answered, and rehearse the steps."""
    gates, target = ask_with_registry(turn.case(record), read)
    record = replace(record, from_version=record.from_version or read.alias_version, gates=gates)
    if target is None:
        turn.refuse(record, gates)
        return
    assert record.from_version is not None  # noqa: S101 - the gate `alias` has passed
    # Not written yet: after a crash all of this is asked again.
    turn.set(record=replace(record, to_version=target.version), next_try=None)
    since = turn.state.comparing_since
    waits = waits_for_comparison(turn.policy.gates, 0.0 if since is None else turn.now - since)
    turn.commands.append(Precheck(record.id, record.from_version, target.version, waits))


def prechecked(turn: Turn, checked: Prechecked) -> None:
    """Begin, or say what would have been begun."""
    record = turn.state.record
    if record is None or record.id != checked.record_id or not record.undecided:
        return
    if checked.problems:
        gate: Gate = "hold" if checked.held else "target"
        problem = GateResult(gate, passed=False, detail="; ".join(checked.problems))
        turn.refuse(record, (*record.gates, problem))
        return
    shadow = {} if checked.shadow is None else {"shadow": checked.shadow.to_json()}
    evidence = {name: one for name, one in record.evidence.items() if name != "shadow"}
    record = replace(record, evidence={**evidence, **shadow})
    if checked.shadow is not None and checked.shadow.verdict == "pending":
        # Not written yet, as above; until it has ended, everything is asked again.
        _wait_for_comparison(turn, record)
        return
    gates = turn.policy.gates
    better = better_on_shadow(
        gates.better_on_shadow,
        checked.shadow,
        record.evidence,
        manual=record.manual,
        # The gate before this one has passed.
        to_model=gates.world_or_model or record.evidence.get("cause", {}).get("origin") == "model",
    )
    record = replace(record, gates=(*record.gates, better))
    if not better.passed:
        turn.refuse(record, record.gates)
    elif record.dry_run or turn.policy.mode != "act":
        why = f"would have moved version {record.from_version} to {record.to_version}"
        turn.close(replace(record, dry_run=True), "GATED", "would have acted", why)
    else:
        plan = f"version {record.from_version} to {record.to_version}"
        record = turn.write(record, "GATED", f"every gate passed: {plan}")
        record = turn.write(record, "INTENDED", f"intended: {plan}")
        act(turn, record)


def _wait_for_comparison(turn: Turn, record: RollbackRecord) -> None:
    since = turn.state.comparing_since
    since = turn.now if since is None else since
    # Asked at the very end of the wait, too.
    ends = since + turn.policy.gates.compare_wait_s
    again = turn.now + COMPARING_PAUSE_S
    again = min(again, ends) if ends > turn.now else again
    turn.set(record=record, comparing_since=since, next_try=again)


def comparison_ended(turn: Turn) -> None:
    """Ask everything again at once if that was waited for."""
    record = turn.state.record
    if record is not None and record.undecided and turn.state.comparing_since is not None:
        turn.commands.append(ReadRegistry())


def act(turn: Turn, record: RollbackRecord) -> None:
    """Announce and begin the first step that is not done, or verify when all are."""
    current = _current(record)
    if current is None:
        # What is done is verified, however late it was done.
        turn.write(record, "VERIFYING", "every step is done; does the traffic agree?")
        turn.set(next_try=turn.now + turn.policy.verify_interval_s)
    elif turn.now >= record.expires:
        give_up(turn, record, "evidence", "the time for acting was over")
    elif turn.policy.mode != "act":
        give_up(turn, record, "mode", f"the mode is {turn.policy.mode} now")
    else:
        _begin(turn, record, current)


def _begin(turn: Turn, record: RollbackRecord, current: StepRecord) -> None:
    failures = turn.state.failures
    doing = replace(current, state="doing", attempts=current.attempts + 1)
    why = f"{doing.step}, attempt {doing.attempts}"
    record = turn.write(_with_step(record, doing), "ACTING", why)
    turn.set(failures=failures)
    assert record.from_version is not None  # noqa: S101 - the gates saw to it
    assert record.to_version is not None  # noqa: S101 - the gates saw to it
    turn.commands.append(Act(record.id, doing.step, record.from_version, record.to_version))


def step_done(turn: Turn, done: StepDone) -> None:
    """Go on to the next step, or to the verification."""
    found = _asked(turn, done)
    if found is not None:
        record, current = found
        turn.set(failures=0)
        act(turn, _with_step(record, replace(current, state="done", detail=done.detail)))


def step_failed(turn: Turn, failed: StepFailed) -> None:
    """Try again later, or end it."""
    found = _asked(turn, failed)
    if found is None:
        return
    record, current = found
    # Once an attempt may have changed something, no later one takes that back.
    changed = failed.changed or current.attempts > 1
    tried = replace(current, state="doing" if changed else "refused", detail=failed.message)
    record = _with_step(record, tried)
    if failed.kind == "waiting":
        # Not a failure: pods take their time. The rollback's own time is the limit.
        turn.set(record=record, failures=0, next_try=turn.now + WAITING_PAUSE_S)
        return
    failures = turn.state.failures + 1
    why = f"{failed.step}: {failed.message}"
    if failed.kind == "contested":
        turn.close(record, "CONTESTED", "contested", why)
    elif failed.kind == "permanent":
        turn.close(record, "ESCALATED", "escalated", why)
    elif failures >= turn.policy.attempts_max:
        turn.set(failures=failures)
        give_up(turn, record, "evidence", f"after {failures} attempts, {why}")
    else:
        turn.set(record=record, failures=failures, next_try=turn.now + pause_s(failures))


def give_up(turn: Turn, record: RollbackRecord, gate: Gate, why: str) -> None:
    """End a rollback that cannot go on: for a person to look at, or refused if nothing was tried.

    An intent that ran out is never resumed, whoever finds it.
    """
    if record.touched or turn.state.failures:
        hint = "; look where the alias points" if record.touched else ""
        turn.close(record, "ESCALATED", "escalated", f"{why}{hint}")
        if not record.touched:
            # Nothing was done: the next window may try again, should the registry answer then.
            turn.set(told=None)
    else:
        turn.refuse(record, (*record.gates, GateResult(gate, passed=False, detail=why)))


def _current(record: RollbackRecord) -> StepRecord | None:
    return next((s for s in record.steps if s.state != "done"), None)


def _asked(turn: Turn, answer: StepDone | StepFailed) -> tuple[RollbackRecord, StepRecord] | None:
    """Return the record and the step that an answer is about, if they are being done."""
    record = turn.state.record
    if record is None or record.id != answer.record_id or record.state != "ACTING":
        return None
    current = _current(record)
    return (record, current) if current is not None and current.step == answer.step else None


def _with_step(record: RollbackRecord, changed: StepRecord) -> RollbackRecord:
    steps = tuple(changed if s.step == changed.step else s for s in record.steps)
    return replace(record, steps=steps)
