"""The client of the Kubernetes API: who we are, what is tried again, and what is not."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml

from rollback.kubernetes.answers import (
    KubernetesConflictError,
    KubernetesForbiddenError,
    KubernetesNotFoundError,
    KubernetesPermanentError,
    KubernetesTransientError,
)
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.kubernetes.config import (
    KubernetesConfig,
    KubernetesConfigError,
    in_cluster,
    kubeconfig_file,
)
from tests.rollback.cluster import Cluster

CONFIGMAPS = Resource("v1", "configmaps")
LEASES = Resource("coordination.k8s.io/v1", "leases")


def configmap(name: str, **data: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "x"}},
        "data": data,
    }


async def test_what_was_made_is_read_and_listed(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        for name in ("a", "b"):
            await client.create(CONFIGMAPS, cluster.namespace, configmap(name, k="1"))

        found = await client.list(CONFIGMAPS, cluster.namespace, labels="app=x")

    assert [c["metadata"]["name"] for c in found] == ["a", "b"]


async def test_a_list_is_read_page_by_page(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollback.kubernetes.client.PAGE_OBJECTS", 2)
    async with cluster.connect() as client:
        for name in "abcde":
            await client.create(CONFIGMAPS, cluster.namespace, configmap(name))

        found = await client.list(CONFIGMAPS, cluster.namespace, labels="app=x")

    assert [c["metadata"]["name"] for c in found] == list("abcde")


async def test_a_merge_patch_with_an_old_version_is_a_conflict(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        made = await client.create(CONFIGMAPS, cluster.namespace, configmap("a", k="1"))
        await cluster.merge(CONFIGMAPS, "a", {"data": {"k": "2"}})

        version = {"resourceVersion": made["metadata"]["resourceVersion"]}
        with pytest.raises(KubernetesConflictError) as caught:
            await client.patch(
                CONFIGMAPS, cluster.namespace, "a", {"metadata": version}, kind="merge"
            )

    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


async def test_a_failed_test_of_a_json_patch_is_a_conflict(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        await client.create(CONFIGMAPS, cluster.namespace, configmap("a", k="1"))
        body = [
            {"op": "test", "path": "/data/k", "value": "2"},
            {"op": "replace", "path": "/data/k", "value": "3"},
        ]

        with pytest.raises(KubernetesConflictError) as caught:
            await client.patch(CONFIGMAPS, cluster.namespace, "a", body)

    assert caught.value.code == 422
    assert (await cluster.get(CONFIGMAPS, "a"))["data"] == {"k": "1"}


async def test_a_dry_run_leaves_no_trace(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        made = await client.create(CONFIGMAPS, cluster.namespace, configmap("a", k="1"))
        patch = {"data": {"k": "2"}}

        answer = await client.patch(
            CONFIGMAPS, cluster.namespace, "a", patch, kind="strategic", dry_run=True
        )

    assert answer["data"] == {"k": "2"}
    after = await cluster.get(CONFIGMAPS, "a")
    assert after["data"] == {"k": "1"}
    assert after["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_lease_is_taken_by_one_of_two(cluster: Cluster) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "kedge-flight"},
        "spec": {"leaseDurationSeconds": 15},
    }
    async with cluster.connect() as client:
        made = await client.create(LEASES, cluster.namespace, lease)
        takes = [{**made, "spec": {**made["spec"], "holderIdentity": who}} for who in "ab"]

        await client.replace(LEASES, cluster.namespace, takes[0])
        with pytest.raises(KubernetesConflictError):
            await client.replace(LEASES, cluster.namespace, takes[1])

    assert (await cluster.get(LEASES, "kedge-flight"))["spec"]["holderIdentity"] == "a"


async def test_what_exists_is_not_made_again(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        await client.create(CONFIGMAPS, cluster.namespace, configmap("a"))

        with pytest.raises(KubernetesConflictError) as caught:
            await client.create(CONFIGMAPS, cluster.namespace, configmap("a"))

    assert caught.value.reason == "AlreadyExists"


async def test_what_is_not_there_is_said_so(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        with pytest.raises(KubernetesNotFoundError, match="not found"):
            await client.get(CONFIGMAPS, cluster.namespace, "none")


async def test_a_review_says_what_we_may(fake: Cluster) -> None:
    assert fake.fake is not None
    fake.fake.forbidden = {("patch", "configmaps")}
    async with fake.connect() as client:
        assert await client.may("get", CONFIGMAPS, fake.namespace)
        assert not await client.may("patch", CONFIGMAPS, fake.namespace, "a")


async def test_kopf_926_a_token_that_was_renewed_is_read_again(
    fake: Cluster, tmp_path: Path
) -> None:
    assert fake.fake is not None
    server, token = fake.fake, tmp_path / "token"
    token.write_text("first\n")
    config = KubernetesConfig(server.uri, token_file=token)
    await fake.admin.create(CONFIGMAPS, fake.namespace, configmap("a"))
    async with KubernetesClient(config) as client:
        await client.get(CONFIGMAPS, fake.namespace, "a")
        server.tokens = {"second", "admin"}
        token.write_text("second\n")

        assert await client.get(CONFIGMAPS, fake.namespace, "a")


async def test_a_token_that_is_renewed_after_it_was_read_is_read_once_more(
    fake: Cluster, tmp_path: Path
) -> None:
    assert fake.fake is not None
    server, token = fake.fake, tmp_path / "token"
    token.write_text("old")
    server.on_refusal = lambda: token.write_text("first")
    await fake.admin.create(CONFIGMAPS, fake.namespace, configmap("a"))

    async with KubernetesClient(KubernetesConfig(server.uri, token_file=token)) as client:
        assert await client.get(CONFIGMAPS, fake.namespace, "a")

    assert len(server.calls) == 2


async def test_a_token_that_is_not_accepted_is_tried_twice_and_no_more(
    fake: Cluster, tmp_path: Path
) -> None:
    assert fake.fake is not None
    (token := tmp_path / "token").write_text("wrong")

    async with KubernetesClient(KubernetesConfig(fake.fake.uri, token_file=token)) as client:
        with pytest.raises(KubernetesForbiddenError, match="is it this cluster's"):
            await client.get(CONFIGMAPS, fake.namespace, "a")

    assert len(fake.fake.calls) == 2


@pytest.mark.parametrize("fate", ["503", "429"])
async def test_a_read_is_tried_again_in_bad_weather(fake: Cluster, fate: str) -> None:
    assert fake.fake is not None
    await fake.admin.create(CONFIGMAPS, fake.namespace, configmap("a"))
    fake.fake.reads = [fate]  # type: ignore[list-item]  # one of its words

    async with fake.connect() as client:
        assert await client.get(CONFIGMAPS, fake.namespace, "a")

    assert len(fake.fake.calls) == 2


async def test_a_write_is_not_tried_again(fake: Cluster) -> None:
    assert fake.fake is not None
    fake.fake.fates = ["503"]

    async with fake.connect() as client:
        with pytest.raises(KubernetesTransientError):
            await client.create(CONFIGMAPS, fake.namespace, configmap("a"))

    assert len(fake.fake.calls) == 1


async def test_a_list_that_is_too_old_to_be_continued_is_bad_weather(
    fake: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fake.fake is not None
    monkeypatch.setattr("rollback.kubernetes.client.PAGE_OBJECTS", 1)
    for name in "ab":
        await fake.admin.create(CONFIGMAPS, fake.namespace, configmap(name))
    fake.fake.expire_pages = True

    async with fake.connect() as client:
        with pytest.raises(KubernetesTransientError, match="410"):
            await client.list(CONFIGMAPS, fake.namespace)


async def test_a_custom_resource_takes_no_strategic_merge(cluster: Cluster) -> None:
    routes = Resource("gateway.networking.k8s.io/v1", "httproutes")
    await cluster.define(routes, "HTTPRoute")
    body = {
        "apiVersion": routes.version,
        "kind": "HTTPRoute",
        "metadata": {"name": "a"},
        "spec": {},
    }
    async with cluster.connect() as client:
        await client.create(routes, cluster.namespace, body)

        with pytest.raises(KubernetesPermanentError, match="415"):
            await client.patch(routes, cluster.namespace, "a", {"spec": {}}, kind="strategic")


async def test_a_kind_that_the_cluster_does_not_have_is_not_found(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        with pytest.raises(KubernetesNotFoundError, match="404"):
            await client.list(Resource("none.example/v1", "things"), cluster.namespace)


def test_a_pod_knows_its_server_and_its_account(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("ca.crt", "PEM"), ("namespace", "ml\n")):
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}

    config = in_cluster(tmp_path, environ)

    assert (config.server, config.namespace, config.bearer()) == (
        "https://[fd00::1]:443",
        "ml",
        "t",
    )
    assert config.authority == "PEM"


def test_outside_of_a_pod_there_is_no_account(tmp_path: Path) -> None:
    with pytest.raises(KubernetesConfigError, match="no pod"):
        in_cluster(tmp_path, {})


def kubeconfig(folder: Path, user: dict[str, object]) -> Path:
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://api:6443/",
                    "certificate-authority-data": base64.b64encode(b"CA").decode(),
                },
            }
        ],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_kubeconfig_file_gives_server_authority_and_certificate(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text("CERTIFICATE")
    key = base64.b64encode(b"KEY").decode()
    user: dict[str, object] = {"client-certificate": "client.pem", "client-key-data": key}

    config = kubeconfig_file(kubeconfig(tmp_path, user))

    assert config == KubernetesConfig(
        "https://api:6443", "ml", "CA", certificate="CERTIFICATE", key="KEY"
    )
    assert "KEY" not in repr(config)


@pytest.mark.parametrize(
    ("user", "context", "words"),
    [
        ({"exec": {"command": "aws"}}, None, "exec, which is not supported"),
        ({"token": "t"}, "there", "no context called 'there'"),
        ({"client-key-data": "%"}, None, "not base64"),
    ],
)
def test_a_kubeconfig_file_that_cannot_be_used_says_why(
    tmp_path: Path, user: dict[str, object], context: str | None, words: str
) -> None:
    with pytest.raises(KubernetesConfigError, match=words):
        kubeconfig_file(kubeconfig(tmp_path, user), context)


def test_a_kubeconfig_file_may_be_json(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "t"})
    path.write_text(json.dumps(yaml.safe_load(path.read_text())))

    assert kubeconfig_file(path).bearer() == "t"
