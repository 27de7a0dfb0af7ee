"""A namespace of a cluster for one test: of the fake API server, or of a real one.

The real one is named by ``KEDGE_TEST_KUBECONFIG`` and needs kube-apiserver and
kube-controller-manager; nodes and a kubelet it need not have: `Kubelet` plays them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import uuid4

import pytest

from rollback.actuators.kubernetes_deployment import DEPLOYMENTS, REPLICASETS
from rollback.actuators.kubernetes_service import ready_endpoints
from rollback.kubernetes.answers import (
    KubernetesConflictError,
    KubernetesError,
    KubernetesNotFoundError,
)
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.kubernetes.config import KubernetesConfig, kubeconfig_file
from rollback.kubernetes.move import ClusterSettings
from tests.rollback.fake_kubernetes import FakeKubernetes
from tests.rollback.older_server import SlicesClient

Object: TypeAlias = dict[str, Any]

KUBECONFIG: Final = os.environ.get("KEDGE_TEST_KUBECONFIG")
PODS: Final = Resource("v1", "pods")
NODE: Final = "kedge-test-node"
DEADLINE_S: Final = 30.0
HEARTBEAT_S: Final = 5.0
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVICES: Final = Resource("v1", "services")


class Admin(SlicesClient):
    """What the tests do as the cluster's administrator, besides what the client can."""

    async def raw(self, method: str, path: str, body: object = None) -> Object:
        return await self._call(method, path, {}, body)

    async def delete(
        self, resource: Resource, namespace: str, name: str, grace_s: int = 30
    ) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": grace_s}
        with contextlib.suppress(KubernetesNotFoundError):
            await self._call("DELETE", resource.path(namespace, name), {}, body)


