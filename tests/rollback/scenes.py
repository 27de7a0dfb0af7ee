"""What the tests of the decision have in common: a model with versions, windows of it, a driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from collectors.registry.client import ModelVersion
from detectors.cause import Cause
from rollback.command import Act, Command, Precheck, ReadRegistry, WriteTransition
from rollback.decision import step
from rollback.observation import (
    Observation,
    Prechecked,
    RegistryRead,
    RuleReport,
    RuleState,
    StepDone,
    Tick,
    WindowsClosed,
)
from rollback.policy import Policy
from rollback.record import RollbackRecord, Transition
from rollback.state import State

START = 1_800_000_000.0
MODEL = "flight-delay"
STEP = "mlflow-alias flight-delay@champion"

#: Of a breach that a version brought with it.
MODEL_CAUSE = Cause("model", "it began with its deployment")
_OPEN = ("suspect", "breach")

ACTING = Policy(mode="act", target="previous", verify_events_min=10)


def versions(*numbers: int, status: str = "READY") -> tuple[ModelVersion, ...]:
    return tuple(ModelVersion(MODEL, str(n), status) for n in sorted(numbers, reverse=True))


def window(
    version: str,
    state: RuleState | Sequence[RuleState],
    *,
    ends: float,
    length_s: float = 60.0,
    events: dict[str, int] | None = None,
    cause: Cause | None = MODEL_CAUSE,
) -> WindowsClosed:
    """A window in which the rules r0, r1 … are in the states given, of one cause if in breach."""
    states = [state] if isinstance(state, str) else state
    rules = tuple(
        RuleReport(f"r{i}", "rollback", s, "psi", "x", cause=cause if s in _OPEN else None)
        for i, s in enumerate(states)
    )
    counts = {version: 100} if events is None else events
    return WindowsClosed(version, ends - length_s, ends, rules, counts)


@dataclass
class World:
    """Drives the decision, and answers its commands as a registry without faults would."""

    policy: Policy = ACTING
    alias: str | None = "2"
    versions: tuple[ModelVersion, ...] = versions(1, 2, 3)
    now: float = START
    state: State = field(default_factory=lambda: State(MODEL, (STEP,)))
    commands: list[Command] = field(default_factory=list)
    answering: bool = True
    #: No step of the plan moves the alias.
    alias_stays: bool = False
    ids: Iterable[int] = field(default_factory=count)

    def tell(self, observation: Observation) -> list[Command]:
        """Tell the decision, and go on until it asks for nothing any more."""
        begun = len(self.commands)
        waiting: list[Observation] = [observation]
        while waiting:
            state = replace(self.state, next_id=f"id-{next(iter(self.ids)):04d}")
            self.state, commands = step(state, waiting.pop(0), self.policy, self.now)
            self.commands += commands
            if self.answering:
                waiting += [a for a in map(self.answer, commands) if a is not None]
        return self.commands[begun:]

    def answer(self, command: Command) -> Observation | None:
        match command:
            case ReadRegistry():
                return RegistryRead(self.alias, self.versions, alias_stays=self.alias_stays)
            case Precheck():
                return Prechecked(command.record_id)
            case Act():
                self.alias = self.alias if self.alias_stays else command.to_version
                return StepDone(command.record_id, command.step)
        return None

    def later(self, seconds: float) -> list[Command]:
        self.now += seconds
        return self.tell(Tick())

    def closes(self, version: str, state: RuleState | Sequence[RuleState]) -> list[Command]:
        """A window that ends now."""
        return self.tell(window(version, state, ends=self.now))

    @property
    def acts(self) -> list[Act]:
        return [c for c in self.commands if isinstance(c, Act)]

    @property
    def records(self) -> dict[str, RollbackRecord]:
        """The last that was written of every rollback, by id."""
        return {c.record.id: c.record for c in self.commands if isinstance(c, WriteTransition)}

    @property
    def last(self) -> RollbackRecord:
        return next(c.record for c in reversed(self.commands) if isinstance(c, WriteTransition))

    @property
    def written(self) -> list[str]:
        """States that were written, in order."""
        return [c.record.state for c in self.commands if isinstance(c, WriteTransition)]

    @property
    def transitions(self) -> list[Transition]:
        return [t for c in self.commands if (t := getattr(c, "transition", None)) is not None]
