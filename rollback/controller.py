"""One model's rollbacks: feeds the decision, and does what it asks for, in order.

All judgement is in `rollback.decision`. Here are the calls: journal, registry, actuators.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias

from collectors.registry.client import (
    ModelVersion,
    RegisteredModel,
    RegistryError,
    RegistryTransientError,
)
from rollback.actuator import Actuator, CheckUnavailableError, Done, HeldHere
from rollback.better import ShadowComparison, is_asked, not_waited_for
from rollback.command import Act, Call, Notify, Precheck, ReadRegistry, WriteTransition
from rollback.decision import step
from rollback.gates import choose_any
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
    Word,
)
from rollback.policy import Policy
from rollback.record import JsonObject, RollbackRecord, Transition
from rollback.request import remembered_of
from rollback.state import State
from rollback.target import Target
from rollback.world_or_model import needs_columns

OnChange: TypeAlias = Callable[[Transition, RollbackRecord | None], Awaitable[None]]
OnMemory: TypeAlias = Callable[[Memory], Awaitable[None]]
Reads: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, frozenset[str]]]]
Compare: TypeAlias = Callable[[str, str], Awaitable[ShadowComparison | None]]

#: Versions, the newest, of which it is asked what they depend on: one of them is the target.
TARGETS_ASKED_MAX: Final = 10


class RegistryReader(Protocol):
    """What of the registry the gates need; `collectors.registry.client.MlflowRegistry` has it."""

    async def model(self, model: str) -> RegisteredModel: ...  # noqa: D102 - as there

    async def versions(self, model: str) -> Sequence[ModelVersion]: ...  # noqa: D102


def record_id(now: float) -> str:
    """Return an id that sorts by time and is not dealt twice: ``20260102T030405678Z-9f86d081``."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{secrets.token_hex(4)}"