@dataclass
class Kubelet:
    """Makes pods ready, and ends them, as a node would."""

    admin: Admin
    namespace: str
    sick: set[str] = field(default_factory=set)
    has_node: bool = False
    _ips: int = 0
    _beat: float = 0.0

    async def run(self) -> None:
        while True:
            with contextlib.suppress(KubernetesError):
                if self.has_node and time.monotonic() > self._beat + HEARTBEAT_S:
                    await self._heartbeat()
                for pod in await self.admin.list(PODS, self.namespace):
                    await self._tend(pod)
            await asyncio.sleep(0.02)

    async def _heartbeat(self) -> None:
        """Say that the node is alive, or its pods are called not ready."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        body = {"status": {"conditions": [condition]}}
        path, kind = f"/api/v1/nodes/{NODE}/status", "application/merge-patch+json"
        await self.admin._call("PATCH", path, {}, body, kind)
        self._beat = time.monotonic()

    async def _tend(self, pod: Object) -> None:
        name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
        with contextlib.suppress(KubernetesConflictError, KubernetesNotFoundError):
            if "deletionTimestamp" in pod["metadata"]:
                await self.admin.delete(PODS, self.namespace, name, grace_s=0)
            elif not pod["spec"].get("nodeName"):
                target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
                binding = {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": name},
                    "target": target,
                }
                path = PODS.path(self.namespace, name)
                await self.admin.raw("POST", f"{path}/binding", binding)
            elif labels.get("kedge.io/version") not in self.sick:
                await self._make_ready(pod, name)

    async def _make_ready(self, pod: Object, name: str) -> None:
        status = pod.get("status") or {}
        if any(
            c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ())
        ):
            return
        self._ips += 1
        ip = f"10.9.{self._ips // 250}.{self._ips % 250 + 1}"
        conditions = [
            {"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "Initialized")
        ]
        body = {
            "status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": conditions,
            }
        }
        await self.admin.patch(PODS, self.namespace, name, body, kind="merge", subresource="status")


@dataclass
class Cluster:
    """One namespace; `fake` is None on a real API server."""

    config: KubernetesConfig
    namespace: str
    admin: Admin
    kubelet: Kubelet
    fake: FakeKubernetes | None
    defined: list[str] = field(default_factory=list)

    async def define(self, resource: Resource, kind: str) -> None:
        """Make a kind of custom resource known, if it is not; any content is valid."""
        if self.fake is not None:
            self.fake.kinds.add(resource.plural)
            return
        with contextlib.suppress(KubernetesNotFoundError):
            await self.admin.list(resource, self.namespace)
            return
        name = f"{resource.plural}.{resource.group}"
        anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        fields = {"spec": anything, "status": anything}
        version = {
            "name": resource.version.partition("/")[2],
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": fields}},
        }
        body: Object = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": name,
                # Groups of Kubernetes itself ask for it.
                "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
            },
            "spec": {
                "group": resource.group,
                "scope": "Namespaced",
                "names": {"plural": resource.plural, "singular": kind.lower(), "kind": kind},
                "versions": [version],
            },
        }
        await self.admin.raw("POST", CRDS, body)
        self.defined.append(name)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(KubernetesNotFoundError):
                await self.admin.list(resource, self.namespace)
                return
            await asyncio.sleep(0.1)

    @property
    def settings(self) -> ClusterSettings:
        return ClusterSettings(namespace=self.namespace, timeout_s=5.0, wait_s=10.0)

    def connect(self) -> KubernetesClient:
        client = SlicesClient(self.config, timeout_s=3.0 if self.fake else 10.0)
        client.slices_version = self.admin.slices_version
        return client

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.admin.get(resource, self.namespace, name)

    async def merge(self, resource: Resource, name: str, patch: Mapping[str, Any]) -> Object:
        """Somebody else's change, sent until it is not in anybody's way."""
        while True:
            with contextlib.suppress(KubernetesConflictError):
                return await self.admin.patch(resource, self.namespace, name, patch, kind="merge")

    async def until(self, resource: Resource, name: str, holds: Callable[[Object], bool]) -> Object:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            found = await self.get(resource, name)
            if holds(found):
                return found
            assert time.monotonic() < deadline, f"{name} did not come to that: {found}"
            await asyncio.sleep(0.02)

    async def deploy(self, name: str, *versions: str, **spec: object) -> None:
        """Roll out one version after the other, each to its end."""
        await self.admin.create(DEPLOYMENTS, self.namespace, deployment(name, versions[0], **spec))
        await self.until(DEPLOYMENTS, name, complete)
        for version in versions[1:]:
            await self.roll(name, version)
            await self.until(DEPLOYMENTS, name, complete)

    async def serve(self, name: str, version: str, replicas: int = 2, **labels: str) -> None:
        """A Deployment of one version, with labels, and a Service of its name before it."""
        body = deployment(name, version, replicas=replicas)
        body["spec"]["template"]["metadata"]["labels"] |= labels
        await self.admin.create(DEPLOYMENTS, self.namespace, body)
        await self.expose(name, {"app": name})

    async def expose(self, name: str, selector: Mapping[str, str]) -> None:
        await self.admin.create(
            SERVICES,
            self.namespace,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": dict(selector), "ports": [{"port": 80}]},
            },
        )

    async def endpoints(self, service: str, n: int) -> None:
        """Wait until so many endpoints of a Service are ready."""
        deadline = time.monotonic() + DEADLINE_S
        while len(await ready_endpoints(self.admin, self.namespace, service)) != n:
            assert time.monotonic() < deadline, f"{service} has not come to {n} endpoints"
            await asyncio.sleep(0.02)

    async def roll(self, name: str, version: str) -> None:
        await self.merge(DEPLOYMENTS, name, {"spec": {"template": template(name, version)}})

    async def version(self, name: str) -> str:
        found = await self.get(DEPLOYMENTS, name)
        return str(found["spec"]["template"]["metadata"]["labels"]["kedge.io/version"])

    async def revisions(self, name: str) -> dict[str, int]:
        """Version to the revision of its ReplicaSet."""
        sets = await self.admin.list(REPLICASETS, self.namespace, labels=f"app={name}")
        key = "deployment.kubernetes.io/revision"
        return {
            s["metadata"]["labels"]["kedge.io/version"]: int(s["metadata"]["annotations"][key])
            for s in sets
        }


def template(name: str, version: str) -> Object:
    return {
        "metadata": {"labels": {"app": name, "kedge.io/version": version}},
        "spec": {
            "containers": [
                {
                    "name": "model",
                    "image": f"example.com/model:{version}",
                    "env": [{"name": "MODEL_VERSION", "value": version}],
                }
            ]
        },
    }


def deployment(name: str, version: str, **spec: object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, version),
            **spec,
        },
    }


def complete(found: Object) -> bool:
    status, wanted = found.get("status") or {}, found["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )


def kubeconfig_of(server: str) -> str:
    """The text of a kubeconfig of the fake API server, or of a proxy before it."""
    named = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "first"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        "current-context": "x",
    }
    return json.dumps(named)


@contextlib.asynccontextmanager
async def fake_cluster() -> AsyncIterator[Cluster]:
    async with FakeKubernetes() as fake:
        config = KubernetesConfig(fake.uri, "ml", token="first")
        admin = KubernetesConfig(fake.uri, "ml", token="admin")
        async with _cluster(config, admin, "ml", fake) as cluster:
            yield cluster


@contextlib.asynccontextmanager
async def real_cluster() -> AsyncIterator[Cluster]:
    if KUBECONFIG is None:
        pytest.skip("KEDGE_TEST_KUBECONFIG names no API server")
    config = kubeconfig_file(Path(KUBECONFIG))
    namespace = f"kedge-{uuid4().hex[:12]}"
    async with Admin(config) as admin:
        body: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await admin.raw("POST", "/api/v1/namespaces", body)
        try:
            await _make_node(admin, namespace)
            async with _cluster(config, config, namespace, None) as cluster:
                yield cluster
        finally:
            await admin.raw("DELETE", f"/api/v1/namespaces/{namespace}")


@contextlib.asynccontextmanager
async def _cluster(
    config: KubernetesConfig, admin: KubernetesConfig, namespace: str, fake: FakeKubernetes | None
) -> AsyncIterator[Cluster]:
    async with Admin(admin) as client, Admin(admin) as nodes:
        if fake is None:
            await client.learn()
        kubelet = Kubelet(nodes, namespace, has_node=fake is None)
        task = asyncio.create_task(kubelet.run(), name="kubelet")
        cluster = Cluster(config, namespace, client, kubelet, fake)
        try:
            yield cluster
        finally:
            for name in cluster.defined:
                await _undefine(client, name)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _undefine(admin: Admin, name: str) -> None:
    """Forget a kind of custom resource, and wait until it is forgotten."""
    await admin.raw("DELETE", f"{CRDS}/{name}")
    deadline = time.monotonic() + DEADLINE_S
    with contextlib.suppress(KubernetesNotFoundError):
        while time.monotonic() < deadline:
            await admin.raw("GET", f"{CRDS}/{name}")
            await asyncio.sleep(0.1)


async def _make_node(admin: Admin, namespace: str) -> None:
    """Make a node for pods to be bound to, and wait for what pods need in a namespace."""
    node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    with contextlib.suppress(KubernetesConflictError):
        await admin.raw("POST", "/api/v1/nodes", node)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        # Pods are refused until the namespace has its account.
        with contextlib.suppress(KubernetesNotFoundError):
            await admin.get(Resource("v1", "serviceaccounts"), namespace, "default")
            return
        await asyncio.sleep(0.1)
