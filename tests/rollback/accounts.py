"""The account and the Roles that deploy/kubernetes gives to Kedge, on a real API server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from rollback.kubernetes.client import Resource
from tests.rollback.cluster import Cluster

KUBERNETES: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
ACCOUNT: Final = "kedge-actuator"
RBAC: Final = "rbac.authorization.k8s.io/v1"
KINDS: Final = {
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "Role": Resource(RBAC, "roles"),
    "RoleBinding": Resource(RBAC, "rolebindings"),
}


def documents(*parts: str) -> list[dict[str, Any]]:
    """The objects of a file; the names that they allow are those of the scenes."""
    text = KUBERNETES.joinpath(*parts).read_text()
    return list(yaml.safe_load_all(text.replace("flight-delay", "flight")))


async def apply(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    for one in objects:
        await cluster.admin.create(KINDS[one["kind"]], cluster.namespace, one)


async def as_the_account(cluster: Cluster) -> Cluster:
    """The cluster as the account of the manifests sees it, with a token that the server makes."""
    path = KINDS["ServiceAccount"].path(cluster.namespace, ACCOUNT)
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await cluster.admin.raw("POST", f"{path}/token", body)
    config = replace(cluster.config, token=answer["status"]["token"], certificate=None, key=None)
    return replace(cluster, config=config)
