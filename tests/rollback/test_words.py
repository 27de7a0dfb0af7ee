"""What a person says is taken at once, is remembered, and wins over what is not begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from rollback.actuator import Actuator, Done, Result
from rollback.actuators.kubernetes_deployment import DEPLOYMENTS, KubernetesDeploymentSettings
from rollback.controller import Controller
from rollback.memory import Memory
from rollback.observation import HoldCleared, HoldSet, VersionBlessed, VersionQuarantined
from tests.rollback.cluster import Cluster
from tests.rollback.memory_journal import MemoryJournal
from tests.rollback.memory_registry import MemoryRegistry
from tests.rollback.scenes import ACTING, MODEL, START, window

#: A person who waits longer than this was held up.
AT_ONCE_S = 1.0


class Slow:
    """A step whose rehearsal and whose act each wait until they are let go on."""

    name = "slow"

    def __init__(self) -> None:
        self.checking, self.acting = asyncio.Event(), asyncio.Event()
        self.checked, self.acted = asyncio.Event(), asyncio.Event()
        self.acts = 0

    async def check(self, from_version: str, to_version: str) -> Sequence[str]:
        self.checking.set()
        await self.checked.wait()
        return ()

    async def act(self, from_version: str, to_version: str, *, intent: str = "") -> Result:
        self.acts += 1
        self.acting.set()
        await self.acted.wait()
        return Done("moved")

    async def undone(self, from_version: str, to_version: str) -> None:
        return None


@dataclass
class Desk:
    """A controller with one slow step, and what it has told."""

    slow: Slow = field(default_factory=Slow)
    step: Actuator | None = None
    registry: MemoryRegistry = field(default_factory=lambda: MemoryRegistry(MODEL, 3, "2"))
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    kept: Memory = field(default_factory=Memory)
    full: bool = False
    now: float = START

    def __post_init__(self) -> None:
        ids = count()
        self.controller = Controller(
            MODEL,
            "champion",
            ACTING,
            journal=self.journal,
            registry=self.registry,
            actuators=[self.step or self.slow],
            now=lambda: self.now,
            new_id=lambda: f"id-{next(ids):06d}",
            on_memory=self._keep,
        )

    async def _keep(self, memory: Memory) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.kept = memory

    def breach(self) -> asyncio.Task[None]:
        closed = window("2", "breach", ends=self.now)
        return asyncio.create_task(self.controller.observe(closed))


async def test_a_hold_is_answered_while_a_step_is_being_done_and_the_step_goes_on() -> None:
    desk = Desk()
    desk.slow.checked.set()
    deciding = desk.breach()
    await desk.slow.acting.wait()

    async with asyncio.timeout(AT_ONCE_S):
        await desk.controller.say(HoldSet(START + 60, "release day", by="ann"))
    status = desk.controller.status()
    desk.slow.acted.set()
    await deciding

    assert (status["state"], status["hold"]["by"]) == ("ACTING", "ann")
    assert desk.journal.records[0].state == "VERIFYING"
    assert desk.kept.hold is not None


async def test_a_hold_wins_over_an_intent_that_is_not_begun() -> None:
    desk = Desk()
    deciding = desk.breach()
    await desk.slow.checking.wait()

    async with asyncio.timeout(AT_ONCE_S):
        await desk.controller.say(HoldSet(START + 60, "release day"))
    desk.slow.checked.set()
    await deciding

    (record,) = desk.journal.records
    assert record.outcome == "refused"
    assert record.refusal is not None
    assert record.refusal.gate == "hold"
    assert desk.slow.acts == 0
    assert desk.controller.status()["state"] == "HELD"


async def test_a_version_called_unfit_while_its_steps_are_rehearsed_is_not_gone_to() -> None:
    desk = Desk()
    deciding = desk.breach()
    await desk.slow.checking.wait()

    await desk.controller.say(VersionQuarantined("1", START + 60, "leaks memory", "ann"))
    desk.slow.checked.set()
    await deciding

    assert desk.journal.records[0].outcome == "refused"
    assert "leaks memory" in desk.journal.records[0].detail
    assert desk.slow.acts == 0


async def test_a_request_beside_a_step_that_is_being_done_is_refused_at_once() -> None:
    desk = Desk()
    desk.slow.checked.set()
    deciding = desk.breach()
    await desk.slow.acting.wait()

    async with asyncio.timeout(AT_ONCE_S):
        identity = await desk.controller.request("3", "by hand", by="ann")
    refused = await desk.journal.get(identity)
    desk.slow.acted.set()
    await deciding

    assert refused is not None
    assert refused.outcome == "refused"
    assert refused.evidence["by"] == "ann"
    assert [r.state for r in desk.journal.records] == ["VERIFYING", "REFUSED"]


@pytest.mark.parametrize("started", [False, True])
async def test_what_cannot_be_written_was_not_said(*, started: bool) -> None:
    desk = Desk()
    if started:
        await desk.controller.resume()
    desk.full = True

    with pytest.raises(OSError, match="No space left"):
        await desk.controller.say(HoldSet(START + 60, "release day"))
    desk.full = False
    await desk.controller.tick()

    assert desk.controller.status()["hold"] is None
    assert desk.controller.status()["state"] == "WATCHING"


async def test_what_is_said_before_the_journal_was_read_holds() -> None:
    desk = Desk()

    await desk.controller.say(HoldSet(START + 60, "release day"))
    await desk.controller.resume()
    held = desk.controller.status()["state"]
    await desk.controller.say(HoldCleared())

    assert held == "HELD"
    assert desk.controller.status()["state"] == "WATCHING"
    assert desk.kept.hold is None


async def test_who_said_what_and_why_outlives_a_restart() -> None:
    desk = Desk()
    await desk.controller.say(HoldSet(START + 60, "release day", "ann"))
    await desk.controller.say(VersionBlessed("1", "ran for a year", "bob"))
    await desk.controller.say(VersionQuarantined("3", START + 60, "leaks memory", "cleo"))

    again = Memory.from_json(desk.kept.to_json())

    assert again == desk.controller.memory
    assert again.hold is not None
    assert (again.hold.reason, again.hold.by, again.hold.since) == ("release day", "ann", START)
    assert (again.marks("1").reason, again.marks("1").by) == ("ran for a year", "bob")
    assert (again.marks("3").reason, again.marks("3").by) == ("leaks memory", "cleo")


async def test_an_annotation_on_the_object_holds_until_it_is_taken_away(fake: Cluster) -> None:
    await fake.deploy("flight", "1", "2", replicas=1)
    note: Callable[[str | None], dict[str, object]] = lambda value: {  # noqa: E731 - one line
        "metadata": {"annotations": {"kedge.io/hold": value}}
    }
    await fake.merge(DEPLOYMENTS, "flight", note("release day"))
    settings = KubernetesDeploymentSettings("flight", fake.settings)
    desk = Desk(step=settings.build(model=MODEL, connect=fake.connect))

    for _ in range(3):
        await desk.breach()
        desk.now += 60
    held = desk.journal.records
    await fake.merge(DEPLOYMENTS, "flight", note(None))
    await desk.breach()

    (refused,) = held
    assert refused.refusal is not None
    assert refused.refusal.gate == "hold"
    assert "release day" in refused.detail
    assert await fake.version("flight") == "1"
