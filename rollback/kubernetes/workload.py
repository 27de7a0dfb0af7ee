"""What objects of Kubernetes say of themselves: version, owner, progress. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal

from rollback.kubernetes.answers import KubernetesObject

#: The label or annotation of a pod template that names the model version it serves.
VERSION_KEY: Final = "kedge.io/version"
#: Anybody may set it on what a step moves, to stop that.
HOLD_KEY: Final = "kedge.io/hold"
#: Which rollback has moved the object last.
INTENT_KEY: Final = "kedge.io/rollback-intent"
HASH_LABEL: Final = "pod-template-hash"
REVISION_KEY: Final = "deployment.kubernetes.io/revision"

_FLUX_KEYS: Final = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")
_FLUX_OFF: Final = "kustomize.toolkit.fluxcd.io/reconcile"
_ARGO_CD_KEY: Final = "argocd.argoproj.io/tracking-id"
_GITOPS_MANAGERS: Final = ("argocd", "kustomize-controller", "helm-controller")


@dataclass(frozen=True, slots=True)
class VersionMarks:
    """Where a pod template says which model version it serves, looked for in this order.

    Parameters
    ----------
    model
        The registered model, for ``models:/MODEL/VERSION`` in environment and arguments.
    key
        A label, or else an annotation, of the template.
    env
        An environment variable that holds the version.
    image
        An image with ``{version}`` in it, or empty.
    """

    model: str
    key: str = VERSION_KEY
    env: str = "MODEL_VERSION"
    image: str = ""

    def version(self, template: Mapping[str, Any]) -> str | None:
        """Return the version of a pod template, or of a pod; None if it names none, or two."""
        meta = template.get("metadata") or {}
        for notes in (meta.get("labels") or {}, meta.get("annotations") or {}):
            if self.key in notes:
                return str(notes[self.key])
        found = set(self._in_containers(template.get("spec") or {}))
        return found.pop() if len(found) == 1 else None

    def _in_containers(self, spec: Mapping[str, Any]) -> Iterator[str]:
        uri = re.compile(rf"models:/{re.escape(self.model)}/(\d+)(?!\d)")
        before, _, after = self.image.partition("{version}")
        image = re.compile(rf"{re.escape(before)}(.+){re.escape(after)}")
        for container in spec.get("containers") or ():
            env = [e for e in container.get("env") or () if e.get("value") is not None]
            yield from (e["value"] for e in env if e.get("name") == self.env)
            words = [e["value"] for e in env]
            words += [*(container.get("command") or ()), *(container.get("args") or ())]
            for word in words:
                yield from uri.findall(word)
            named = image.fullmatch(container.get("image", "")) if self.image else None
            if named is not None:
                yield named[1]


def notes_of(found: KubernetesObject) -> Mapping[str, str]:
    """Return the annotations of an object."""
    return (found.get("metadata") or {}).get("annotations") or {}


def uid(found: KubernetesObject) -> str:
    """Return what tells an object from another one of its name."""
    return str(found["metadata"]["uid"])


def generation(found: KubernetesObject) -> int:
    """Return how often the spec was changed."""
    return int(found["metadata"].get("generation", 0))


def without_hash(template: Mapping[str, Any], label: str = HASH_LABEL) -> dict[str, Any]:
    """Return a ReplicaSet's template as its owner had it, without the label of its hash."""
    bare = deepcopy(dict(template))
    ((bare.get("metadata") or {}).get("labels") or {}).pop(label, None)
    return bare


def controlled_by(found: KubernetesObject, owner_uid: str) -> bool:
    """Return whether an object belongs to the controller of that uid."""
    references = found["metadata"].get("ownerReferences") or ()
    return any(r.get("controller") and r.get("uid") == owner_uid for r in references)


def last_served(
    replicasets: Sequence[KubernetesObject],
    version: str,
    marks: VersionMarks,
    revision_key: str = REVISION_KEY,
) -> KubernetesObject | None:
    """Return the ReplicaSet that served a version last; None if none is kept.

    It is found by what its template says. Where several templates have served the version, the
    revision decides between them, and between them only: the controller gives a set that is
    used again a new number, so "the one before" may be the bad one (kubernetes/website#6921).
    """
    fitting = [r for r in replicasets if marks.version(r["spec"]["template"]) == version]
    return max(fitting, key=lambda r: _number(notes_of(r).get(revision_key)), default=None)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def gitops_owner(found: KubernetesObject) -> str | None:
    """Return which GitOps controller would put an object back, as far as the object says.

    Helm alone puts nothing back before its next upgrade, and counts as no owner.
    """
    meta = found["metadata"]
    notes, labels = notes_of(found), meta.get("labels") or {}
    if notes.get(_FLUX_OFF, labels.get(_FLUX_OFF)) == "disabled":
        return None
    if _ARGO_CD_KEY in notes:
        return f"Argo CD ({notes[_ARGO_CD_KEY]})"
    for key in _FLUX_KEYS:
        if key in labels:
            return f"Flux ({key}: {labels[key]})"
    for entry in meta.get("managedFields") or ():
        manager = str(entry.get("manager", ""))
        if manager.startswith(_GITOPS_MANAGERS):
            return f"{manager} (managedFields)"
    return None


@dataclass(frozen=True, slots=True)
class Settling:
    """How far what a change has set in motion is.

    Parameters
    ----------
    state
        ``done``; ``waiting``, it may still come; ``stuck``, it will not by itself.
    """

    state: Literal["done", "waiting", "stuck"]
    words: str


def rollout(deployment: KubernetesObject) -> Settling:
    """Return how far a Deployment's rollout is: the questions of ``kubectl rollout status``."""
    status = deployment.get("status") or {}
    wanted = int(deployment["spec"].get("replicas", 1))
    if int(status.get("observedGeneration", 0)) < generation(deployment):
        return Settling("waiting", "its controller has not seen the change yet")
    for condition in status.get("conditions") or ():
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return Settling(
                "stuck", f"no progress: {condition.get('message', 'deadline exceeded')}"
            )
    if no_room := no_room_for_pods(deployment):
        return Settling("stuck", no_room)
    return _counted(status, wanted)


def no_room_for_pods(deployment: KubernetesObject) -> str | None:
    """Return why the cluster refuses pods of a Deployment (a quota), if it does."""
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"there is no room for pods: {condition.get('message', 'quota')}"
    return None


def _counted(status: Mapping[str, Any], wanted: int) -> Settling:
    updated = int(status.get("updatedReplicas", 0))
    surplus = int(status.get("replicas", 0)) - updated
    available = int(status.get("availableReplicas", 0))
    if updated < wanted:
        return Settling("waiting", f"{updated} of {wanted} pods are of the target")
    if surplus > 0:
        return Settling("waiting", f"{surplus} pods of before are still there")
    if available < updated:
        return Settling("waiting", f"{available} of {updated} pods are available")
    return Settling("done", f"{updated} of {wanted} pods are of the target and available")


def ready(pod: KubernetesObject) -> bool:
    """Return whether a pod takes traffic, and is not about to end."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
