"""One model's rollbacks: feeds the decision, and does what it asks for, in order.

All judgement is in `rollback.decision`. Here are the calls: journal, registry, actuators.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from collectors.registry import (
    ModelVersion,
    RegisteredModel,
    RegistryError,
    RegistryTransientError,
)
from rollback.actuator import Actuator, CheckUnavailableError, Done
from rollback.command import Act, Command, Notify, Precheck, ReadRegistry, WriteTransition
from rollback.decision import step
from rollback.journal import Journal
from rollback.memory import Memory
from rollback.observation import (
    ManualRequested,
    Observation,
    Prechecked,
    RegistryFailed,
    RegistryRead,
    Resumed,
    StepDone,
    StepFailed,
    Tick,
)
from rollback.policy import Policy
from rollback.record import JsonObject, RollbackRecord, Transition
from rollback.state import State

OnChange: TypeAlias = Callable[[Transition, RollbackRecord | None], Awaitable[None]]
OnMemory: TypeAlias = Callable[[Memory], Awaitable[None]]


class RegistryReader(Protocol):
    """What of the registry the gates need; `collectors.registry.MlflowRegistry` has it."""

    async def model(self, model: str) -> RegisteredModel: ...  # noqa: D102 - as there

    async def versions(self, model: str) -> Sequence[ModelVersion]: ...  # noqa: D102


def record_id(now: float) -> str:
    """Return an id that sorts by time and is not dealt twice: ``20260102T030405678Z-9f86d081``."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{secrets.token_hex(4)}"


