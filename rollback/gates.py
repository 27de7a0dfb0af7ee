"""What may refuse a rollback, asked in an order that reads well in a report. Pure.

Each gate answers once, passed or not, with the reason in words; the first that refuses ends it.
A request by a person passes the gates on evidence, cooldown and budget, which limit automatic
action only, and is refused by a hold like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from collectors.batch import UNKNOWN_VERSION
from rollback.memory import Memory
from rollback.observation import RegistryRead
from rollback.policy import DAY_S, Policy
from rollback.record import Gate, GateResult, RollbackRecord
from rollback.target import NoTarget, Target, check_target, choose_target
from rollback.world_or_model import world_or_model

_MANUAL = "asked for by a person"


@dataclass(frozen=True, slots=True)
class Case:
    """What the gates look at: the rollback in question and what is remembered.

    Parameters
    ----------
    window_ends
        When the window ended that holds the evidence; None for a request by a person.
    history
        Closed rollbacks of the model, oldest first.
    """

    record: RollbackRecord
    window_ends: float | None
    memory: Memory
    history: Sequence[RollbackRecord]
    policy: Policy
    now: float


def ask_before_reading(case: Case) -> tuple[GateResult, ...]:
    """Return the answers of the gates that need no registry, up to the first refusal."""
    results: list[GateResult] = []
    for gate in (_mode, _hold, _evidence, _cooldown, _budget):
        results.append(gate(case))
        if not results[-1].passed:
            break
    return tuple(results)


def ask_with_registry(
    case: Case, read: RegistryRead
) -> tuple[tuple[GateResult, ...], Target | None]:
    """Return the answers of all gates up to the first refusal, and the target if none refused."""
    results = ask_before_reading(case)
    if not results[-1].passed:
        return results, None
    alias = _alias(case, read)
    if not alias.passed:
        return (*results, alias), None
    choice = _choose(case, read)
    if isinstance(choice, NoTarget):
        return (*results, alias, GateResult(choice.gate, passed=False, detail=choice.detail)), None
    quarantine = _passed("quarantine", f"version {choice.version} is not unfit")
    cause = _cause(case, choice, read)
    results = (*results, alias, quarantine, _passed("target", choice.why), cause)
    return results, choice if cause.passed else None


def choose_any(
    read: RegistryRead,
    *,
    history: Sequence[RollbackRecord],
    memory: Memory,
    policy: Policy,
    now: float,
) -> Target | NoTarget:
    """Return where an automatic rollback from the version that serves would go.

    Parameters
    ----------
    history
        As of :class:`Case`.
    """
    unfit = {
        r.from_version
        for r in history
        if r.touched and r.from_version and now - r.updated < policy.quarantine_s
    }
    return choose_target(
        read.alias_version or "",
        read.versions,
        memory,
        rolled_back_from=unfit,
        policy=policy,
        now=now,
    )


Frozen: TypeAlias = Literal["ESCALATED", "CONTESTED"]


def frozen_by(
    history: Sequence[RollbackRecord], memory: Memory
) -> tuple[RollbackRecord, Frozen] | None:
    """Return the rollback after which automatic action waits for a person, and how it ended."""
    for record in reversed(history):
        if record.touched and not record.dry_run and record.updated > memory.resumed_at:
            if record.outcome == "escalated":
                return record, "ESCALATED"
            if record.outcome == "contested":
                return record, "CONTESTED"
    return None


def _mode(case: Case) -> GateResult:
    if case.policy.mode == "observe" and not case.record.manual:
        return _refused("mode", "observe: nothing is planned")
    if case.policy.mode == "act":
        return _passed("mode", "act")
    return _passed("mode", f"{case.policy.mode}: nothing will be changed")


def _hold(case: Case) -> GateResult:
    hold = case.memory.held(case.now)
    if hold is not None:
        return _refused("hold", f"held: {hold.reason}; `kedge resume` ends it")
    frozen = frozen_by(case.history, case.memory)
    if frozen is not None and not case.record.manual:
        return _refused(
            "hold",
            f"rollback {frozen[0].id} ended {frozen[1]}; look at it, then `kedge resume`",
        )
    return _passed("hold", "none")


def _evidence(case: Case) -> GateResult:
    if case.record.manual or case.window_ends is None:
        return _passed("evidence", _MANUAL)
    if case.record.from_version == UNKNOWN_VERSION:
        return _refused("evidence", "the events do not say which version answered")
    age_s = case.now - case.window_ends
    if age_s > case.policy.evidence_age_max_s:
        return _refused(
            "evidence",
            f"the window ended {age_s:.0f} s ago; the limit is "
            f"{case.policy.evidence_age_max_s:.0f} s",
        )
    return _passed("evidence", f"the window ended {age_s:.0f} s ago")


def _cooldown(case: Case) -> GateResult:
    if case.record.manual:
        return _passed("cooldown", _MANUAL)
    for last in reversed(case.history):
        since_s = case.now - last.updated
        if _counts(last, case.record) and since_s < case.policy.cooldown_s:
            return _refused(
                "cooldown",
                f"rollback {last.id} ended {since_s:.0f} s ago; the cooldown is "
                f"{case.policy.cooldown_s:.0f} s",
            )
    return _passed("cooldown", "over")


def _budget(case: Case) -> GateResult:
    if case.record.manual:
        return _passed("budget", _MANUAL)
    moves = [r for r in case.history if _counts(r, case.record) and not r.manual]
    today = sum(case.now - r.created < DAY_S for r in moves)
    if today >= case.policy.max_per_day:
        return _refused(
            "budget", f"{today} in the last 24 hours; {case.policy.max_per_day} allowed"
        )
    second = next(
        (r for r in moves if r.touched and r.to_version == case.record.from_version), None
    )
    if second is not None:
        return _refused(
            "budget",
            f"rollback {second.id} moved to version {second.to_version}; "
            "there is no second automatic move",
        )
    return _passed("budget", f"{today} of {case.policy.max_per_day} in the last 24 hours")


def _counts(past: RollbackRecord, now_asked: RollbackRecord) -> bool:
    """Whether a past rollback limits this one: a real one does, a rehearsed one a rehearsal."""
    rehearsed = past.outcome == "would have acted" and not past.manual
    return past.acted or (rehearsed and now_asked.dry_run)


def _alias(case: Case, read: RegistryRead) -> GateResult:
    if read.alias_version is None:
        return _refused("alias", "the model has no such alias")
    if case.record.manual:
        return _passed("alias", f"points to version {read.alias_version}")
    if read.alias_version != case.record.from_version:
        return _refused(
            "alias",
            f"points to version {read.alias_version}; the evidence is about version "
            f"{case.record.from_version}",
        )
    return _passed("alias", f"points to version {read.alias_version}, like the evidence")


def _choose(case: Case, read: RegistryRead) -> Target | NoTarget:
    from_version = read.alias_version or ""
    if case.record.manual and case.record.to_version is not None:
        return check_target(
            from_version, case.record.to_version, read.versions, case.memory, now=case.now
        )
    return choose_any(
        read, history=case.history, memory=case.memory, policy=case.policy, now=case.now
    )


def _cause(case: Case, target: Target, read: RegistryRead) -> GateResult:
    if case.record.manual:
        return _passed("world_or_model", _MANUAL)
    if not case.policy.gates.world_or_model:
        return _passed("world_or_model", "off")
    return world_or_model(
        case.record.evidence,
        target.version,
        read.reads,
        target_in_breach=case.memory.marks(target.version).in_breach,
    )


def _passed(gate: Gate, detail: str) -> GateResult:
    return GateResult(gate, passed=True, detail=detail)


def _refused(gate: Gate, detail: str) -> GateResult:
    return GateResult(gate, passed=False, detail=detail)
