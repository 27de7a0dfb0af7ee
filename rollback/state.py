"""Where a model stands, and the small steps by which a decision moves it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rollback.command import Command, Notify, WriteTransition
from rollback.gates import Case, frozen_by
from rollback.memory import Memory
from rollback.observation import WindowsClosed
from rollback.policy import Policy
from rollback.record import Gate, GateResult, Outcome, Phase, RollbackRecord, StepRecord, Transition
from rollback.verification import Proof

#: Closed rollbacks that are kept in mind: many times what the limits allow in a week.
HISTORY_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Told:
    """What was recorded of a breach that goes on, so that it is not recorded with every window."""

    version: str
    at: float
    gate: Gate


@dataclass(frozen=True, slots=True)
class State:
    """Where one model stands.

    Parameters
    ----------
    plan
        Names of the steps, in the order of doing.
    next_id
        For the next record; dealt anew by the controller before each decision.
    record
        The open rollback; at most one.
    window_ends
        When the window ended that the open rollback relies on.
    about, suspects
        The version, and its rules, that a phase other than WATCHING is about.
    told
        The last outcome of the breach that goes on.
    history
        Closed rollbacks that limit later ones, oldest first.
    alias_version
        What was read last; None before that.
    decided_at
        When a rule last said anything but unknown; None before the first window.
    lately
        The last window of each version heard of lately.
    hint
        Key of the alert that opened SUSPECT.
    failures, next_try
        Failed tries in a row, and when the next one is due.
    comparing_since
        When the open rollback began to wait for the comparison with its target; None: it does not.
    """

    model: str
    plan: tuple[str, ...]
    next_id: str = ""
    phase: Phase = "WATCHING"
    since: float = 0.0
    record: RollbackRecord | None = None
    window_ends: float | None = None
    about: str | None = None
    suspects: tuple[str, ...] = ()
    told: Told | None = None
    memory: Memory = field(default_factory=Memory)
    history: tuple[RollbackRecord, ...] = ()
    alias_version: str | None = None
    decided_at: float | None = None
    failures: int = 0
    next_try: float | None = None
    comparing_since: float | None = None
    lately: tuple[WindowsClosed, ...] = ()
    hint: str | None = None
    proof: Proof = field(default_factory=Proof)


def remembered(records: Iterable[RollbackRecord]) -> tuple[RollbackRecord, ...]:
    """Return the closed rollbacks that limit later ones: those that acted, or would have."""
    counting = [r for r in records if r.acted or r.outcome == "would have acted"]
    return tuple(counting[-HISTORY_MAX:])


def new_record(turn: Turn, record_id: str) -> RollbackRecord:
    """Return a record that is to be filled in: confirmed now, nothing of the plan done."""
    return RollbackRecord(
        id=record_id,
        model=turn.state.model,
        state="CONFIRMED",
        reason="",
        created=turn.now,
        updated=turn.now,
        expires=turn.now + turn.policy.intent_ttl_s,
        steps=tuple(StepRecord(name) for name in turn.state.plan),
    )


class Turn:
    """One decision in the making: the state as it changes, and the commands as they come up.

    It lives within one call of `step`, and keeps two promises for everyone: whatever changes a
    record also writes it, and whatever changes the phase also tells.
    """

    def __init__(self, state: State, policy: Policy, now: float) -> None:
        self.state = state
        self.policy = policy
        self.now = now
        self.commands: list[Command] = []

    def set(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of State
        """Change the state where neither phase nor record changes."""
        self.state = replace(self.state, **changes)

    def rest(self) -> Phase:
        """Return the phase of a model with nothing open and nothing suspicious."""
        if self.state.memory.held(self.now):
            return "HELD"
        frozen = frozen_by(self.state.history, self.state.memory)
        return frozen[1] if frozen else "WATCHING"

    def enter(self, phase: Phase, why: str) -> None:
        """Move to a phase that belongs to no record; nothing happens if it is the one."""
        if phase != self.state.phase:
            transition = self._transition(phase, why)
            self.set(phase=phase, since=self.now)
            self.commands.append(Notify(transition))

    def repeat(self, refusal: GateResult) -> None:
        """Tell of a refusal that was recorded already."""
        transition = self._transition(self.state.phase, refusal.detail, refusal.gate)
        self.commands.append(Notify(replace(transition, repeated=True)))

    def write(self, record: RollbackRecord, phase: Phase, why: str) -> RollbackRecord:
        """Move the record to a phase, and the model with it; return the record as written."""
        record = replace(
            record,
            state=phase,
            updated=self.now,
            revision=record.revision + 1,
            # The first time counts: a step may be tried again and again.
            timings={**record.timings, phase.lower(): record.timings.get(phase.lower(), self.now)},
        )
        gate = record.refusal.gate if record.refusal else None
        transition = replace(self._transition(phase, why, gate), record_id=record.id)
        self.commands.append(WriteTransition(record, transition))
        self.set(record=record, phase=phase, since=self.now, failures=0, next_try=None)
        return record

    def close(self, record: RollbackRecord, phase: Phase, outcome: Outcome, why: str) -> None:
        """End the record; the model rests, or stays in a phase that says how it ended."""
        record = self.write(replace(record, outcome=outcome, detail=why), phase, why)
        self.set(
            record=None,
            window_ends=None,
            comparing_since=None,
            history=remembered((*self.state.history, record)),
            proof=Proof(),
        )
        gate = record.refusal.gate if record.refusal else None
        if not record.manual and record.from_version is not None:
            self.set(told=Told(record.from_version, self.now, gate or "cooldown"))
        rest = self.rest()
        if rest != "WATCHING":
            self.enter(rest, why)

    def refuse(self, record: RollbackRecord, gates: tuple[GateResult, ...]) -> None:
        """End the record by the gate that said no, or only count what was recorded already."""
        refusal = gates[-1]
        if record.revision == 0 and self.told_of(record) in (refusal.gate, "cooldown"):
            self.repeat(refusal)
            self.set(record=None, window_ends=None, comparing_since=None)
            return
        outcome: Outcome = "would breach" if refusal.gate == "mode" else "refused"
        self.close(replace(record, gates=gates), "REFUSED", outcome, refusal.detail)

    def told_of(self, record: RollbackRecord) -> Gate | None:
        """Return the gate that lately refused for the same breach, if one did.

        What went on to its end also stands in the way of the next, by the cooldown.
        """
        told = self.state.told
        if record.manual or told is None or told.version != record.from_version:
            return None
        return told.gate if self.now - told.at < self.policy.cooldown_s else None

    def case(self, record: RollbackRecord) -> Case:
        """Return what the gates are to look at."""
        state = self.state
        return Case(record, state.window_ends, state.memory, state.history, self.policy, self.now)

    def _transition(self, after: Phase, why: str, gate: Gate | None = None) -> Transition:
        return Transition(self.state.model, self.now, self.state.phase, after, why, gate)
