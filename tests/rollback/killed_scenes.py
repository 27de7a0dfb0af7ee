"""For every kind of step, something real or nearly so that it moves from version 2 to 1."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import uuid4

from collectors.registry.client import MlflowRegistry
from rollback.actuators.argo_rollout import ROLLOUTS
from rollback.actuators.kserve import INFERENCE_SERVICES
from rollback.actuators.kubernetes_deployment import DEPLOYMENTS
from rollback.actuators.seldon import EXPERIMENTS
from rollback.kubernetes.client import Resource
from tests.collectors.registered import point, register
from tests.rollback.cluster import SERVICES, Cluster, complete, kubeconfig_of, template
from tests.rollback.killing_proxy import KillingProxy
from tests.rollback.test_delegated_steps import (
    CANDIDATES,
    READY,
    REVISIONS,
    make,
    predictor,
    rollout,
    say,
)
from tests.rollback.test_kubernetes_service import blue_and_green
from tests.rollback.test_traffic_routes import (
    ROUTES,
    VIRTUAL,
    accept,
    destinations,
    refs,
    route,
    virtual_service,
)

#: What the step ``command`` runs: a small client of the switch.
PROGRAM: Final = (
    "import sys, urllib.request as u; "
    "u.urlopen(u.Request(sys.argv[1], sys.argv[3].encode(), {'Idempotency-Key': sys.argv[2]}))"
)
#: A generation that stands for a controller that is quick.
FAR_AHEAD: Final = 10_000
_DONE: Final = [{"type": t, "status": "True"} for t in ("ExperimentReady", "CandidatesReady")]

Look: TypeAlias = Callable[[], Awaitable[object]]


@dataclass
class Scene:
    """What one step moves.

    Parameters
    ----------
    step
        Its table in the configuration.
    put_back
        Puts version 2 back, as it was in the beginning.
    standing
        What there is to see of it.
    """

    step: Mapping[str, object]
    put_back: Callable[[], Awaitable[object]]
    standing: Look

    @property
    def kind(self) -> str:
        return str(self.step["type"])


@dataclass
class World:
    """A registered model, a cluster and a switch behind the proxy, and what they have written."""

    registry: MlflowRegistry
    uri: str
    cluster: Cluster
    proxy: KillingProxy
    folder: Path
    model: str = field(default_factory=lambda: f"flight-{uuid4().hex}")

    async def prepare(self) -> None:
        await register(self.uri, self.model, 3, champion="2")
        (self.folder / "kubeconfig").write_text(kubeconfig_of(self.proxy.uri))

    def configure(self, scene: Scene) -> Path:
        """Write the configuration of the actuator; its store is `kedge.db` beside it.

        The registry's alias goes first in every plan, as is recommended: where it does not
        follow, a rollback counts as contested.
        """
        plan = [{"type": "mlflow-alias"}] if scene.kind != "mlflow-alias" else []
        steps = "\n".join(
            "[[rollback.steps]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in step.items())
            for step in (*plan, scene.step)
        )
        config = self.folder / "kedge.toml"
        config.write_text(f"""
[model]
name = "{self.model}"
alias = "champion"
tracking_uri = "{self.proxy.uri}"

[[collect]]
type = "tail"
path = "log.jsonl"

[rollback]
mode = "act"
target = "previous"
verify_events_min = 10

