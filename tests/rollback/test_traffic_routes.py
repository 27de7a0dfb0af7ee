"""A canary's weight goes to zero at once, in every rule, when the other side can take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rollback.actuator import Done, Failed
from rollback.actuators.kubernetes_deployment import DEPLOYMENTS
from rollback.actuators.traffic_routes import GatewayHttprouteSettings, IstioVirtualserviceSettings
from rollback.kubernetes.client import Resource
from rollback.kubernetes.move import GuardedMove
from tests.rollback.cluster import Cluster

ROUTES = Resource("gateway.networking.k8s.io/v1", "httproutes")
VIRTUAL = Resource("networking.istio.io/v1", "virtualservices")


def gateway_step(cluster: Cluster, **settings: object) -> GuardedMove:
    ends = ("flight-v{version}", "flight-v{version}")
    made = GatewayHttprouteSettings("flight", *ends, cluster.settings, **settings)  # type: ignore[arg-type]  # by name
    return made.build(connect=cluster.connect)


def istio_step(cluster: Cluster, from_backend: str, to_backend: str) -> GuardedMove:
    made = IstioVirtualserviceSettings("flight", from_backend, to_backend, cluster.settings)
    return made.build(connect=cluster.connect)


def refs(*weights: tuple[str, int | None]) -> list[dict[str, Any]]:
    return [
        {"name": name, "port": 80, **({} if weight is None else {"weight": weight})}
        for name, weight in weights
    ]


async def route(cluster: Cluster, *rules: list[dict[str, Any]]) -> None:
    """An HTTPRoute that a Gateway has accepted, and two versions that are up."""
    await cluster.define(ROUTES, "HTTPRoute")
    for version in "12":
        await cluster.serve(f"flight-v{version}", version)
        await cluster.endpoints(f"flight-v{version}", 2)
    body: dict[str, Any] = {
        "apiVersion": ROUTES.version,
        "kind": "HTTPRoute",
        "metadata": {"name": "flight"},
        "spec": {"rules": [{"backendRefs": rule} for rule in rules]},
    }
    await cluster.admin.create(ROUTES, cluster.namespace, body)


async def accept(cluster: Cluster, generation: int) -> None:
    """What a Gateway's controller writes when it has seen a generation."""
    conditions = [
        {"type": kind, "status": "True", "observedGeneration": generation}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    await cluster.admin.patch(
        ROUTES,
        cluster.namespace,
        "flight",
        {"status": {"parents": [{"conditions": conditions}]}},
        kind="merge",
        subresource="status",
    )


async def weights(cluster: Cluster) -> list[list[tuple[str, int | None]]]:
    spec = (await cluster.get(ROUTES, "flight"))["spec"]
    return [[(r["name"], r.get("weight")) for r in rule["backendRefs"]] for rule in spec["rules"]]


async def test_the_canary_loses_its_weight_in_every_rule(cluster: Cluster) -> None:
    first = refs(("flight-v1", 80), ("flight-v2", 15), ("other", 5))
    await route(cluster, first, refs(("flight-v2", None), ("flight-v1", 0)), refs(("other", 1)))
    await accept(cluster, 2)

    result = await gateway_step(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    assert await weights(cluster) == [
        [("flight-v1", 95), ("flight-v2", 0), ("other", 5)],
        [("flight-v2", 0), ("flight-v1", 1)],
        [("other", 1)],
    ]


async def test_a_gateway_that_has_not_seen_the_change_is_waited_for(fake: Cluster) -> None:
    await route(fake, refs(("flight-v1", 90), ("flight-v2", 10)))
    await accept(fake, 1)
    where = replace(fake.settings, wait_s=0.1)
    made = GatewayHttprouteSettings("flight", "flight-v2", "flight-v1", where)

    first = await made.build(connect=fake.connect).act("2", "1", intent="id-1")
    await accept(fake, 2)
    second = await made.build(connect=fake.connect).act("2", "1", intent="id-1")

    assert isinstance(first, Failed)
    assert (first.kind, first.message) == ("waiting", "a Gateway has not seen the change yet")
    assert isinstance(second, Done)


async def test_argo_rollouts_3372_traffic_is_not_given_to_a_set_that_was_scaled_down(
    cluster: Cluster,
) -> None:
    await route(cluster, refs(("flight-v1", 50), ("flight-v2", 50)))
    await cluster.merge(DEPLOYMENTS, "flight-v1", {"spec": {"replicas": 1}})
    await cluster.endpoints("flight-v1", 1)

    problems = await gateway_step(cluster).check("2", "1")
    result = await gateway_step(cluster).act("2", "1", intent="id-1")
    allowed = await gateway_step(cluster, endpoints_min=1).check("2", "1")

    assert problems == ("flight-v1 has 1 of 2 ready endpoints",)
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("transient", False)
    assert allowed == ()
    assert await weights(cluster) == [[("flight-v1", 50), ("flight-v2", 50)]]


async def test_a_rule_without_another_backend_is_refused(cluster: Cluster) -> None:
    await route(cluster, refs(("flight-v2", 1)))

    (problem,) = await gateway_step(cluster).check("2", "1")

    assert problem == "rule 0 sends to flight-v2 and does not name flight-v1"


async def test_argo_rollouts_4973_weight_that_comes_back_is_contested(cluster: Cluster) -> None:
    await route(cluster, refs(("flight-v1", 90), ("flight-v2", 10)))
    await accept(cluster, 2)
    await gateway_step(cluster).act("2", "1", intent="id-1")
    back = {"spec": {"rules": [{"backendRefs": refs(("flight-v1", 90), ("flight-v2", 10))}]}}
    await cluster.merge(ROUTES, "flight", back)

    result = await gateway_step(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", True)
    assert await weights(cluster) == [[("flight-v1", 90), ("flight-v2", 10)]]


async def test_argo_rollouts_2463_weights_that_git_would_put_back_are_not_shifted(
    fake: Cluster,
) -> None:
    await route(fake, refs(("flight-v1", 90), ("flight-v2", 10)))
    owned = {"annotations": {"argocd.argoproj.io/tracking-id": "ml:HTTPRoute"}}
    await fake.merge(ROUTES, "flight", {"metadata": owned})

    (problem,) = await gateway_step(fake).check("2", "1")
    result = await gateway_step(fake).act("2", "1", intent="id-1")

    assert problem.startswith("Argo CD")
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("permanent", False)
    assert await weights(fake) == [[("flight-v1", 90), ("flight-v2", 10)]]


async def test_a_route_that_sends_to_neither_is_left(cluster: Cluster) -> None:
    await route(cluster, refs(("flight-v3", 1)))

    result = await gateway_step(cluster).act("2", "1", intent="id-1")

    assert result == Failed("contested", "weights: flight-v2 0, flight-v1 0", changed=False)


def destinations(*weights: tuple[str, str, int | None]) -> list[dict[str, Any]]:
    return [
        {
            "destination": {"host": host, **({"subset": subset} if subset else {})},
            **({} if weight is None else {"weight": weight}),
        }
        for host, subset, weight in weights
    ]


async def virtual_service(cluster: Cluster, *rules: list[dict[str, Any]]) -> None:
    await cluster.define(VIRTUAL, "VirtualService")
    for version in "12":
        await cluster.serve(f"flight-v{version}", version)
        await cluster.endpoints(f"flight-v{version}", 2)
    await cluster.expose("flight", {"app": "flight-v1"})
    await cluster.endpoints("flight", 2)
    body: dict[str, Any] = {
        "apiVersion": VIRTUAL.version,
        "kind": "VirtualService",
        "metadata": {"name": "flight"},
        "spec": {"hosts": ["flight"], "http": [{"route": rule} for rule in rules]},
    }
    await cluster.admin.create(VIRTUAL, cluster.namespace, body)


@pytest.mark.parametrize(
    ("from_backend", "to_backend", "rule"),
    [
        ("flight-v{version}", "flight-v{version}", (("flight-v1", ""), ("flight-v2", ""))),
        ("flight:v{version}", "flight:v{version}", (("flight", "v1"), ("flight", "v2"))),
        (
            "flight-v2.{}.svc.cluster.local",
            "flight-v1.{}.svc.cluster.local",
            (("flight-v1.{}.svc.cluster.local", ""), ("flight-v2.{}.svc.cluster.local", "")),
        ),
    ],
    ids=["hosts", "subsets", "full names"],
)
async def test_a_destination_of_istio_loses_its_weight(
    cluster: Cluster, from_backend: str, to_backend: str, rule: tuple[tuple[str, str], ...]
) -> None:
    where = cluster.namespace
    first, second = ((host.replace("{}", where), subset) for host, subset in rule)
    await virtual_service(cluster, destinations((*first, 70), (*second, 30)))
    ends = (from_backend.replace("{}", where), to_backend.replace("{}", where))

    result = await istio_step(cluster, *ends).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    found = await cluster.get(VIRTUAL, "flight")
    assert [r["weight"] for r in found["spec"]["http"][0]["route"]] == [100, 0]


async def test_the_only_destination_of_a_rule_has_all_its_traffic_whatever_its_weight(
    cluster: Cluster,
) -> None:
    await virtual_service(cluster, destinations(("flight-v2", "", 0)))

    (problem,) = await istio_step(cluster, "flight-v2", "flight-v1").check("2", "1")

    assert problem == "rule 0 sends to flight-v2 and does not name flight-v1"
