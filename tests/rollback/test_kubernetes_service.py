"""Blue-green: the selector goes back when, and only when, the pods of the target are ready."""

from __future__ import annotations

import pytest

from rollback.actuator import Done, Failed
from rollback.actuators.kubernetes_deployment import DEPLOYMENTS
from rollback.actuators.kubernetes_service import KubernetesServiceSettings
from rollback.kubernetes.move import GuardedMove
from tests.rollback.cluster import SERVICES, Cluster


def step(cluster: Cluster, **settings: object) -> GuardedMove:
    made = KubernetesServiceSettings("flight", cluster.settings, **settings)  # type: ignore[arg-type]  # by name
    return made.build(model="flight-delay", connect=cluster.connect)


async def blue_and_green(cluster: Cluster, key: str = "slot", value: str = "green") -> None:
    """Version 1 is blue, version 2 is green and serves."""
    await cluster.serve("blue", "1", model="flight", slot="blue")
    await cluster.serve("green", "2", model="flight", slot="green")
    await cluster.expose("flight", {"model": "flight", key: value})
    for name in ("blue", "green", "flight"):
        await cluster.endpoints(name, 2)


async def selector(cluster: Cluster) -> dict[str, str]:
    return dict((await cluster.get(SERVICES, "flight"))["spec"]["selector"])


async def test_the_selector_goes_back_and_the_endpoints_follow(cluster: Cluster) -> None:
    await blue_and_green(cluster)

    result = await step(cluster, selector_key="slot").act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    assert "2 pods of the target are its endpoints" in result.detail
    assert await selector(cluster) == {"model": "flight", "slot": "blue"}


async def test_the_selector_may_name_the_version_itself(cluster: Cluster) -> None:
    await blue_and_green(cluster, "kedge.io/version", "2")

    result = await step(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    assert (await selector(cluster))["kedge.io/version"] == "1"


async def test_a_selector_of_one_key_is_switched(cluster: Cluster) -> None:
    await blue_and_green(cluster)
    await cluster.merge(SERVICES, "flight", {"spec": {"selector": {"model": None}}})

    result = await step(cluster, selector_key="slot").act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    assert await selector(cluster) == {"slot": "blue"}


async def test_acting_twice_switches_once(cluster: Cluster) -> None:
    await blue_and_green(cluster)
    await step(cluster, selector_key="slot").act("2", "1", intent="id-1")
    before = await cluster.get(SERVICES, "flight")

    result = await step(cluster, selector_key="slot").act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    after = await cluster.get(SERVICES, "flight")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_argo_rollouts_2235_the_selector_stays_where_no_pod_of_the_target_is_left(
    cluster: Cluster,
) -> None:
    await blue_and_green(cluster)
    await cluster.merge(DEPLOYMENTS, "blue", {"spec": {"replicas": 0}})
    await cluster.endpoints("blue", 0)

    problems = await step(cluster, selector_key="slot").check("2", "1")
    result = await step(cluster, selector_key="slot").act("2", "1", intent="id-1")

    assert problems == ("0 of 2 pods of version 1 are ready",)
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("transient", False)
    assert (await selector(cluster))["slot"] == "green"


async def test_flagger_869_fewer_pods_than_serve_now_are_not_switched_to(
    cluster: Cluster,
) -> None:
    await blue_and_green(cluster)
    await cluster.merge(DEPLOYMENTS, "blue", {"spec": {"replicas": 1}})
    await cluster.endpoints("blue", 1)

    problems = await step(cluster, selector_key="slot").check("2", "1")
    allowed = await step(cluster, selector_key="slot", ready_min=1).check("2", "1")

    assert problems == ("1 of 2 pods of version 1 are ready",)
    assert allowed == ()


async def test_argo_rollouts_3078_a_selector_that_flaps_back_is_contested(
    cluster: Cluster,
) -> None:
    await blue_and_green(cluster)
    await step(cluster, selector_key="slot").act("2", "1", intent="id-1")
    await cluster.merge(SERVICES, "flight", {"spec": {"selector": {"slot": "green"}}})

    undone = await step(cluster, selector_key="slot").undone("2", "1")
    result = await step(cluster, selector_key="slot").act("2", "1", intent="id-1")

    assert undone is not None
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", True)
    assert (await selector(cluster))["slot"] == "green"


@pytest.mark.parametrize(
    ("patch", "word"),
    [
        ({"spec": {"selector": {"slot": None}}}, "no key slot"),
        ({"spec": {"selector": {"slot": "red"}}}, "version unknown, not 2"),
        (
            {
                "metadata": {
                    "annotations": {"argo-rollouts.argoproj.io/managed-by-rollouts": "flight"}
                }
            },
            "the Rollout flight switches it",
        ),
    ],
    ids=["no such key", "no pods", "argo rollouts"],
)
async def test_a_service_that_must_not_be_switched_is_left(
    cluster: Cluster, patch: dict[str, object], word: str
) -> None:
    await blue_and_green(cluster)
    await cluster.merge(SERVICES, "flight", patch)
    before = await selector(cluster)

    (problem,) = await step(cluster, selector_key="slot").check("2", "1")
    result = await step(cluster, selector_key="slot").act("2", "1", intent="id-1")

    assert word in problem
    assert isinstance(result, Failed)
    assert not result.changed
    assert await selector(cluster) == before
