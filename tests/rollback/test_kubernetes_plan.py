"""The registry's alias, then a Deployment: others move it meanwhile, and its pods take time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

from rollback.actuators.kubernetes_deployment import DEPLOYMENTS, KubernetesDeploymentSettings
from rollback.actuators.mlflow_alias import MlflowAliasSettings
from rollback.controller import Controller
from rollback.memory import Memory
from rollback.policy import Policy
from tests.rollback.cluster import Cluster, complete
from tests.rollback.memory_journal import MemoryJournal
from tests.rollback.memory_registry import MemoryRegistry
from tests.rollback.scenes import ACTING, START, window

MODEL = "flight-delay"
IDS = count()


@dataclass
class Plan:
    """A registry in memory and a cluster; waits at most `wait_s` for its pods in one attempt."""

    cluster: Cluster
    wait_s: float = 5.0
    registry: MemoryRegistry = field(default_factory=lambda: MemoryRegistry(MODEL, 3, "2"))
    policy: Policy = ACTING
    now: float = START
    memory: Memory = field(default_factory=Memory)
    journal: MemoryJournal = field(default_factory=MemoryJournal)

    def controller(self) -> Controller:
        alias = MlflowAliasSettings().build(model=MODEL, alias="champion", registry=self.registry)
        settings = KubernetesDeploymentSettings(
            "flight", replace(self.cluster.settings, wait_s=5.0)
        )
        deployment = settings.build(model=MODEL, connect=self.cluster.connect)
        return Controller(
            MODEL,
            "champion",
            self.policy,
            journal=self.journal,
            registry=self.registry,
            actuators=[alias, deployment],
            now=lambda: self.now,
            new_id=lambda: f"id-{next(IDS):06d}",
            memory=self.memory,
            on_memory=self._remember,
        )

    async def _remember(self, memory: Memory) -> None:
        self.memory = memory


async def test_helm_operator_236_a_reverter_is_told_of_and_not_fought(fake: Cluster) -> None:
    await fake.deploy("flight", "1", "2", replicas=1)
    plan = Plan(fake)
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
    plan = Plan(fake, wait_s=0.05)
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
