"""The daemon as a cluster runs it: a Lease, a step, and the account of deploy/kubernetes alone."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from rollback.actuators.kubernetes_deployment import DEPLOYMENTS
from rollback.kubernetes.lease import LEASES
from tests.collectors.registered import register
from tests.monitor.daemon import eventually, running
from tests.monitor.test_whole_loop import (
    alias,
    break_version_2,
    configuration,
    rollback,
    serve_version_1,
)
from tests.rollback.accounts import apply, as_the_account, documents
from tests.rollback.cluster import Cluster, complete, real_cluster

pytestmark = [pytest.mark.real, pytest.mark.slow]

STEP = """
[[rollback.steps]]
type = "kubernetes-deployment"
name = "flight"
kubeconfig_path = "kubeconfig"

[rollback.lease]
kind = "kubernetes"
name = "kedge"
kubeconfig_path = "kubeconfig"
"""


def kubeconfig(cluster: Cluster) -> str:
    """A kubeconfig of whom the cluster is seen as."""
    config = cluster.config
    server = {"server": config.server}
    if config.authority is not None:
        server["certificate-authority-data"] = base64.b64encode(config.authority.encode()).decode()
    context = {"cluster": "c", "user": "u", "namespace": cluster.namespace}
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": {"token": config.token}}],
            "contexts": [{"name": "x", "context": context}],
            "current-context": "x",
        }
    )


async def loop(cluster: Cluster, folder: Path, registry: str, model: str) -> dict[str, Any]:
    """Version 2 gets worse, is rolled back in the registry and in the cluster, and 1 serves."""
    await register(registry, model, 2, champion="2")
    (lease,) = documents("actuator", "lease.yaml")
    await cluster.admin.create(LEASES, cluster.namespace, lease)
    await cluster.deploy("flight", "1", "2")
    (folder / "kubeconfig").write_text(kubeconfig(cluster))
    config = configuration(folder, registry, model, "act")
    config.write_text(config.read_text() + STEP)
    log = folder / "predictions.jsonl"

    def watched() -> dict[str, Any]:
        with running(config) as kedge:
            break_version_2(kedge, log)
            eventually(lambda: alias(registry, model) == "1", what="the alias at version 1")
            rollback(kedge, "VERIFYING", "RESOLVED", "ESCALATED")
            serve_version_1(log)
            record = rollback(kedge, "RESOLVED", "ESCALATED")
            assert kedge.stop() == 0
            return record

    return await asyncio.to_thread(watched)


async def test_a_version_that_got_worse_is_rolled_back_by_the_account_of_the_manifests(
    tmp_path: Path, mlflow_uri: str
) -> None:
    async with real_cluster() as cluster:
        await apply(cluster, documents("actuator", "rbac.yaml"))
        await apply(cluster, documents("steps", "kubernetes-deployment", "rbac.yaml"))

        record = await loop(await as_the_account(cluster), tmp_path, mlflow_uri, "in-a-cluster")

        found = await cluster.until(DEPLOYMENTS, "flight", complete)
        lease = await cluster.get(LEASES, "kedge")
    assert record["state"] == "RESOLVED", record
    labels = found["spec"]["template"]["metadata"]["labels"]
    assert labels["kedge.io/version"] == "1"
    assert found["metadata"]["annotations"]["kedge.io/rollback-intent"] == record["id"]
    assert lease["spec"]["leaseTransitions"] == 1
    assert "holderIdentity" not in lease["spec"]