class Controller:
    """The rollbacks of one model. Call `resume` once, then the rest in any order.

    Observations wait for each other, and for the steps that they lead to. What a person says
    (`say`, `request`) waits for no step: what is decided and written is one turn, and a person's
    word comes between two of them. An error that is not the registry's (the journal's, or one
    that a callback raised) passes through; what was not done then is taken up from the journal
    at the next call.

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
    reads
        Tells which input columns versions depend on, of those of which it is known.
    compare
        Tells what a shadow found of a target, given the version that serves and the target; None
        where none compares. It must answer at once, for nothing else goes on meanwhile: of what
        takes longer ``pending``, and it is asked again.
    alias_stays
        No step of the plan moves the alias.

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
        reads: Reads | None = None,
        compare: Compare | None = None,
        alias_stays: bool = False,
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
        self._reads = reads
        self._compare = compare
        self._alias_stays = alias_stays
        self._state = self._blank(memory or Memory())
        self._kept = self._state.memory
        self._lock = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._unread = True

    @property
    def memory(self) -> Memory:
        """What to hand in as `memory` after a restart."""
        return self._state.memory

    async def resume(self) -> None:
        """Take up what the journal says is open. Done by the next call, if not by this one."""
        async with self._lock:
            if self._unread:
                await self._feed()

    async def observe(self, observation: Observation) -> None:
        """Take an observation into account, and do what follows from it."""
        async with self._lock:
            await self._feed(observation)

    async def tick(self) -> None:
        """Let time pass: retries, deadlines, holds that run out. Call it every second or so."""
        await self.observe(Tick())

    async def request(
        self,
        to_version: str | None = None,
        reason: str = "",
        *,
        dry_run: bool = False,
        by: str = "",
    ) -> str:
        """Open a rollback by hand; return its id once it is written. `tick` does the rest.

        Not held up by a step that is being done: beside an open rollback it is refused at once.
        """
        requested = ManualRequested(self._new_id(), to_version, reason, dry_run, by)
        while True:
            async with self._turn:
                if not self._unread:
                    # What it asks to be read is read by the next tick.
                    await self._decide(requested)
                    return requested.record_id
            await self.resume()

    async def say(self, word: Word) -> None:
        """Take what a person says into account at once, also while a step is being done.

        Returns when it is written down. An error that `on_memory` raises passes through, and
        then nothing was said.
        """
        async with self._turn:
            before = self._state.memory
            try:
                if self._unread:
                    # The journal is read by the next call, which finds this in the memory.
                    memory = remembered_of(before, word, self._now())
                    self._state = replace(self._state, memory=memory)
                    await self._keep()
                else:
                    await self._decide(word)
            except BaseException:
                self._state = replace(self._state, memory=before)
                raise

    async def likely_target(self, version: str) -> str | None:
        """Return where an automatic rollback from a version would go now; None for nowhere.

        Raises
        ------
        collectors.registry.client.RegistryError
            The registry cannot be read.
        """
        model = await self._registry.model(self._model)
        read = RegistryRead(
            model.aliases.get(self._alias), tuple(await self._registry.versions(self._model))
        )
        state, now = self._state, self._now()
        if read.alias_version != version or state.memory.held(now) is not None:
            return None
        choice = choose_any(
            read, history=state.history, memory=state.memory, policy=self._policy, now=now
        )
        return choice.version if isinstance(choice, Target) else None

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
            "hold": hold and hold.to_json(),
            "rollback": state.record.to_json() if state.record else None,
            "last": state.history[-1].to_json() if state.history else None,
            "versions": state.memory.to_json()["versions"],
        }

    def _blank(self, memory: Memory) -> State:
        return State(self._model, tuple(self._actuators), since=self._now(), memory=memory)

    async def _feed(self, *observations: Observation) -> None:
        queue = deque(observations)
        while queue or self._unread:
            async with self._turn:
                if self._unread:
                    queue.appendleft(await self._read_journal())
                calls = await self._decide(queue.popleft())
            for call in calls:
                try:
                    queue.append(await self._call(call))
                except BaseException:
                    self._unread = True
                    raise

    async def _read_journal(self) -> Resumed:
        """Begin anew from the journal, at the start and after an error that left us unsure."""
        since = self._now() - self._policy.remembered_s
        opened = await self._journal.open_records(self._model)
        recent = await self._journal.recent(self._model, since)
        self._state = self._blank(self._state.memory)
        return Resumed(tuple(opened), tuple(recent))

    async def _decide(self, observation: Observation) -> Sequence[Call]:
        """Decide, and write and remember what was decided; return the calls that follow from it.

        What is written comes before what is called for: the decision asks for no other order.
        """
        before = replace(self._state, next_id=self._new_id())
        self._state, commands = step(before, observation, self._policy, self._now())
        calls: list[Call] = []
        # Unsure until all of it is written: an error in between is mended by the journal.
        self._unread = True
        for command in commands:
            match command:
                case WriteTransition():
                    await self._journal.write(command.record, command.transition)
                    await self._tell(command.transition, command.record)
                case Notify():
                    await self._tell(command.transition, None)
                case _:
                    calls.append(command)
        await self._keep()
        self._unread = False
        return calls

    async def _keep(self) -> None:
        if self._state.memory != self._kept and self._on_memory is not None:
            await self._on_memory(self._state.memory)
        self._kept = self._state.memory

    async def _call(self, call: Call) -> Observation:
        match call:
            case ReadRegistry():
                return await self._read()
            case Precheck():
                return await self._check(call)
            case Act():
                return await self._act(call)

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
        reads = await self._columns_read(self._state.record, versions)
        alias = model.aliases.get(self._alias)
        return RegistryRead(alias, tuple(versions), undone, reads, self._alias_stays)

    async def _columns_read(
        self, record: RollbackRecord | None, versions: Sequence[ModelVersion]
    ) -> Mapping[str, frozenset[str]]:
        """Ask what the versions that may be gone to depend on, where a gate needs to know."""
        if self._reads is None or record is None or not record.undecided:
            return {}
        if record.manual or not needs_columns(record.evidence):
            return {}
        fit = [one for one in versions if one.ready and one.version != record.from_version]
        fit.sort(key=lambda one: one.number, reverse=True)
        return await self._reads([one.version for one in fit[:TARGETS_ASKED_MAX]])

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
        shadow = await self._compared(command)
        if shadow is not None and shadow.verdict == "pending":
            if command.waits:
                # The steps are rehearsed when it has ended, just before they are begun.
                return Prechecked(command.record_id, shadow=shadow)
            shadow = not_waited_for(shadow, self._policy.gates)
        problems: list[str] = []
        held = False
        try:
            for name, actuator in self._actuators.items():
                found = await actuator.check(command.from_version, command.to_version)
                problems += [f"{name}: {problem}" for problem in found]
                held |= any(isinstance(problem, HeldHere) for problem in found)
        except (CheckUnavailableError, RegistryTransientError) as error:
            return RegistryFailed(str(error), transient=True)
        return Prechecked(command.record_id, tuple(problems), held, shadow)

    async def _compared(self, command: Precheck) -> ShadowComparison | None:
        record, how = self._state.record, self._policy.gates.better_on_shadow
        if self._compare is None or record is None:
            return None
        if not is_asked(how, record.evidence, manual=record.manual):
            return None
        return await self._compare(command.from_version, command.to_version)

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
