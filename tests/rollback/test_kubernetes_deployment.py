"""Undo of a Deployment by what its ReplicaSets say, on an API server with its controllers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollback.actuator import CheckUnavailableError, Done, Failed
from rollback.actuators.kubernetes_deployment import DEPLOYMENTS, KubernetesDeploymentSettings
from rollback.kubernetes.move import GuardedMove
from tests.rollback.cluster import Cluster, complete, template


def step(cluster: Cluster, *, wait_s: float = 10.0, **settings: object) -> GuardedMove:
    where = replace(cluster.settings, wait_s=wait_s, gitops=settings.pop("gitops", "refuse"))  # type: ignore[arg-type]  # one of its words
    made = KubernetesDeploymentSettings("flight", where, **settings)  # type: ignore[arg-type]  # by name
    return made.build(model="flight-delay", connect=cluster.connect)


async def test_the_template_of_the_target_is_put_back_and_rolled_out(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")

    result = await step(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    assert "3 of 3 pods are of the target" in result.detail
    assert complete(found := await cluster.get(DEPLOYMENTS, "flight"))
    assert found["spec"]["template"]["metadata"]["labels"]["kedge.io/version"] == "1"
    assert found["metadata"]["annotations"]["kedge.io/rollback-intent"] == "id-1"


async def test_acting_twice_changes_the_deployment_once(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")
    first = await step(cluster).act("2", "1", intent="id-1")
    before = await cluster.get(DEPLOYMENTS, "flight")

    second = await step(cluster).act("2", "1", intent="id-1")

    assert isinstance(first, Done)
    assert isinstance(second, Done)
    after = await cluster.get(DEPLOYMENTS, "flight")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_kubernetes_website_6921_undoing_twice_does_not_return_to_the_bad_version(
    cluster: Cluster,
) -> None:
    await cluster.deploy("flight", "1", "2", "3")
    await step(cluster).act("3", "2", intent="id-1")
    # By its number, the one before is the bad version 3 now.
    assert sorted((await cluster.revisions("flight")).items()) == [("1", 1), ("2", 4), ("3", 3)]

    result = await step(cluster).act("2", "1", intent="id-2")

    assert isinstance(result, Done)
    assert await cluster.version("flight") == "1"


async def test_kubectl_1301_annotations_of_today_outlive_the_rollback(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")
    await cluster.merge(DEPLOYMENTS, "flight", {"metadata": {"annotations": {"team": "rivers"}}})

    await step(cluster).act("2", "1", intent="id-1")

    found = await cluster.get(DEPLOYMENTS, "flight")
    assert found["metadata"]["annotations"]["team"] == "rivers"


async def test_a_version_that_somebody_moved_to_is_left_there(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2", "3")

    result = await step(cluster).act("2", "1", intent="id-1")

    assert result == Failed("contested", "the template serves version 3, not 2", changed=False)
    assert await cluster.version("flight") == "3"


async def test_argo_cd_5351_what_was_put_back_by_somebody_else_is_not_fought(
    cluster: Cluster,
) -> None:
    await cluster.deploy("flight", "1", "2")
    await step(cluster).act("2", "1", intent="id-1")
    await cluster.roll("flight", "2")

    undone = await step(cluster).undone("2", "1")
    result = await step(cluster).act("2", "1", intent="id-1")

    assert undone is not None
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", True)
    assert await cluster.version("flight") == "2"


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "ml:apps/Deployment"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "ml"}}, "Flux"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "ml"}}, "Flux"),
    ],
)
async def test_flagger_1814_what_git_would_put_back_is_refused(
    cluster: Cluster, metadata: dict[str, object], owner: str
) -> None:
    await cluster.deploy("flight", "1", "2")
    await cluster.merge(DEPLOYMENTS, "flight", {"metadata": metadata})

    problems = await step(cluster).check("2", "1")
    result = await step(cluster).act("2", "1", intent="id-1")

    assert owner in problems[0]
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("permanent", False)
    assert await cluster.version("flight") == "2"


async def test_what_git_was_told_to_leave_alone_may_be_acted_on(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")
    note = {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "ml"}}}
    await cluster.merge(DEPLOYMENTS, "flight", note)

    assert isinstance(await step(cluster, gitops="act").act("2", "1", intent="id-1"), Done)


@pytest.mark.parametrize(
    ("patch", "word"),
    [
        ({"spec": {"paused": True}}, "paused"),
        ({"spec": {"replicas": 0}}, "scaled to zero"),
        ({"metadata": {"annotations": {"kedge.io/hold": "release day"}}}, "release day"),
        ({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, "recreate = true"),
    ],
    ids=["paused", "argo-rollouts 1292: nothing to bring back", "held", "flagger 1898: Recreate"],
)
async def test_a_deployment_that_must_not_be_moved_is_refused(
    cluster: Cluster, patch: dict[str, object], word: str
) -> None:
    await cluster.deploy("flight", "1", "2")
    await cluster.merge(DEPLOYMENTS, "flight", patch)

    problems = await step(cluster).check("2", "1")
    result = await step(cluster).act("2", "1", intent="id-1")

    assert word in problems[0]
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("permanent", False)
    assert await cluster.version("flight") == "2"


async def test_a_version_of_which_no_replicaset_is_kept_is_refused(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")

    (problem,) = await step(cluster).check("2", "7")

    assert problem == "no ReplicaSet of version 7 is kept (revisionHistoryLimit 10)"


async def test_a_template_that_names_no_version_is_not_guessed_at(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")

    (problem,) = await step(cluster, version_key="x", version_env="Y").check("2", "1")

    assert "does not say which model version" in problem


async def test_a_rehearsal_asks_the_server_and_changes_nothing(cluster: Cluster) -> None:
    await cluster.deploy("flight", "1", "2")
    before = await cluster.get(DEPLOYMENTS, "flight")

    problems = await step(cluster).check("2", "1")

    assert problems == ()
    assert (await cluster.get(DEPLOYMENTS, "flight"))["spec"] == before["spec"]
    if cluster.fake:
        rehearsed = [w for w in cluster.fake.writes if w.dry_run]
        assert [(w.plural, w.changed) for w in rehearsed] == [("deployments", False)]


async def test_flagger_1898_a_target_that_never_gets_ready_takes_no_healthy_pod_with_it(
    cluster: Cluster,
) -> None:
    await cluster.deploy("flight", "1", "2", progressDeadlineSeconds=1)
    cluster.kubelet.sick = {"1"}

    result = await step(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("permanent", True)
    assert "no progress" in result.message
    status = (await cluster.get(DEPLOYMENTS, "flight"))["status"]
    assert status["availableReplicas"] >= 2


async def test_what_the_controller_said_of_the_rollout_before_is_not_held_against_this_one(
    cluster: Cluster,
) -> None:
    await cluster.deploy("flight", "1", progressDeadlineSeconds=1)
    cluster.kubelet.sick = {"2"}
    await cluster.roll("flight", "2")
    await cluster.until(
        DEPLOYMENTS,
        "flight",
        lambda d: any(
            c.get("reason") == "ProgressDeadlineExceeded" for c in d["status"]["conditions"]
        ),
    )

    result = await step(cluster).act("2", "1", intent="id-1")

    assert isinstance(result, Done)


async def test_a_rollout_that_takes_longer_is_waited_for_by_the_next_call(
    cluster: Cluster,
) -> None:
    await cluster.deploy("flight", "1", "2")
    cluster.kubelet.sick = {"1"}

    first = await step(cluster, wait_s=0.2).act("2", "1", intent="id-1")
    cluster.kubelet.sick = set()
    second = await step(cluster).act("2", "1", intent="id-1")

    assert isinstance(first, Failed)
    assert (first.kind, first.changed) == ("waiting", True)
    assert isinstance(second, Done)


async def test_a_change_between_reading_and_writing_is_read_before_it_is_written_over(
    fake: Cluster,
) -> None:
    assert fake.fake is not None
    await fake.deploy("flight", "1", "2")
    server = fake.fake

    def meddle() -> None:
        server.before_write = None
        found = server.objects["deployments", fake.namespace, "flight"]
        changed = {**found, "spec": {**found["spec"], "template": template("flight", "3")}}
        server.put(("deployments", fake.namespace, "flight"), changed)

    server.before_write = meddle
    result = await step(fake).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("contested", False)
    assert await fake.version("flight") == "3"


@pytest.mark.parametrize("fate", ["lose", "mute", "503"])
async def test_a_write_whose_answer_was_lost_is_read_back_and_done_once(
    fake: Cluster, fate: str
) -> None:
    assert fake.fake is not None
    await fake.deploy("flight", "1", "2")
    fake.fake.fates = [fate]  # type: ignore[list-item]  # one of its words

    result = await step(fake).act("2", "1", intent="id-1")

    assert isinstance(result, Done)
    assert fake.fake.changes == ["deployments"]


async def test_a_server_that_asks_for_patience_is_left_alone(fake: Cluster) -> None:
    assert fake.fake is not None
    await fake.deploy("flight", "1", "2")
    fake.fake.fates = ["429"]

    result = await step(fake).act("2", "1", intent="id-1")

    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("transient", False)


async def test_a_right_that_is_missing_is_named(fake: Cluster) -> None:
    assert fake.fake is not None
    await fake.deploy("flight", "1", "2")
    fake.fake.forbidden = {("patch", "deployments")}

    problems = await step(fake).check("2", "1")
    result = await step(fake).act("2", "1", intent="id-1")

    assert problems == ("our account may not patch deployments in ml",)
    assert isinstance(result, Failed)
    assert (result.kind, result.changed) == ("permanent", False)
    assert "docs/kubernetes.md" in result.message


async def test_a_rehearsal_in_bad_weather_tells_nothing(fake: Cluster) -> None:
    unreachable = replace(fake.config, server="http://127.0.0.1:1")

    with pytest.raises(CheckUnavailableError):
        await step(replace(fake, config=unreachable)).check("2", "1")


async def test_a_deployment_that_is_not_there_is_told(cluster: Cluster) -> None:
    (problem,) = await step(cluster).check("2", "1")

    assert "404" in problem
