"""A model with three versions in a real MLflow, and a controller for it that can be made anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

from collectors.registry.client import MlflowRegistry
from rollback.actuators.mlflow_alias import MlflowAliasSettings
from rollback.controller import Compare, Controller
from rollback.journal import Journal
from rollback.memory import Memory
from rollback.policy import Policy
from rollback.record import RollbackRecord, Transition
from tests.rollback.memory_journal import MemoryJournal
from tests.rollback.scenes import ACTING, START, window

IDS = count()


@dataclass
class RealModel:
    """Its clock stands still unless it is moved; what is durable outlives `controller`."""

    uri: str
    name: str
    registry: MlflowRegistry
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    policy: Policy = ACTING
    now: float = START
    memory: Memory = field(default_factory=Memory)
    told: list[tuple[Transition, RollbackRecord | None]] = field(default_factory=list)

    def controller(
        self,
        *,
        journal: Journal | None = None,
        registry: MlflowRegistry | None = None,
        compare: Compare | None = None,
    ) -> Controller:
        registry = registry or self.registry
        step = MlflowAliasSettings().build(model=self.name, alias="champion", registry=registry)
        return Controller(
            self.name,
            "champion",
            self.policy,
            journal=journal or self.journal,
            registry=registry,
            actuators=[step],
            now=lambda: self.now,
            new_id=lambda: f"id-{next(IDS):06d}",
            memory=self.memory,
            on_change=self._changed,
            on_memory=self._remember,
            compare=compare,
        )

    async def breach(self, controller: Controller, version: str = "2") -> None:
        await controller.observe(window(version, "breach", ends=self.now))

    async def good(self, controller: Controller, version: str = "1") -> None:
        """A window that began after all that has happened so far."""
        self.now += 61
        await controller.observe(window(version, "ok", ends=self.now))

    async def later(self, controller: Controller, seconds: float) -> None:
        self.now += seconds
        await controller.tick()

    async def alias(self) -> str | None:
        return await self.registry.version_by_alias(self.name, "champion")

    def allow(self, **changes: object) -> None:
        self.policy = replace(self.policy, **changes)  # type: ignore[arg-type]  # by name

    async def _changed(self, transition: Transition, record: RollbackRecord | None) -> None:
        self.told.append((transition, record))

    async def _remember(self, memory: Memory) -> None:
        self.memory = memory
