"""What a real API server fills in, and what it refuses, of the objects that the tests send it.

A fault is the status and the message of the answer, as a kube-apiserver was seen to give them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, TypeAlias

from tests.rollback.fake_leases import lease_fault

Object: TypeAlias = dict[str, Any]
Fault: TypeAlias = tuple[int, str] | None

_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY: Final = re.compile(rf"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_NAME}")
_VALUE: Final = re.compile(rf"({_NAME})?")
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_DEPLOYMENT: Final[Object] = {
    "replicas": 1,
    "revisionHistoryLimit": 10,
    "progressDeadlineSeconds": 600,
    "strategy": {"type": "RollingUpdate"},
}
_ROLLING: Final[Object] = {"maxSurge": "25%", "maxUnavailable": "25%"}
_POD: Final[Object] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER: Final[Object] = {
    "imagePullPolicy": "IfNotPresent",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def defaulted(plural: str, new: Object) -> Object:
    """Return the object with what the server adds to it."""
    if plural not in ("deployments", "replicasets") or not isinstance(new.get("spec"), dict):
        return new
    new = deepcopy(new)
    spec = new["spec"]
    if plural == "deployments":
        _fill(spec, _DEPLOYMENT)
        if spec["strategy"].get("type") == "RollingUpdate":
            spec["strategy"]["rollingUpdate"] = {
                **_ROLLING,
                **(spec["strategy"].get("rollingUpdate") or {}),
            }
    pod = ((spec.get("template") or {}).get("spec")) or {}
    if pod:
        _fill(pod, _POD)
    for container in pod.get("containers") or ():
        _fill(container, _CONTAINER)
    return new


def _fill(target: Object, defaults: Mapping[str, Any]) -> None:
    for key, value in defaults.items():
        if target.get(key) is None:
            target[key] = deepcopy(value)


def fault(key: tuple[str, str, str], old: Object | None, new: Object) -> Fault:
    """Return why the server refuses an object; None if it takes it."""
    plural, spec = key[0], new.get("spec")
    if found := _metadata_fault(key, old, new):
        return found
    if spec is not None and not isinstance(spec, dict):
        return 422, "spec: Invalid value: must be of type object"
    if plural == "leases":
        return lease_fault(spec or {})
    if plural == "configmaps" and not _texts(new.get("data")):
        return 422, "data: Invalid value: must be texts"
    if plural == "services":
        return _service_fault(spec or {})
    return _deployment_fault(old, spec or {}) if plural == "deployments" else None


def _metadata_fault(key: tuple[str, str, str], old: Object | None, new: Object) -> Fault:
    meta = new.get("metadata") or {}
    if not _OBJECT_NAME.fullmatch(meta.get("name") or ""):
        return 422, "metadata.name: must be a lower case name"
    if meta["name"] != key[2]:
        return 400, "the name of the object does not match the name on the URL"
    if meta.get("namespace", key[1]) != key[1]:
        return 400, "the namespace of the object does not match the namespace on the request"
    if old is not None and meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        return 422, "metadata.uid: Invalid value: field is immutable"
    for notes in (meta.get("labels"), meta.get("annotations")):
        if not _texts(notes) or not all(map(_KEY.fullmatch, notes or ())):
            return 422, "metadata: Invalid value: keys must be qualified names, values texts"
    return _labels_fault("metadata.labels", meta.get("labels"))


def _texts(notes: object) -> bool:
    return notes is None or (
        isinstance(notes, dict) and all(isinstance(v, str) for v in notes.values())
    )


def _labels_fault(where: str, labels: object) -> Fault:
    if not _texts(labels):
        return 422, f"{where}: Invalid value: must be texts"
    values = labels.values() if isinstance(labels, dict) else ()
    if not all(_VALUE.fullmatch(value) for value in values):
        return 422, f"{where}: Invalid value: a valid label must be alphanumeric, '-', '_' or '.'"
    return None


def _service_fault(spec: Object) -> Fault:
    ports = spec.get("ports") or ()
    if not ports:
        return 422, "spec.ports: Required value"
    if not all(isinstance(p.get("port"), int) and 0 < p["port"] < 65536 for p in ports):
        return 422, "spec.ports[0].port: Invalid value: must be between 1 and 65535, inclusive"
    return _labels_fault("spec.selector", spec.get("selector"))


def _deployment_fault(old: Object | None, spec: Object) -> Fault:
    template, selector = spec.get("template") or {}, spec.get("selector") or {}
    if not selector.get("matchLabels"):
        return 422, "spec.selector: Required value"
    labels = (template.get("metadata") or {}).get("labels") or {}
    if any(labels.get(k) != v for k, v in selector["matchLabels"].items()):
        return 422, "spec.template.metadata.labels: `selector` does not match"
    if old is not None and old["spec"]["selector"] != selector:
        return 422, "spec.selector: Invalid value: field is immutable"
    if not isinstance(spec["replicas"], int) or spec["replicas"] < 0:
        return 422, "spec.replicas: Invalid value: must be greater than or equal to 0"
    return (
        _labels_fault("spec.template.metadata.labels", labels)
        or _pod_fault(template.get("spec") or {})
        or _strategy_fault(spec["strategy"])
    )


def _pod_fault(pod: Object) -> Fault:
    containers = pod.get("containers") or ()
    if not containers:
        return 422, "spec.template.spec.containers: Required value"
    names = [c.get("name") for c in containers]
    if not all(names) or not all(c.get("image") for c in containers):
        return 422, "spec.template.spec.containers[0]: name, image: Required value"
    if len(set(names)) < len(names):
        return 422, "spec.template.spec.containers: name: Duplicate value"
    values = [e.get("value") for c in containers for e in c.get("env") or ()]
    if not all(v is None or isinstance(v, str) for v in values):
        return 422, "spec.template.spec.containers[0].env: Invalid value: must be texts"
    return None


def _strategy_fault(strategy: Object) -> Fault:
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "Recreate":
        forbidden = "spec.strategy.rollingUpdate: Forbidden: may not be specified with Recreate"
        return (422, forbidden) if rolling else None
    surge, short = ((rolling or {}).get(k) for k in ("maxSurge", "maxUnavailable"))
    if surge in (0, "0%") and short in (0, "0%"):
        return 422, "spec.strategy.rollingUpdate.maxUnavailable: may not be 0 when `maxSurge` is 0"
    if isinstance(short, str) and int(short.removesuffix("%")) > 100:
        return 422, "spec.strategy.rollingUpdate.maxUnavailable: must not be greater than 100%"
    return None
