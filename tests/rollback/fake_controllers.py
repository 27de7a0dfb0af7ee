"""The controllers behind the fake API server: Deployments, ReplicaSets, EndpointSlices.

After the published behaviour of kube-controller-manager: one pass moves each object a step, so
that what is between can be seen, as it can in a cluster.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from copy import deepcopy
from math import ceil, floor
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tests.rollback.fake_kubernetes import FakeKubernetes

Object: TypeAlias = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
HASH = "pod-template-hash"


def reconcile(server: FakeKubernetes) -> None:
    """Move everything one step towards what its spec says."""
    for namespace in sorted({n for _, n, _ in server.objects}):
        for deployment in server.find("deployments", namespace):
            _deployment(server, namespace, deepcopy(deployment))
        for replicaset in server.find("replicasets", namespace):
            _replicaset(server, namespace, deepcopy(replicaset))
        for service in server.find("services", namespace):
            _slices(server, namespace, service)


def owned(server: FakeKubernetes, plural: str, namespace: str, owner: Object) -> list[Object]:
    uid = owner["metadata"]["uid"]
    return [
        deepcopy(o)
        for o in server.find(plural, namespace)
        if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences") or ())
    ]


def bare(template: Object) -> Object:
    """The template without the label that the controller adds."""
    template = deepcopy(template)
    labels = (template.get("metadata") or {}).get("labels") or {}
    labels.pop(HASH, None)
    return template


def _reference(kind: str, owner: Object) -> list[Object]:
    name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
    return [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}]


def _revision(o: Object) -> int:
    return int((o["metadata"].get("annotations") or {}).get(REVISION, 0))


def _deployment(server: FakeKubernetes, namespace: str, deployment: Object) -> None:
    sets = owned(server, "replicasets", namespace, deployment)
    sets.sort(key=lambda r: (r["metadata"]["creationTimestamp"], _revision(r)))
    if not deployment["spec"].get("paused"):
        current = _current(server, namespace, deployment, sets)
        if current not in sets:
            sets.append(current)
        _scale(server, namespace, deployment, current, sets)
    else:
        wanted = bare(deployment["spec"]["template"])
        current = next((r for r in sets if bare(r["spec"]["template"]) == wanted), {})
    _deployment_status(server, namespace, deployment, current, sets)


def _current(
    server: FakeKubernetes, namespace: str, deployment: Object, sets: list[Object]
) -> Object:
    """The set of the template: an old one, with a new number, or one made for it."""
    template = bare(deployment["spec"]["template"])
    name = deployment["metadata"]["name"]
    found = next((r for r in sets if bare(r["spec"]["template"]) == template), None)
    highest = max((_revision(r) for r in sets if r is not found), default=0)
    if found is None:
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        template["metadata"]["labels"][HASH] = digest
        labels = template["metadata"]["labels"]
        found = {
            "metadata": {
                "name": f"{name}-{digest}",
                "namespace": namespace,
                "labels": dict(labels),
                "annotations": {REVISION: str(highest + 1)},
                "ownerReferences": _reference("Deployment", deployment),
            },
            "spec": {
                "replicas": 0,
                "template": template,
                "selector": {
                    "matchLabels": {**deployment["spec"]["selector"]["matchLabels"], HASH: digest}
                },
            },
            "status": {"replicas": 0},
        }
    elif _revision(found) <= highest:
        notes = found["metadata"]["annotations"]
        before = [n for n in notes.get(HISTORY, "").split(",") if n]
        notes[HISTORY] = ",".join([*before, notes[REVISION]])
        notes[REVISION] = str(highest + 1)
    key = ("replicasets", namespace, found["metadata"]["name"])
    server.put(key, found)
    notes = deployment["metadata"].setdefault("annotations", {})
    number = server.objects[key]["metadata"]["annotations"][REVISION]
    if notes.get(REVISION) != number:
        notes[REVISION] = number
        server.put(("deployments", namespace, name), deployment, as_status=True)
        deployment["metadata"] = deepcopy(
            server.objects[("deployments", namespace, name)]["metadata"]
        )
    return next((r for r in sets if r["metadata"]["name"] == key[2]), deepcopy(server.objects[key]))


def _share(value: int | str, replicas: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        exact = replicas * int(value[:-1]) / 100
        return ceil(exact) if up else floor(exact)
    return int(value)


def _available(replicaset: Object) -> int:
    return int((replicaset.get("status") or {}).get("availableReplicas", 0))


def _scale(
    server: FakeKubernetes,
    namespace: str,
    deployment: Object,
    current: Object,
    sets: list[Object],
) -> None:
    replicas = deployment["spec"].get("replicas", 1)
    old = [r for r in sets if r is not current]
    strategy = deployment["spec"].get("strategy") or {}
    recreate = strategy.get("type") == "Recreate"
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), replicas, up=True)
    short = _share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if not surge and not short:
        short = 1
    total_old = sum(r["spec"]["replicas"] for r in old)
    if recreate:
        wanted, spare = (0 if total_old else replicas), total_old
    else:
        wanted = max(current["spec"]["replicas"], min(replicas, replicas + surge - total_old))
        available = _available(current) + sum(map(_available, old))
        sick = sum(r["spec"]["replicas"] - _available(r) for r in old)
        spare = max(0, available - (replicas - short)) + sick
    wanted = min(wanted, replicas)
    for replicaset in sorted(old, key=_available):
        less = min(spare, replicaset["spec"]["replicas"])
        spare -= less
        _set_replicas(server, namespace, replicaset, replicaset["spec"]["replicas"] - less)
    _set_replicas(server, namespace, current, wanted)
    if not total_old and _available(current) >= replicas:
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        for replicaset in sorted(old, key=_revision)[: max(0, len(old) - limit)]:
            server.drop(("replicasets", namespace, replicaset["metadata"]["name"]))
            sets.remove(replicaset)


def _set_replicas(server: FakeKubernetes, namespace: str, replicaset: Object, n: int) -> None:
    key = ("replicasets", namespace, replicaset["metadata"]["name"])
    stored = deepcopy(server.objects[key])
    stored["spec"]["replicas"] = n
    server.put(key, stored)


def _deployment_status(
    server: FakeKubernetes, namespace: str, deployment: Object, current: Object, sets: list[Object]
) -> None:
    key = ("deployments", namespace, deployment["metadata"]["name"])
    stored = deepcopy(server.objects[key])
    before = stored.get("status") or {}
    statuses = [(r.get("status") or {}) for r in sets]
    updated = (current.get("status") or {}).get("replicas", 0)
    status: Object = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": sum(s.get("replicas", 0) for s in statuses),
        "updatedReplicas": updated,
        "readyReplicas": sum(s.get("readyReplicas", 0) for s in statuses),
        "availableReplicas": sum(s.get("availableReplicas", 0) for s in statuses),
    }
    replicas = stored["spec"].get("replicas", 1)
    complete = updated == replicas == status["replicas"] == status["availableReplicas"] and bool(
        current
    )
    # A new generation is no progress by itself: the word of the rollout before stays.
    counts = ("updatedReplicas", "readyReplicas", "replicas")
    moved = any(status[c] != before.get(c) for c in counts)
    progress: Object = next(
        (c for c in before.get("conditions") or () if c["type"] == "Progressing"), {}
    )
    since = time.time() if moved or not progress else float(progress["lastUpdateTime"])
    deadline = stored["spec"].get("progressDeadlineSeconds", 600)
    reason, state = "ReplicaSetUpdated", "True"
    if complete:
        reason = "NewReplicaSetAvailable"
    elif stored["spec"].get("paused"):
        reason, state = "DeploymentPaused", "Unknown"
    elif time.time() - since > deadline or (
        progress.get("reason") == "ProgressDeadlineExceeded" and not moved
    ):
        reason, state = "ProgressDeadlineExceeded", "False"
    available = status["availableReplicas"] >= replicas - 1
    status["conditions"] = [
        {"type": "Available", "status": str(available)},
        {"type": "Progressing", "status": state, "reason": reason, "lastUpdateTime": str(since)},
    ]
    stored["status"] = status
    server.put(key, stored)


def ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _replicaset(server: FakeKubernetes, namespace: str, replicaset: Object) -> None:
    pods = owned(server, "pods", namespace, replicaset)
    living = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
    wanted = replicaset["spec"].get("replicas", 1)
    name = replicaset["metadata"]["name"]
    for _ in range(wanted - len(living)):
        template = deepcopy(replicaset["spec"]["template"])
        pod_name = f"{name}-{secrets.token_hex(3)}"
        meta = {
            **template.get("metadata", {}),
            "name": pod_name,
            "ownerReferences": _reference("ReplicaSet", replicaset),
        }
        server.put(("pods", namespace, pod_name), {"metadata": meta, "spec": template["spec"]})
    for pod in sorted(living, key=ready)[: max(0, len(living) - wanted)]:
        key = ("pods", namespace, pod["metadata"]["name"])
        if pod["spec"].get("nodeName"):
            pod["metadata"]["deletionTimestamp"] = "now"
            server.put(key, pod)
        else:
            server.drop(key)
    living = [
        p
        for p in owned(server, "pods", namespace, replicaset)
        if "deletionTimestamp" not in p["metadata"]
    ]
    n = sum(map(ready, living))
    key = ("replicasets", namespace, name)
    stored = deepcopy(server.objects[key])
    stored["status"] = {"replicas": len(living), "readyReplicas": n, "availableReplicas": n}
    server.put(key, stored)


def _slices(server: FakeKubernetes, namespace: str, service: Object) -> None:
    selector = service["spec"].get("selector")
    if not selector:
        return
    name = service["metadata"]["name"]
    endpoints = [
        {
            "addresses": [p["status"]["podIP"]],
            "conditions": {
                "ready": ready(p) and "deletionTimestamp" not in p["metadata"],
                "terminating": "deletionTimestamp" in p["metadata"],
            },
            "targetRef": {"kind": "Pod", "name": p["metadata"]["name"]},
        }
        for p in server.find("pods", namespace)
        if selector.items() <= (p["metadata"].get("labels") or {}).items()
        and (p.get("status") or {}).get("podIP")
    ]
    slice_name = f"{name}-slice"
    server.put(
        ("endpointslices", namespace, slice_name),
        {
            "metadata": {
                "name": slice_name,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
        },
    )
