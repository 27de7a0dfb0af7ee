"""Argo Rollouts, KServe and Seldon: what Kedge asks of them, and what it leaves to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from rollback.actuator import Done, Failed
from rollback.actuators.argo_rollout import ROLLOUTS, ArgoRolloutSettings
from rollback.actuators.kserve import INFERENCE_SERVICES, KserveSettings
from rollback.actuators.kubernetes_deployment import REPLICASETS
from rollback.actuators.seldon import EXPERIMENTS, SeldonSettings
from rollback.kubernetes.client import Resource
from rollback.kubernetes.move import GuardedMove
from rollback.kubernetes.workload import INTENT_KEY
from tests.rollback.cluster import Cluster, template

HASH = "rollouts-pod-template-hash"


async def make(
    cluster: Cluster,
    resource: Resource,
    kind: str,
    spec: dict[str, Any],
    **status: Any,  # noqa: ANN401 - as there
) -> dict[str, Any]:
    """A custom resource of the name flight, and what its controller says of it."""
    await cluster.define(resource, kind)
    body = {
        "apiVersion": resource.version,
        "kind": kind,
        "metadata": {"name": "flight"},
        "spec": spec,
    }
    made = await cluster.admin.create(resource, cluster.namespace, body)
    await say(cluster, resource, **status)
    return made


async def say(cluster: Cluster, resource: Resource, **status: Any) -> None:  # noqa: ANN401 - as there
    await cluster.admin.patch(
        resource,
        cluster.namespace,
        "flight",
        {"status": status},
        kind="merge",
        subresource="status",
    )


async def rollout(cluster: Cluster, *versions: str) -> None:
    """A Rollout that asks for the last of the versions, with a ReplicaSet of each."""
    spec = {
        "selector": {"matchLabels": {"app": "flight"}},
        "template": template("flight", versions[-1]),
    }
    made = await make(cluster, ROLLOUTS, "Rollout", spec, phase="Progressing")
    for number, version in enumerate(versions, start=1):
        pods = template("flight", version)
        pods["metadata"]["labels"][HASH] = f"hash-{version}"
        labels = pods["metadata"]["labels"]
        owner = {
            "apiVersion": ROLLOUTS.version,
            "kind": "Rollout",
            "name": "flight",
            "uid": made["metadata"]["uid"],
            "controller": True,
        }
        await cluster.admin.create(
            REPLICASETS,
            cluster.namespace,
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": f"flight-{version}",
                    "labels": labels,
                    "annotations": {"rollout.argoproj.io/revision": str(number)},
                    "ownerReferences": [owner],
                },
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pods},
            },
        )


def argo(cluster: Cluster) -> GuardedMove:
    settings = ArgoRolloutSettings("flight", replace(cluster.settings, wait_s=0.1))
    return settings.build(model="flight-delay", connect=cluster.connect)


async def test_a_rollout_gets_the_template_of_the_target_back(cluster: Cluster) -> None:
    await rollout(cluster, "1", "2")

    asked = await argo(cluster).act("2", "1", intent="id-1")
    await say(
        cluster,
        ROLLOUTS,
        observedGeneration="2",
        phase="Healthy",
        stableRS="hash-1",
        currentPodHash="hash-1",
    )
    done = await argo(cluster).act("2", "1", intent="id-1")

    assert isinstance(asked, Failed)
    assert (asked.kind, asked.changed) == ("waiting", True)
    assert isinstance(done, Done)
    labels = (await cluster.get(ROLLOUTS, "flight"))["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app": "flight", "kedge.io/version": "1"}


async def test_argo_rollouts_1292_nothing_is_aborted_and_no_replicaset_is_touched(
    fake: Cluster,
) -> None:
    assert fake.fake is not None
    await rollout(fake, "1", "2")

    await argo(fake).act("2", "1", intent="id-1")

    assert fake.fake.changes == ["rollouts"]
    assert "abort" not in (await fake.get(ROLLOUTS, "flight"))["status"]


async def test_argo_rollouts_4841_nothing_asks_for_the_version_that_was_left(
    cluster: Cluster,
) -> None:
    await rollout(cluster, "1", "2")

    await argo(cluster).act("2", "1", intent="id-1")

    spec = (await cluster.get(ROLLOUTS, "flight"))["spec"]
    # With the defaults that the server has added to the ReplicaSet's, which Argo adds by itself.
    (container,) = spec["template"]["spec"]["containers"]
    assert template("flight", "1")["spec"]["containers"][0].items() <= container.items()
    assert "2" not in json.dumps(spec)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"observedGeneration": "1", "phase": "Healthy"}, "waiting"),
        ({"observedGeneration": "2", "phase": "Paused"}, "waiting"),
        ({"observedGeneration": "2", "phase": "Degraded"}, "permanent"),
        (
            {
                "observedGeneration": "2",
                "phase": "Healthy",
                "stableRS": "a",
                "currentPodHash": "b",
            },
            "waiting",
        ),
    ],
    ids=["of before", "at a pause", "degraded", "another set is stable"],
)
async def test_a_rollout_is_not_done_before_it_says_so(
    fake: Cluster, status: dict[str, Any], kind: str
) -> None:
    await rollout(fake, "1", "2")
    await say(fake, ROLLOUTS, **status)

    result = await argo(fake).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert result.kind == kind


@pytest.mark.parametrize(
    ("spec", "word"),
    [({"paused": True}, "paused"), ({"template": None, "workloadRef": {}}, "workloadRef")],
)
async def test_a_rollout_that_is_somebody_elses_is_left(
    cluster: Cluster, spec: dict[str, Any], word: str
) -> None:
    await rollout(cluster, "1", "2")
    await cluster.merge(ROLLOUTS, "flight", {"spec": spec})

    (problem,) = await argo(cluster).check("2", "1")

    assert word in problem


def kserve(cluster: Cluster) -> GuardedMove:
    where = replace(cluster.settings, wait_s=0.1)
    return KserveSettings("flight", "s3://models/{version}", where).build(connect=cluster.connect)


def predictor(version: str, percent: int | None) -> dict[str, Any]:
    share = {} if percent is None else {"canaryTrafficPercent": percent}
    return {"predictor": {"model": {"storageUri": f"s3://models/{version}"}, **share}}


REVISIONS = {"predictor": {"latestRolledoutRevision": "r1", "latestReadyRevision": "r2"}}
READY = [{"type": "Ready", "status": "True"}]


async def test_a_canary_of_kserve_gets_no_traffic_any_more(cluster: Cluster) -> None:
    spec = predictor("2", 20)
    await make(cluster, INFERENCE_SERVICES, "InferenceService", spec, components=REVISIONS)

    asked = await kserve(cluster).act("2", "1", intent="id-1")
    await say(cluster, INFERENCE_SERVICES, observedGeneration=2, conditions=READY)
    done = await kserve(cluster).act("2", "1", intent="id-1")

    assert isinstance(asked, Failed)
    assert asked.kind == "waiting"
    assert isinstance(done, Done)
    found = await cluster.get(INFERENCE_SERVICES, "flight")
    assert found["spec"]["predictor"]["canaryTrafficPercent"] == 0


async def test_a_canary_of_raw_mode_gets_no_traffic_any_more(cluster: Cluster) -> None:
    canary = {"predictor": {"name": "c", **predictor("2", None)["predictor"]}, "trafficPercent": 20}
    spec = {**predictor("1", None), "canary": [canary]}
    await make(cluster, INFERENCE_SERVICES, "InferenceService", spec)

    await kserve(cluster).act("2", "1", intent="id-1")

    found = await cluster.get(INFERENCE_SERVICES, "flight")
    assert found["spec"]["canary"][0]["trafficPercent"] == 0


async def test_kserve_2130_repeated_rollbacks_leave_nothing_behind(fake: Cluster) -> None:
    spec = predictor("2", 20)
    await make(fake, INFERENCE_SERVICES, "InferenceService", spec, components=REVISIONS)
    for n in range(5):
        await fake.merge(INFERENCE_SERVICES, "flight", {"spec": spec})
        await kserve(fake).act("2", "1", intent=f"id-{n}")

    found = await fake.get(INFERENCE_SERVICES, "flight")

    assert found["spec"] == predictor("2", 0)
    assert found["metadata"]["annotations"] == {INTENT_KEY: "id-4"}


@pytest.mark.parametrize(
    ("spec", "revisions", "word"),
    [
        (predictor("2", None), REVISIONS, "is promoted"),
        (predictor("3", 20), REVISIONS, "its canary is version 3, not 2"),
        (predictor("2", 20), {"predictor": {"latestReadyRevision": "r2"}}, "no revision before"),
    ],
    ids=["promoted", "another version", "kserve 1968: the books name no revision before"],
)
async def test_a_canary_that_is_none_is_left(
    cluster: Cluster, spec: dict[str, Any], revisions: dict[str, Any], word: str
) -> None:
    await make(cluster, INFERENCE_SERVICES, "InferenceService", spec, components=revisions)

    (problem,) = await kserve(cluster).check("2", "1")

    assert word in problem


CANDIDATES = [{"name": "flight-1", "weight": 50}, {"name": "flight-2", "weight": 50}]


def seldon(cluster: Cluster) -> GuardedMove:
    where = replace(cluster.settings, wait_s=0.1)
    settings = SeldonSettings("flight", "flight-{version}", "flight-{version}", where)
    return settings.build(connect=cluster.connect)


async def test_an_experiment_gives_all_traffic_and_the_default_to_the_target(
    cluster: Cluster,
) -> None:
    spec = {"default": "flight-2", "candidates": CANDIDATES}
    conditions = [{"type": t, "status": "True"} for t in ("ExperimentReady", "CandidatesReady")]
    await make(cluster, EXPERIMENTS, "Experiment", spec, conditions=conditions)

    result = await seldon(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    found = (await cluster.get(EXPERIMENTS, "flight"))["spec"]
    # No candidate is added or lost.
    assert found["candidates"] == [
        {"name": "flight-1", "weight": 100},
        {"name": "flight-2", "weight": 0},
    ]
    assert found["default"] == "flight-1"


async def test_an_experiment_that_is_not_ready_is_waited_for(cluster: Cluster) -> None:
    spec = {"default": "flight-1", "candidates": CANDIDATES}
    await make(cluster, EXPERIMENTS, "Experiment", spec)

    result = await seldon(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("waiting", True)


def appended(candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was there beside what was asked for."""
    return [*candidates, *CANDIDATES]


def evened(candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "weight": 50} for one in candidates]


@pytest.mark.parametrize("routed", [appended, evened], ids=["5181", "4067: 100:0 is 50:50"])
async def test_seldon_core_5181_routes_that_read_back_otherwise_are_no_success(
    fake: Cluster, routed: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> None:
    spec = {"default": "flight-2", "candidates": CANDIDATES}
    conditions = [{"type": t, "status": "True"} for t in ("ExperimentReady", "CandidatesReady")]
    await make(fake, EXPERIMENTS, "Experiment", spec, conditions=conditions)
    assert fake.fake is not None
    server = fake.fake

    def misunderstand(*_: str) -> None:
        key = ("experiments", fake.namespace, "flight")
        found = deepcopy(server.objects[key])
        found["spec"]["candidates"] = routed(found["spec"]["candidates"])
        server.put(key, found)

    server.after_write = misunderstand
    result = await seldon(fake).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", True)
    assert "flight-2 50" in result.message
