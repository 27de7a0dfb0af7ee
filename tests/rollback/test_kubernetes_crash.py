"""Killed before and after every call to the API server, and started again: one end, one change."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias

import pytest

from rollback.actuator import Actuator, Result
from rollback.controller import Controller
from rollback.kubernetes_client import KubernetesClient
from rollback.kubernetes_config import KubernetesConfig
from rollback.kubernetes_deployment import DEPLOYMENTS, KubernetesDeploymentSettings
from rollback.kubernetes_service import KubernetesServiceSettings
from rollback.memory import Memory
from rollback.mlflow_alias import MlflowAliasSettings
from rollback.policy import Policy
from rollback.seldon import EXPERIMENTS, SeldonSettings
from rollback.traffic_routes import GatewayHttprouteSettings
from tests.rollback.cluster import SERVICES, Cluster, complete
from tests.rollback.memory_journal import MemoryJournal
from tests.rollback.memory_registry import MemoryRegistry
from tests.rollback.scenes import ACTING, START, window
from tests.rollback.test_crash import Crash, Fuse, FusedJournal
from tests.rollback.test_delegated_steps import make
from tests.rollback.test_kubernetes_service import blue_and_green
from tests.rollback.test_traffic_routes import ROUTES, accept, refs, route
from tests.rollback.webhook_receiver import Receiver, webhook

#: More than there are calls in one rollback; the series ends at the first run without a crash.
POINTS_MAX = 200
MODEL = "flight-delay"
IDS = count()

Step: TypeAlias = Callable[[Callable[[], KubernetesClient]], Actuator]


class FusedClient(KubernetesClient):
    """Ends the process before a call is sent, or after it was answered."""

    def __init__(self, config: KubernetesConfig, fuse: Fuse) -> None:
        super().__init__(config, timeout_s=5.0)
        self._fuse = fuse

    async def _send(self, *call: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
        self._fuse.pass_()
        answer = await super()._send(*call)
        self._fuse.pass_()
        return answer


@dataclass
class Plan:
    """A registry in memory, a cluster, and what is durable between two lives of a process."""

    cluster: Cluster
    step: Step
    fuse: Fuse
    registry: MemoryRegistry = field(default_factory=lambda: MemoryRegistry(MODEL, 3, "2"))
    policy: Policy = ACTING
    now: float = START
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.journal: MemoryJournal = FusedJournal(self.fuse)

    def controller(self) -> Controller:
        alias = MlflowAliasSettings().build(model=MODEL, alias="champion", registry=self.registry)
        connect = lambda: FusedClient(self.cluster.config, self.fuse)  # noqa: E731 - one line
        return Controller(
            MODEL,
            "champion",
            self.policy,
            journal=self.journal,
            registry=self.registry,
            actuators=[alias, self.step(connect)],
            now=lambda: self.now,
            new_id=lambda: f"id-{next(IDS):06d}",
            memory=self.memory,
            on_memory=self._remember,
        )

    async def life(self) -> None:
        """What one process sees until it ends: windows as they come, and time that passes."""
        controller = self.controller()
        await controller.resume()
        for _ in range(4):
            serving = self.registry.alias
            if serving == "2" and not self.journal.records:
                await controller.observe(window("2", "breach", ends=self.now))
            self.now += 1
            await controller.tick()
            if serving == "1":
                self.now += 61
                await controller.observe(window("1", "ok", ends=self.now))

    async def _remember(self, memory: Memory) -> None:
        self.memory = memory


def deployment(cluster: Cluster) -> Step:
    settings = KubernetesDeploymentSettings("flight", replace(cluster.settings, wait_s=5.0))
    return lambda connect: settings.build(model=MODEL, connect=connect)


async def _crashes(
    cluster: Cluster, step: Step, put_back: Callable[[], Any]
) -> Sequence[tuple[list[str | None], list[str]]]:
    assert cluster.fake is not None
    ends: list[tuple[list[str | None], list[str]]] = []
    for k in range(1, POINTS_MAX):
        await put_back()
        cluster.fake.writes.clear()
        plan = Plan(cluster, step, Fuse(k))
        for _ in range(3):
            with contextlib.suppress(Crash):
                await plan.life()
        ends.append(([r.outcome for r in plan.journal.records], cluster.fake.changes))
        if not plan.fuse.burnt:
            break
    return ends


@pytest.mark.slow
async def test_a_crash_at_any_call_leaves_a_deployment_moved_once(fake: Cluster) -> None:
    await fake.deploy("flight", "1", "2", replicas=1)

    async def put_back() -> None:
        await fake.roll("flight", "2")

    ends = await _crashes(fake, deployment(fake), put_back)

    assert len(ends) > 30
    assert ends == [(["resolved"], ["deployments"])] * len(ends)
    assert await fake.version("flight") == "1"


@pytest.mark.slow
async def test_a_crash_at_any_call_leaves_a_selector_switched_once(fake: Cluster) -> None:
    await blue_and_green(fake)
    settings = KubernetesServiceSettings("flight", fake.settings, selector_key="slot")

    async def put_back() -> None:
        await fake.merge(SERVICES, "flight", {"spec": {"selector": {"slot": "green"}}})

    ends = await _crashes(
        fake, lambda connect: settings.build(model=MODEL, connect=connect), put_back
    )

    assert len(ends) > 30
    assert ends == [(["resolved"], ["services"])] * len(ends)


@pytest.mark.slow
async def test_a_crash_at_any_call_leaves_a_route_shifted_once(fake: Cluster) -> None:
    rule = refs(("flight-v1", 90), ("flight-v2", 10))
    await route(fake, rule)
    # A generation that is far ahead stands for a Gateway that is quick.
    await accept(fake, 10_000)
    settings = GatewayHttprouteSettings(
        "flight", "flight-v{version}", "flight-v{version}", fake.settings
    )

    async def put_back() -> None:
        await fake.merge(ROUTES, "flight", {"spec": {"rules": [{"backendRefs": rule}]}})

    ends = await _crashes(fake, lambda connect: settings.build(connect=connect), put_back)

    assert len(ends) > 30
    assert ends == [(["resolved"], ["httproutes"])] * len(ends)


@pytest.mark.slow
async def test_a_crash_at_any_call_leaves_an_experiment_moved_once(fake: Cluster) -> None:
    candidates = [{"name": "flight-1", "weight": 50}, {"name": "flight-2", "weight": 50}]
    spec = {"default": "flight-1", "candidates": candidates}
    conditions = [{"type": t, "status": "True"} for t in ("ExperimentReady", "CandidatesReady")]
    await make(fake, EXPERIMENTS, "Experiment", spec, conditions=conditions)
    settings = SeldonSettings("flight", "flight-{version}", "flight-{version}", fake.settings)

    async def put_back() -> None:
        await fake.merge(EXPERIMENTS, "flight", {"spec": spec})

    ends = await _crashes(fake, lambda connect: settings.build(connect=connect), put_back)

    assert len(ends) > 30
    assert ends == [(["resolved"], ["experiments"])] * len(ends)


@dataclass
class FusedStep:
    """Ends the process before or after a call of another step."""

    step: Actuator
    fuse: Fuse

    @property
    def name(self) -> str:
        return self.step.name

    async def check(self, from_version: str, to_version: str) -> Sequence[str]:
        self.fuse.pass_()
        return await self.step.check(from_version, to_version)

    async def act(self, from_version: str, to_version: str, *, intent: str = "") -> Result:
        self.fuse.pass_()
        result = await self.step.act(from_version, to_version, intent=intent)
        self.fuse.pass_()
        return result

    async def undone(self, from_version: str, to_version: str) -> str | None:
        return await self.step.undone(from_version, to_version)


async def test_a_crash_at_any_call_calls_a_webhook_with_one_key(
    fake: Cluster, receiver: Receiver
) -> None:
    for k in range(1, POINTS_MAX):
        receiver.got.clear()
        fuse = Fuse(k)
        step = FusedStep(webhook(receiver), fuse)
        plan = Plan(fake, lambda _, step=step: step, fuse)  # type: ignore[misc]  # a default is bound
        for _ in range(3):
            with contextlib.suppress(Crash):
                await plan.life()

        keys = {headers["Idempotency-Key"] for headers, _ in receiver.got}
        assert [r.outcome for r in plan.journal.records] == ["resolved"]
        assert len(keys) == 1
        if not fuse.burnt:
            break

    assert k > 15


async def test_helm_operator_236_a_reverter_is_told_of_and_not_fought(fake: Cluster) -> None:
    await fake.deploy("flight", "1", "2", replicas=1)
    plan = Plan(fake, deployment(fake), Fuse(0))
    controller = plan.controller()
    await controller.observe(window("2", "breach", ends=plan.now))
    assert plan.journal.records[0].state == "VERIFYING"

    await fake.roll("flight", "2")
    plan.now += 30
    await controller.tick()

    (record,) = plan.journal.records
    assert record.outcome == "contested"
    assert "somebody else moved it" in record.detail
    assert await fake.version("flight") == "2"


async def test_a_rollout_that_takes_its_time_is_no_failure(fake: Cluster) -> None:
    await fake.deploy("flight", "1", "2", replicas=1)
    fake.kubelet.sick = {"1"}
    settings = KubernetesDeploymentSettings("flight", replace(fake.settings, wait_s=0.05))
    plan = Plan(fake, lambda connect: settings.build(model=MODEL, connect=connect), Fuse(0))
    controller = plan.controller()
    await controller.observe(window("2", "breach", ends=plan.now))

    for _ in range(2 * plan.policy.attempts_max):
        plan.now += 2
        await controller.tick()
    (waiting,) = plan.journal.records
    fake.kubelet.sick = set()
    await fake.until(DEPLOYMENTS, "flight", complete)
    plan.now += 2
    await controller.tick()

    assert waiting.state == "ACTING"
    assert plan.journal.records[0].state == "VERIFYING"
    assert fake.fake is not None
    assert fake.fake.changes == ["deployments"]
