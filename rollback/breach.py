"""Windows come in: watching, suspecting, and opening a rollback for a confirmed breach. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rollback.command import ReadRegistry
from rollback.gates import ask_before_reading
from rollback.observation import RuleReport, WindowsClosed
from rollback.record import Gate, GateResult, JsonObject, RollbackRecord
from rollback.state import Turn, new_record
from rollback.verification import add_window, missing
from rollback.world_or_model import overall

#: Gates whose answer may change although nothing is heard here: the registry is asked again.
_ASKED_OF_THE_REGISTRY: Final[tuple[Gate, ...]] = (
    *("hold", "alias", "quarantine", "target"),
    # Of these the next window, or the shadow, may say more.
    *("world_or_model", "better_on_shadow"),
)


def window_closed(turn: Turn, window: WindowsClosed) -> None:
    """Take a closed window into account."""
    rules = [rule for rule in window.rules if rule.action == "rollback"]
    _remember(turn, window, rules)
    record = turn.state.record
    if record is None:
        _watch(turn, window, rules)
    elif record.undecided:
        _confirm_again(turn, record, window, rules)
    elif record.state == "VERIFYING":
        _prove(turn, record, window)


def _remember(turn: Turn, window: WindowsClosed, rules: Sequence[RuleReport]) -> None:
    memory, states = turn.state.memory, {rule.state for rule in rules}
    if "breach" in states:
        memory = memory.seen_in_breach(window.version, turn.now)
    elif "ok" in states and "suspect" not in states:
        memory = memory.seen_healthy(window.version, turn.now)
    decided_at = turn.state.decided_at
    if rules and (states != {"unknown"} or decided_at is None):
        # The first window starts the clock of blindness, even if it could tell nothing.
        decided_at = turn.now
    turn.set(memory=memory, decided_at=decided_at)


def _watch(turn: Turn, window: WindowsClosed, rules: Sequence[RuleReport]) -> None:
    breached = [rule for rule in rules if rule.state == "breach"]
    if breached:
        _confirm(turn, window, breached)
        return
    if turn.rest() != "WATCHING":
        turn.enter(turn.rest(), "automatic action is stopped")
        return
    about = turn.state.about
    if about is not None and not window.events_by_version.get(about) and about != window.version:
        # The version that was suspicious answers no requests any more.
        turn.set(about=None, suspects=())
    if turn.state.about in (None, window.version):
        _suspect_or_clear(turn, window.version, rules)


def _suspect_or_clear(turn: Turn, version: str, rules: Sequence[RuleReport]) -> None:
    suspects = {rule.rule for rule in rules if rule.state == "suspect"}
    if suspects:
        turn.set(about=version, suspects=tuple(sorted(suspects.union(turn.state.suspects))))
        if turn.state.phase in ("WATCHING", "BLIND", "RESOLVED"):
            turn.enter("SUSPECT", f"version {version}: {', '.join(sorted(suspects))}")
    elif _cleared(turn.state.suspects, rules):
        told = turn.state.told
        ended = told is not None and told.version == version
        turn.set(about=None, suspects=(), told=None if ended else told)
        turn.enter("WATCHING", f"version {version} is well")


def _cleared(suspects: Sequence[str], rules: Sequence[RuleReport]) -> bool:
    """Whether every rule that was suspicious says ok. Unknown does not clear."""
    states = {rule.rule: rule.state for rule in rules}
    # A rule that is gone from the configuration holds nothing up.
    held = [states[name] for name in suspects if name in states]
    return all(state == "ok" for state in held) if held else "ok" in states.values()


def _confirm(turn: Turn, window: WindowsClosed, breached: Sequence[RuleReport]) -> None:
    names = tuple(rule.rule for rule in breached)
    turn.set(about=window.version, suspects=names, window_ends=window.ends)
    record = replace(
        new_record(turn, turn.state.next_id),
        reason=f"version {window.version}: {', '.join(names)} in breach",
        from_version=window.version,
        dry_run=turn.policy.mode != "act",
        evidence=evidence_of(window, breached),
    )
    open_rollback(turn, record)


def open_rollback(turn: Turn, record: RollbackRecord) -> None:
    """Open a rollback for a breach, unless a gate refuses it at once."""
    gates = ask_before_reading(turn.case(record))
    if not gates[-1].passed:
        turn.refuse(record, gates)
        return
    record = replace(record, gates=gates)
    if turn.told_of(record) in _ASKED_OF_THE_REGISTRY:
        # Asked again quietly; it is written down if the answer is another one.
        turn.set(record=record)
    else:
        turn.write(record, "CONFIRMED", record.reason)
    turn.commands.append(ReadRegistry())


def _confirm_again(
    turn: Turn, record: RollbackRecord, window: WindowsClosed, rules: Sequence[RuleReport]
) -> None:
    """Take a newer window into account while the registry has not answered yet."""
    if record.manual or window.version != record.from_version:
        return
    breached = [rule for rule in rules if rule.state == "breach"]
    if breached:
        turn.set(
            window_ends=window.ends,
            record=replace(record, evidence=evidence_of(window, breached)),
        )
    elif "alert" not in record.evidence and _cleared(record.evidence.get("breached", ()), rules):
        cleared = GateResult("evidence", passed=False, detail="the breach cleared while waiting")
        turn.refuse(record, (*record.gates, cleared))


def evidence_of(window: WindowsClosed, breached: Sequence[RuleReport]) -> JsonObject:
    """Return what is written down of rules in breach."""
    cause = overall(rule.cause for rule in breached)
    return {
        **({} if cause is None else {"cause": cause.to_json()}),
        "window": {
            "version": window.version,
            "begins": window.begins,
            "ends": window.ends,
            "events_by_version": dict(window.events_by_version),
        },
        "breached": [rule.rule for rule in breached],
        "rules": [
            {
                "rule": rule.rule,
                "metric": rule.metric,
                "column": rule.column,
                "value": rule.value,
                "low": rule.low,
                "high": rule.high,
                "threshold": rule.threshold,
                "n": rule.n,
                "cause": None if rule.cause is None else rule.cause.to_json(),
            }
            for rule in breached
        ],
    }


def _prove(turn: Turn, record: RollbackRecord, window: WindowsClosed) -> None:
    proof = add_window(turn.state.proof, window, record)
    if proof == turn.state.proof:
        return
    turn.set(proof=proof)
    if not missing(proof, turn.policy):
        # The registry has the last word: the alias must still be where we put it.
        turn.commands.append(ReadRegistry())
