"""The fake API server refuses what a real one refuses: the same requests, the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from rollback.actuators.kubernetes_deployment import DEPLOYMENTS, REPLICASETS
from rollback.kubernetes.answers import KubernetesError
from rollback.kubernetes.client import Resource
from tests.rollback.cluster import SERVICES, Cluster, complete, deployment

CONFIGMAPS: Final = Resource("v1", "configmaps")
ONE_CONTAINER: Final = {"name": "a", "image": "a"}


def pods(*containers: Mapping[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(containers)}}}}


def strategy(**content: object) -> dict[str, Any]:
    return {"spec": {"strategy": content}}


@pytest.mark.parametrize(
    ("resource", "patch", "code"),
    [
        (CONFIGMAPS, {"metadata": {"name": "other"}}, 400),
        (CONFIGMAPS, {"metadata": {"namespace": "other"}}, 400),
        (CONFIGMAPS, {"metadata": {"uid": "other"}}, 422),
        (CONFIGMAPS, {"metadata": {"annotations": {"a": 1}}}, 422),
        (CONFIGMAPS, {"metadata": {"annotations": {"a/b/c": "1"}}}, 422),
        (CONFIGMAPS, {"metadata": {"labels": {"a": "b c"}}}, 422),
        (CONFIGMAPS, {"data": {"a": 1}}, 422),
        (SERVICES, {"spec": {"ports": []}}, 422),
        (SERVICES, {"spec": {"ports": [{"port": 0}]}}, 422),
        (SERVICES, {"spec": {"selector": {"a": "b c"}}}, 422),
        (SERVICES, {"spec": {"selector": {"a": 1}}}, 422),
        (DEPLOYMENTS, {"spec": {"replicas": -1}}, 422),
        (DEPLOYMENTS, {"spec": {"replicas": "two"}}, 422),
        (DEPLOYMENTS, {"spec": {"template": None}}, 422),
        (DEPLOYMENTS, pods(), 422),
        (DEPLOYMENTS, pods({"name": "a"}), 422),
        (DEPLOYMENTS, pods({"image": "a"}), 422),
        (DEPLOYMENTS, pods(ONE_CONTAINER, ONE_CONTAINER), 422),
        (DEPLOYMENTS, pods({**ONE_CONTAINER, "env": [{"name": "a", "value": 1}]}), 422),
        (DEPLOYMENTS, strategy(type="Recreate"), 422),
        (DEPLOYMENTS, strategy(rollingUpdate={"maxSurge": 0, "maxUnavailable": 0}), 422),
        (DEPLOYMENTS, strategy(rollingUpdate={"maxUnavailable": "200%"}), 422),
        (DEPLOYMENTS, {"spec": {"selector": {"matchLabels": {"b": "c"}}}}, 422),
    ],
    ids=str,
)
async def test_a_change_that_is_not_valid_is_refused(
    cluster: Cluster, resource: Resource, patch: dict[str, Any], code: int
) -> None:
    await cluster.admin.create(
        CONFIGMAPS,
        cluster.namespace,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flight"}},
    )
    await cluster.expose("flight", {"app": "flight"})
    await cluster.admin.create(DEPLOYMENTS, cluster.namespace, deployment("flight", "1"))

    async with cluster.connect() as client:
        with pytest.raises(KubernetesError) as caught:
            await client.patch(
                resource, cluster.namespace, "flight", patch, kind="merge", dry_run=True
            )

    assert caught.value.code == code


async def test_what_is_left_out_of_a_deployment_is_filled_in(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", replicas=1)

    spec = (await cluster.get(DEPLOYMENTS, "flight"))["spec"]

    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Always"


async def test_an_annotation_counts_as_a_new_generation_and_a_label_does_not(
    cluster: Cluster,
) -> None:
    await cluster.deploy("flight", "1", replicas=1)
    first = await cluster.until(DEPLOYMENTS, "flight", complete)

    annotated = await cluster.merge(
        DEPLOYMENTS, "flight", {"metadata": {"annotations": {"a": "1"}}}
    )
    labelled = await cluster.merge(DEPLOYMENTS, "flight", {"metadata": {"labels": {"a": "1"}}})

    # The controller's own annotation, the revision, has not counted.
    assert [o["metadata"]["generation"] for o in (first, annotated, labelled)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("selector", "n"),
    [("app", 1), ("!app", 0), ("app=flight", 1), ("app==flight", 1), ("app!=flight", 0)],
)
async def test_a_selector_picks(cluster: Cluster, selector: str, n: int) -> None:
    await cluster.deploy("flight", "1", replicas=1)

    found = await cluster.admin.list(REPLICASETS, cluster.namespace, labels=selector)

    assert len(found) == n
    assert all("kind" not in one for one in found)


async def test_a_selector_that_cannot_be_read_is_refused(cluster: Cluster) -> None:
    with pytest.raises(KubernetesError) as caught:
        await cluster.admin.list(REPLICASETS, cluster.namespace, labels="a b c")

    assert caught.value.code == 400