{steps}
""")
        return config

    @property
    def changes(self) -> list[str]:
        """What was really changed since `forget`, in order for each of the three."""
        fake = self.cluster.fake
        assert fake is not None
        return [*self.proxy.registry_writes, *fake.changes, *self.proxy.switch.changes]

    async def begin(self, scene: Scene) -> None:
        """Let version 2 serve, and forget how it came to that."""
        for old in self.folder.glob("kedge.db*"):
            old.unlink()
        await self.point_back()
        await scene.put_back()
        assert self.cluster.fake is not None
        self.cluster.fake.writes.clear()

    async def point_back(self) -> None:
        await point(self.uri, self.model, "champion", "2")

    async def aliases(self) -> object:
        return dict((await self.registry.model(self.model)).aliases)

    def step(self, kind: str, **fields: object) -> dict[str, object]:
        where = {"namespace": self.cluster.namespace, "kubeconfig_path": "kubeconfig"}
        return {"type": kind, "name": "flight", **fields, **where}

    def spec_of(self, resource: Resource) -> Look:
        async def look() -> object:
            return (await self.cluster.get(resource, "flight"))["spec"]

        return look

    def put_spec(self, resource: Resource, spec: Mapping[str, Any]) -> Callable[[], Any]:
        return lambda: self.cluster.merge(resource, "flight", {"spec": spec})


async def mlflow_alias(world: World) -> Scene:
    return Scene({"type": "mlflow-alias"}, world.point_back, world.aliases)


async def mlflow_stage(world: World) -> Scene:
    async def look() -> object:
        return {v.version: v.stage for v in await world.registry.versions(world.model)}

    async def put_back() -> None:
        await world.registry.set_stage(world.model, "2", "Production")

    return Scene({"type": "mlflow-stage"}, put_back, look)


async def kubernetes_deployment(world: World) -> Scene:
    cluster = world.cluster
    await cluster.deploy("flight", "1", "2", replicas=1)

    async def put_back() -> None:
        await cluster.roll("flight", "2")
        await cluster.until(DEPLOYMENTS, "flight", complete)

    return Scene(world.step("kubernetes-deployment"), put_back, world.spec_of(DEPLOYMENTS))


async def kubernetes_service(world: World) -> Scene:
    await blue_and_green(world.cluster)
    step = world.step("kubernetes-service", selector_key="slot")
    green = {"selector": {"slot": "green"}}
    return Scene(step, world.put_spec(SERVICES, green), world.spec_of(SERVICES))


async def gateway_httproute(world: World) -> Scene:
    rule = refs(("flight-v1", 90), ("flight-v2", 10))
    await route(world.cluster, rule)
    await accept(world.cluster, FAR_AHEAD)
    ends = {"from_backend": "flight-v{version}", "to_backend": "flight-v{version}"}
    spec = {"rules": [{"backendRefs": rule}]}
    step = world.step("gateway-httproute", **ends)
    return Scene(step, world.put_spec(ROUTES, spec), world.spec_of(ROUTES))


async def istio_virtualservice(world: World) -> Scene:
    rule = destinations(("flight-v1", "", 70), ("flight-v2", "", 30))
    await virtual_service(world.cluster, rule)
    ends = {"from_backend": "flight-v{version}", "to_backend": "flight-v{version}"}
    step = world.step("istio-virtualservice", **ends)
    spec = {"http": [{"route": rule}]}
    return Scene(step, world.put_spec(VIRTUAL, spec), world.spec_of(VIRTUAL))


async def argo_rollout(world: World) -> Scene:
    cluster = world.cluster
    await rollout(cluster, "1", "2")
    assert cluster.fake is not None
    fake = cluster.fake

    def converge(_: str, path: str) -> None:
        """What the Rollout's controller would come to."""
        key = ("rollouts", cluster.namespace, "flight")
        if "/rollouts/" in path:
            found = dict(fake.objects[key])
            version = found["spec"]["template"]["metadata"]["labels"]["kedge.io/version"]
            found["status"] = {
                "observedGeneration": str(found["metadata"]["generation"]),
                "phase": "Healthy",
                "stableRS": f"hash-{version}",
                "currentPodHash": f"hash-{version}",
            }
            fake.put(key, found)

    fake.after_write = converge
    spec = {"template": template("flight", "2")}
    return Scene(
        world.step("argo-rollout"), world.put_spec(ROLLOUTS, spec), world.spec_of(ROLLOUTS)
    )


async def kserve(world: World) -> Scene:
    spec = predictor("2", 20)
    await make(world.cluster, INFERENCE_SERVICES, "InferenceService", spec)
    said = {"observedGeneration": FAR_AHEAD, "conditions": READY, "components": REVISIONS}
    await say(world.cluster, INFERENCE_SERVICES, **said)
    step = world.step("kserve", storage_uri="s3://models/{version}")
    return Scene(step, world.put_spec(INFERENCE_SERVICES, spec), world.spec_of(INFERENCE_SERVICES))


async def seldon(world: World) -> Scene:
    spec = {"default": "flight-2", "candidates": CANDIDATES}
    await make(world.cluster, EXPERIMENTS, "Experiment", spec, conditions=_DONE)
    ends = {"from_candidate": "flight-{version}", "to_candidate": "flight-{version}"}
    step = world.step("seldon", **ends)
    return Scene(step, world.put_spec(EXPERIMENTS, spec), world.spec_of(EXPERIMENTS))


def _switched(world: World, step: Mapping[str, object]) -> Scene:
    async def look() -> object:
        return world.proxy.switch.version

    async def put_back() -> None:
        world.proxy.switch.put_back()

    return Scene(step, put_back, look)


async def webhook(world: World) -> Scene:
    url = f"{world.proxy.uri}/switch"
    return _switched(world, {"type": "webhook", "url": url, "secret": "hunter2"})


async def command(world: World) -> Scene:
    url = f"{world.proxy.uri}/switch"
    argv = [sys.executable, "-S", "-c", PROGRAM, url, "{intent}", "{to_version}"]
    return _switched(world, {"type": "command", "argv": argv})


#: By the kind of the step.
SCENES: Final[Mapping[str, Callable[[World], Awaitable[Scene]]]] = {
    "mlflow-alias": mlflow_alias,
    "mlflow-stage": mlflow_stage,
    "kubernetes-deployment": kubernetes_deployment,
    "kubernetes-service": kubernetes_service,
    "gateway-httproute": gateway_httproute,
    "istio-virtualservice": istio_virtualservice,
    "argo-rollout": argo_rollout,
    "kserve": kserve,
    "seldon": seldon,
    "webhook": webhook,
    "command": command,
}
