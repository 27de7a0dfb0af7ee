"""The Roles of deploy/kubernetes on a real API server: enough for each step, and none to spare."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pytest

from rollback.actuator import Done, Failed
from rollback.actuators.argo_rollout import ROLLOUTS
from rollback.actuators.kserve import INFERENCE_SERVICES
from rollback.actuators.seldon import EXPERIMENTS
from rollback.kubernetes.answers import KubernetesForbiddenError
from rollback.kubernetes.client import Resource
from rollback.kubernetes.lease import LEASES, KubernetesLease
from rollback.kubernetes.move import GuardedMove
from rollback.lease import LeaseTimes
from tests.rollback import test_delegated_steps as delegated
from tests.rollback import test_kubernetes_deployment as deployments
from tests.rollback import test_kubernetes_service as services
from tests.rollback import test_traffic_routes as routes
from tests.rollback.accounts import KINDS, KUBERNETES, apply, as_the_account, documents
from tests.rollback.cluster import DEADLINE_S, Cluster

Prepare: TypeAlias = Callable[[Cluster], Awaitable[None]]
Make: TypeAlias = Callable[[Cluster], GuardedMove]


@dataclass(frozen=True, slots=True)
class Granted:
    """A verb of a rule of a Role, and the Role without it."""

    verb: str
    resource: Resource
    without: dict[str, Any]


def verbs_of(role: dict[str, Any]) -> Iterator[Granted]:
    for index, rule in enumerate(role["rules"]):
        group, plural = rule["apiGroups"][0], rule["resources"][0]
        for verb in rule["verbs"]:
            without = deepcopy(role)
            without["rules"][index]["verbs"].remove(verb)
            if not without["rules"][index]["verbs"]:
                del without["rules"][index]
            yield Granted(verb, Resource(f"{group}/v1" if group else "v1", plural), without)


async def until_may(
    cluster: Cluster, verb: str, resource: Resource, *, name: str = "flight", allowed: bool = True
) -> None:
    """Wait until the authorizer has seen a change of a Role."""
    deadline = time.monotonic() + DEADLINE_S
    async with cluster.connect() as client:
        while await client.may(verb, resource, cluster.namespace, name) is not allowed:
            assert time.monotonic() < deadline, f"to {verb} {resource} has stayed {not allowed}"
            await asyncio.sleep(0.02)


async def a_deployment(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")


async def a_route(cluster: Cluster) -> None:
    await routes.route(cluster, routes.refs(("flight-v1", 90), ("flight-v2", 10)))
    await routes.accept(cluster, 2)


async def a_virtual_service(cluster: Cluster) -> None:
    await routes.virtual_service(
        cluster, routes.destinations(("flight-v1", "", 70), ("flight-v2", "", 30))
    )


async def a_rollout(cluster: Cluster) -> None:
    await delegated.rollout(cluster, "1", "2")
    said = {"observedGeneration": "2", "phase": "Healthy", "stableRS": "a", "currentPodHash": "a"}
    await delegated.say(cluster, ROLLOUTS, **said)


async def an_inference_service(cluster: Cluster) -> None:
    spec = delegated.predictor("2", 20)
    said = {"components": delegated.REVISIONS, "conditions": delegated.READY}
    await delegated.make(
        cluster, INFERENCE_SERVICES, "InferenceService", spec, observedGeneration=2, **said
    )


async def an_experiment(cluster: Cluster) -> None:
    candidates = [{"name": "flight-1", "weight": 50}, {"name": "flight-2", "weight": 50}]
    spec = {"default": "flight-2", "candidates": candidates}
    conditions = [{"type": t, "status": "True"} for t in ("ExperimentReady", "CandidatesReady")]
    await delegated.make(cluster, EXPERIMENTS, "Experiment", spec, conditions=conditions)


STEPS: Final[dict[str, tuple[Prepare, Make]]] = {
    "kubernetes-deployment": (a_deployment, deployments.step),
    "kubernetes-service": (
        services.blue_and_green,
        lambda c: services.step(c, selector_key="slot"),
    ),
    "gateway-httproute": (a_route, routes.gateway_step),
    "istio-virtualservice": (
        a_virtual_service,
        lambda c: routes.istio_step(c, "flight-v2", "flight-v1"),
    ),
    "argo-rollout": (a_rollout, delegated.argo),
    "kserve": (an_inference_service, delegated.kserve),
    "seldon": (an_experiment, delegated.seldon),
}


def test_every_step_that_has_a_role_is_tried() -> None:
    assert set(STEPS) == {folder.name for folder in (KUBERNETES / "steps").iterdir()}


@pytest.mark.parametrize("kind", STEPS)
async def test_a_step_does_its_work_with_the_rights_of_its_role_and_with_no_fewer(
    real: Cluster, kind: str
) -> None:
    prepare, make = STEPS[kind]
    await prepare(real)
    accounts = [o for o in documents("actuator", "rbac.yaml") if o["kind"] == "ServiceAccount"]
    role, binding = documents("steps", kind, "rbac.yaml")
    await apply(real, [*accounts, role, binding])
    ours = await as_the_account(real)
    # What is asked for after the change comes last, because it alone leaves the change behind.
    rights = sorted(verbs_of(role), key=lambda r: r.resource.plural == "endpointslices")

    for right in rights:
        await until_may(ours, right.verb, right.resource)
        await real.merge(KINDS["Role"], role["metadata"]["name"], right.without)
        await until_may(ours, right.verb, right.resource, allowed=False)
        what = f"our account may not {right.verb} {right.resource.plural} in {real.namespace}"
        assert await make(ours).check("2", "1") == (what,)
        stopped = await make(ours).act("2", "1", intent="id-1")
        assert isinstance(stopped, Failed)
        assert (stopped.kind, "403 Forbidden" in stopped.message) == ("permanent", True)
        await real.merge(KINDS["Role"], role["metadata"]["name"], role)
    for right in rights:
        await until_may(ours, right.verb, right.resource)

    assert await make(ours).check("2", "1") == ()
    assert isinstance(await make(ours).act("2", "1", intent="id-1"), Done)


async def test_the_lease_is_held_with_the_rights_of_the_actuator_by_itself(real: Cluster) -> None:
    await apply(real, documents("actuator", "rbac.yaml"))
    (lease,) = documents("actuator", "lease.yaml")
    await real.admin.create(LEASES, real.namespace, lease)
    ours = await as_the_account(real)
    for verb in ("get", "update"):
        await until_may(ours, verb, LEASES, name="kedge")

    async with ours.connect() as client:
        ours_only = KubernetesLease(client, real.namespace, "kedge", me="a", times=LeaseTimes())
        held = await ours_only.take(await ours_only.read())
        assert held is not None
        renewed = await ours_only.renew(held)
        assert renewed is not None
        await ours_only.give_up(renewed)
        with pytest.raises(KubernetesForbiddenError):
            await client.create(LEASES, real.namespace, {**lease, "metadata": {"name": "other"}})

    assert "holderIdentity" not in (await real.get(LEASES, "kedge"))["spec"]
