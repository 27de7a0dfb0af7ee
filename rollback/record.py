"""One rollback as it is written down: what was seen, what was asked, done and found.

A record is a value. Every change of it makes a new one with the next `revision`, and goes to the
journal before the act that it announces.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast, get_args

#: Where a model stands; the first eight in the order of a rollback that goes well.
Phase: TypeAlias = Literal[
    "WATCHING",  # nothing is wrong, as far as is known
    "SUSPECT",  # a rule has seen something, not often enough
    "CONFIRMED",  # a rule is in breach, or a person asked; the gates are being asked
    "GATED",  # every gate passed
    "INTENDED",  # what will be done stands in the journal
    "ACTING",  # a step is being done; its outcome may be unknown
    "VERIFYING",  # all steps are done; does the traffic agree?
    "RESOLVED",  # it does
    "HELD",  # a person stopped automatic action
    "BLIND",  # no rule could decide for too long
    "REFUSED",  # a gate said no
    "ESCALATED",  # it did not work or could not be verified: a person has to look
    "CONTESTED",  # somebody else moved what we were moving; we do not fight
]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

#: What may refuse a rollback: a closed set, because it becomes a metric's label.
Gate: TypeAlias = Literal[
    "mode",  # the mode says that nothing is planned or done
    "hold",  # a person stopped automatic action, or the last rollback needs one
    "evidence",  # too old, or about no known version
    "cooldown",  # too soon after the last one
    "budget",  # too many today, or a second automatic move
    "alias",  # the alias is not where the evidence was seen, or cannot be read
    "quarantine",  # every version that could be returned to is unfit
    "target",  # there is no version to return to, or it is not usable
    "world_or_model",  # it is not the version: the world, the data or the platform, or not known
    "better_on_shadow",  # the target is no better on the same requests, or that is not known
]
GATES: Final[tuple[Gate, ...]] = get_args(Gate)

#: How a rollback ended: a closed set, because it becomes a metric's label.
Outcome: TypeAlias = Literal[
    "resolved", "would have acted", "would breach", "refused", "escalated", "contested"
]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

#: ``doing`` also means that the outcome is unknown; ``refused``, that nothing was changed.
StepState: TypeAlias = Literal["pending", "doing", "done", "refused"]

#: Keys of a record in the journal.
_KEYS: Final = (
    *("id", "model", "state", "from", "to", "reason", "dry_run", "manual", "outcome", "detail"),
    *("gates", "steps", "evidence", "created", "updated", "expires", "timings", "revision"),
)

#: A JSON object. Any, because its shape is the reader's to know.
JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate said, and why."""

    gate: Gate
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """How far one step of the plan is."""

    step: str
    state: StepState = "pending"
    attempts: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """A move from one phase to another, or a repeated refusal that moved nothing.

    Parameters
    ----------
    at
        Seconds since the epoch.
    gate
        The gate that refused, if one did.
    repeated
        A refusal that was already recorded for this very breach: worth a count, not a record.
    """

    model: str
    at: float
    before: Phase
    after: Phase
    why: str
    gate: Gate | None = None
    record_id: str | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class RollbackRecord:
    """One rollback, from the breach or the request to its outcome.

    Parameters
    ----------
    id
        Unique, and sorts by the time of its making.
    from_version
        The version that was serving; None until the registry was read for a request by hand.
    to_version
        Where to go; None until a target was chosen.
    gates
        What the gates said when they were asked last.
    evidence
        The window, the rules in breach with their figures, and what the verification saw: JSON.
    created, updated, expires
        Seconds since the epoch. Past `expires` no step is begun any more.
    timings
        Phase, in small letters, to the time when it was first entered.
    outcome
        None while the rollback is open.
    revision
        How often it was written; the next write carries the next number, so that a journal
        can refuse a writer who has not seen the last one.
    """

    id: str
    model: str
    state: Phase
    reason: str
    created: float
    updated: float
    expires: float
    from_version: str | None = None
    to_version: str | None = None
    dry_run: bool = False
    manual: bool = False
    gates: tuple[GateResult, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None
    detail: str = ""
    revision: int = 0

    @property
    def open(self) -> bool:
        """Whether it still has something to do."""
        return self.outcome is None

    @property
    def undecided(self) -> bool:
        """Whether it is open and nothing of it is intended yet."""
        return self.open and self.state in ("CONFIRMED", "GATED")

    @property
    def acted(self) -> bool:
        """Whether a step was begun; it may have changed nothing."""
        return "acting" in self.timings

    @property
    def touched(self) -> bool:
        """Whether something was changed, or may have been."""
        return any(step.state in ("doing", "done") for step in self.steps)

    @property
    def refusal(self) -> GateResult | None:
        """The first gate that said no."""
        return next((result for result in self.gates if not result.passed), None)

    def to_json(self) -> JsonObject:
        """Return the record as JSON, with the keys of the HTTP interface."""
        return {
            "id": self.id,
            "model": self.model,
            "state": self.state,
            "from": self.from_version,
            "to": self.to_version,
            "reason": self.reason,
            "dry_run": self.dry_run,
            "manual": self.manual,
            "outcome": self.outcome,
            "detail": self.detail,
            "gates": [{"gate": r.gate, "passed": r.passed, "detail": r.detail} for r in self.gates],
            "steps": [
                {"step": s.step, "state": s.state, "attempts": s.attempts, "detail": s.detail}
                for s in self.steps
            ],
            "evidence": finite(self.evidence),
            "created": self.created,
            "updated": self.updated,
            "expires": self.expires,
            "timings": dict(self.timings),
            "revision": self.revision,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RollbackRecord:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It was written by something else, or by a later Kedge: also where it only says more
            than is known here, for that would be lost with the next write.
        """
        _refuse_others(data, _KEYS)
        for result in data["gates"]:
            _refuse_others(result, ("gate", "passed", "detail"))
        return cls(
            id=str(data["id"]),
            model=str(data["model"]),
            state=cast("Phase", _one_of(data["state"], PHASES)),
            from_version=data["from"],
            to_version=data["to"],
            reason=str(data["reason"]),
            dry_run=bool(data["dry_run"]),
            manual=bool(data["manual"]),
            gates=tuple(
                GateResult(cast("Gate", _one_of(r["gate"], GATES)), r["passed"], r["detail"])
                for r in data["gates"]
            ),
            steps=tuple(StepRecord(**step) for step in data["steps"]),
            evidence=dict(data["evidence"]),
            created=float(data["created"]),
            updated=float(data["updated"]),
            expires=float(data["expires"]),
            timings=dict(data["timings"]),
            outcome=None
            if data["outcome"] is None
            else cast("Outcome", _one_of(data["outcome"], OUTCOMES)),
            detail=str(data["detail"]),
            revision=int(data["revision"]),
        )


def finite(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape goes in and comes out
    """Return JSON without NaN and infinities, which JSON does not have: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value


def _refuse_others(data: Mapping[str, Any], known: Collection[str]) -> None:
    others = sorted(data.keys() - set(known))
    if others:
        raise ValueError(f"a rollback record has unknown keys: {', '.join(others)}")


def _one_of(value: object, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ValueError(f"a rollback record says {value!r}; expected one of {', '.join(allowed)}")
    return str(value)