class Controller:
    """The rollbacks of one model. Call `resume` once, then the rest in any order.

    Calls wait for each other. An error that is not the registry's (the journal's, or one that a
    callback raised) passes through; what was not done then is taken up from the journal at the
    next call.

    Parameters
    ----------
    alias
        The alias of the registered model that says what serves.
    actuators
        The plan, in the order of doing.
    now
        Seconds since the epoch.
    new_id
        An id for the record of a rollback, unlike any before.
    memory
        What was remembered before the last stop.
    on_change
        Told of every transition, after it was written, with its record if it has one.
    on_memory
        Told what to remember, whenever that has changed.

    Raises
    ------
    ValueError
        There is no actuator, or two have one name.
    """

    def __init__(
        self,
        model: str,
        alias: str,
        policy: Policy,
        *,
        journal: Journal,
        registry: RegistryReader,
        actuators: Sequence[Actuator],
        now: Callable[[], float],
        new_id: Callable[[], str],
        memory: Memory | None = None,
        on_change: OnChange | None = None,
        on_memory: OnMemory | None = None,
    ) -> None:
        self._model = model
        self._alias = alias
        self._policy = policy
        self._journal = journal
        self._registry = registry
        self._actuators = {actuator.name: actuator for actuator in actuators}
        if not actuators or len(self._actuators) < len(actuators):
            raise ValueError(
                f"rollback of {model}: expected one or more steps, each with another name; got "
                f"{[actuator.name for actuator in actuators]}"
            )
        self._now = now
        self._new_id = new_id
        self._on_change = on_change
        self._on_memory = on_memory
        self._state = self._blank(memory or Memory())
        self._lock = asyncio.Lock()
        self._unread = True

    @property
    def memory(self) -> Memory:
        """What to hand in as `memory` after a restart."""
        return self._state.memory

    async def resume(self) -> None:
        """Take up what the journal says is open. Done by the next call, if not by this one."""
        async with self._lock:
            await self._catch_up()

    async def observe(self, observation: Observation) -> None:
        """Take an observation into account, and do what follows from it."""
        async with self._lock:
            await self._catch_up()
            await self._feed(observation)

    async def tick(self) -> None:
        """Let time pass: retries, deadlines, holds that run out. Call it every second or so."""
        await self.observe(Tick())

    async def request(
        self, to_version: str | None = None, reason: str = "", *, dry_run: bool = False
    ) -> str:
        """Open a rollback by hand; return its id once it is written. `tick` does the rest."""
        async with self._lock:
            await self._catch_up()
            requested = ManualRequested(self._new_id(), to_version, reason, dry_run)
            await self._feed(requested, only_write=True)
            return requested.record_id

    def status(self) -> JsonObject:
        """Return where the model stands, as JSON."""
        state, now = self._state, self._now()
        hold = state.memory.held(now)
        return {
            "model": self._model,
            "alias": self._alias,
            "alias_version": state.alias_version,
            "mode": self._policy.mode,
            "state": state.phase,
            "since": state.since,
            "about": state.about,
            "rules": list(state.suspects),
            "hold": hold and {"until": hold.until, "reason": hold.reason},
            "rollback": state.record.to_json() if state.record else None,
            "last": state.history[-1].to_json() if state.history else None,
            "versions": state.memory.to_json()["versions"],
        }

    def _blank(self, memory: Memory) -> State:
        return State(self._model, tuple(self._actuators), since=self._now(), memory=memory)

    async def _catch_up(self) -> None:
        """Read the journal, at the start and after an error that left us unsure of it."""
        if not self._unread:
            return
        since = self._now() - self._policy.remembered_s
        opened = await self._journal.open_records(self._model)
        recent = await self._journal.recent(self._model, since)
        self._state = self._blank(self._state.memory)
        self._unread = False
        await self._feed(Resumed(tuple(opened), tuple(recent)))

    async def _feed(self, observation: Observation, *, only_write: bool = False) -> None:
        queue = deque([observation])
        while queue:
            before = replace(self._state, next_id=self._new_id())
            state, commands = step(before, queue.popleft(), self._policy, self._now())
            # Unsure until every command is done: an error in between is mended by the journal.
            self._unread = True
            self._state = state
            for command in commands:
                if only_write and not isinstance(command, WriteTransition | Notify):
                    continue
                answer = await self._do(command)
                if answer is not None:
                    queue.append(answer)
            self._unread = False
            if state.memory != before.memory and self._on_memory is not None:
                await self._on_memory(state.memory)

    async def _do(self, command: Command) -> Observation | None:
        match command:
            case WriteTransition():
                await self._journal.write(command.record, command.transition)
                await self._tell(command.transition, command.record)
            case Notify():
                await self._tell(command.transition, None)
            case ReadRegistry():
                return await self._read()
            case Precheck():
                return await self._check(command)
            case Act():
                return await self._act(command)
        return None

    async def _tell(self, transition: Transition, record: RollbackRecord | None) -> None:
        if self._on_change is not None:
            await self._on_change(transition, record)

    async def _read(self) -> Observation:
        try:
            model = await self._registry.model(self._model)
            versions = await self._registry.versions(self._model)
        except RegistryError as error:
            return RegistryFailed(str(error), transient=isinstance(error, RegistryTransientError))
        undone = await self._undone(self._state.record)
        return RegistryRead(model.aliases.get(self._alias), tuple(versions), undone)

    async def _undone(self, record: RollbackRecord | None) -> tuple[str, ...]:
        if record is None or record.state != "VERIFYING":
            return ()
        assert record.from_version is not None  # noqa: S101 - the gates saw to it
        assert record.to_version is not None  # noqa: S101 - the gates saw to it
        found: list[str] = []
        for name in (s.step for s in record.steps if s.step in self._actuators):
            said = await self._actuators[name].undone(record.from_version, record.to_version)
            if said is not None:
                found.append(f"{name}: {said}")
        return tuple(found)

    async def _check(self, command: Precheck) -> Observation:
        problems: list[str] = []
        try:
            for name, actuator in self._actuators.items():
                found = await actuator.check(command.from_version, command.to_version)
                problems += [f"{name}: {problem}" for problem in found]
        except (CheckUnavailableError, RegistryTransientError) as error:
            return RegistryFailed(str(error), transient=True)
        return Prechecked(command.record_id, tuple(problems))

    async def _act(self, command: Act) -> Observation:
        name = command.step
        if name not in self._actuators:
            gone = "this step is not in the configuration any more"
            return StepFailed(command.record_id, name, "permanent", gone, changed=False)
        actuator, intent = self._actuators[name], command.record_id
        result = await actuator.act(command.from_version, command.to_version, intent=intent)
        if isinstance(result, Done):
            return StepDone(command.record_id, name, result.detail, result.changed)
        return StepFailed(command.record_id, name, result.kind, result.message, result.changed)
