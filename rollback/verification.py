"""Whether a rollback helped: what the traffic after the act has shown, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rollback.observation import RuleState, WindowsClosed
from rollback.policy import Policy
from rollback.record import JsonObject, RollbackRecord


@dataclass(frozen=True, slots=True)
class Proof:
    """What windows of the target that began after the act have shown.

    Parameters
    ----------
    events
        Events of the target, each counted once although windows may overlap.
    counted_until
        End of the last window that was counted.
    share
        Of the events of both versions in the last window, the target's; None before the first.
    rules
        Last state of each rule that counts: those of the breach, or for a request by a person
        all that may roll back.
    """

    events: int = 0
    counted_until: float = 0.0
    share: float | None = None
    rules: Mapping[str, RuleState] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Return it as JSON, for the record's evidence."""
        return {"events": self.events, "share": self.share, "rules": dict(self.rules)}


def add_window(proof: Proof, window: WindowsClosed, record: RollbackRecord) -> Proof:
    """Return the proof with one more window; unchanged by one that does not count.

    A window of another version, or one that began before the last step was done, does not.
    """
    acted = record.timings.get("verifying")
    if acted is None or window.version != record.to_version or window.begins < acted:
        return proof
    target = window.events_by_version.get(window.version, 0)
    left = window.events_by_version.get(record.from_version or "", 0)
    if window.begins >= proof.counted_until:
        proof = replace(proof, events=proof.events + target, counted_until=window.ends)
    breached = record.evidence.get("breached")
    told: dict[str, RuleState] = {
        r.rule: r.state
        for r in window.rules
        if (r.rule in breached if breached else r.action == "rollback")
    }
    share = target / (target + left) if target + left else None
    return replace(proof, share=share, rules={**proof.rules, **told})


def missing(proof: Proof, policy: Policy) -> tuple[str, ...]:
    """Return what still speaks against success, in words; empty when nothing does.

    With rules that count, at least one must have decided ok and none may be in breach: silence
    proves nothing. Where no rule counts, the traffic alone decides.
    """
    found: list[str] = []
    if proof.events < policy.verify_events_min or proof.share is None:
        found.append(f"{proof.events} of {policy.verify_events_min} events of the target seen")
    elif proof.share < policy.verify_share_min:
        found.append(f"only {proof.share:.0%} of the traffic is the target's")
    breached = sorted(rule for rule, state in proof.rules.items() if state == "breach")
    if breached:
        found.append(f"still in breach: {', '.join(breached)}")
    elif proof.rules and "ok" not in proof.rules.values():
        found.append(f"not decided: {', '.join(sorted(proof.rules))}")
    return tuple(found)
