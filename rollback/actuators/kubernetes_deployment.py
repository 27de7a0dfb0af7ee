"""The step ``kubernetes-deployment``: puts back the pod template that has served a version.

The template is found among the ReplicaSets that the Deployment keeps, by the version that it
names, never by "the one before". Only the template is put back; replicas, strategy and
annotations stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from rollback.kubernetes.answers import KubernetesObject
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.kubernetes.move import (
    ClusterSettings,
    Connect,
    GuardedMove,
    Operation,
    Reading,
    Right,
)
from rollback.kubernetes.workload import (
    HASH_LABEL,
    VERSION_KEY,
    Settling,
    VersionMarks,
    controlled_by,
    last_served,
    no_room_for_pods,
    rollout,
    uid,
    without_hash,
)

DEPLOYMENTS: Final = Resource("apps/v1", "deployments")
REPLICASETS: Final = Resource("apps/v1", "replicasets")


@dataclass(frozen=True, slots=True)
class KubernetesDeploymentSettings:
    """A step of type ``kubernetes-deployment``."""

    type: ClassVar[str] = "kubernetes-deployment"

    name: str
    """The Deployment."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings, metadata={"flat": True})
    """Where it is."""

    version_key: str = VERSION_KEY
    """The label or annotation of its pod template that names the model version."""

    version_env: str = "MODEL_VERSION"
    """Without that label: the environment variable that does. ``models:/MODEL/VERSION`` in an
    environment variable or an argument is found in any case."""

    version_image: str = ""
    """Without those: the image, with ``{version}`` in it."""

    recreate: bool = False
    """Whether to act though the strategy is ``Recreate``, which takes every pod down before one
    of the target is up."""

    def build(
        self, *, model: str, connect: Connect | None = None, **_others: object
    ) -> GuardedMove:
        """Return the actuator; `model` is the registered model."""
        marks = VersionMarks(model, self.version_key, self.version_env, self.version_image)
        kind = DeploymentTemplate(marks, recreate=self.recreate)
        return GuardedMove(self.type, self.name, kind, self.cluster, connect)


@dataclass(frozen=True, slots=True)
class DeploymentTemplate:
    """The pod template of a Deployment, and those that its ReplicaSets keep."""

    marks: VersionMarks
    recreate: bool = False
    resource: Resource = DEPLOYMENTS
    subresource: str = ""

    def rights(self, name: str) -> Sequence[Right]:  # noqa: ARG002 - lists cannot be narrowed
        """Return that ReplicaSets are listed."""
        return (Right("list", REPLICASETS),)

    async def read(
        self, cluster: KubernetesClient, found: KubernetesObject, from_version: str, to_version: str
    ) -> Reading:
        """Tell which version the template serves, and find that of the target."""
        version = self.marks.version(found["spec"]["template"])
        if version == to_version:
            return Reading("to", f"the template serves version {version}")
        if version is None:
            words = (
                "the pod template does not say which model version it serves: give it the label "
                f"{self.marks.key}, or set version_env or version_image"
            )
            return Reading("elsewhere", words)
        if version != from_version:
            words = f"the template serves version {version}, not {from_version}"
            return Reading("elsewhere", words)
        words = f"the template serves version {version}"
        if refusals := self._refusals(found):
            return Reading("from", words, refusals=refusals)
        target = last_served(await owned_replicasets(cluster, found), to_version, self.marks)
        if target is None:
            kept = found["spec"].get("revisionHistoryLimit", 10)
            gone = f"no ReplicaSet of version {to_version} is kept (revisionHistoryLimit {kept})"
            return Reading("from", words, refusals=(gone,))
        return Reading("from", words, put_back(target))

    async def settle(
        self,
        cluster: KubernetesClient,  # noqa: ARG002 - the object says it all
        found: KubernetesObject,
        to_version: str,  # noqa: ARG002
    ) -> Settling:
        """Tell how far the rollout is."""
        return rollout(found)

    def _refusals(self, found: KubernetesObject) -> tuple[str, ...]:
        spec = found["spec"]
        refusals: list[str] = []
        if spec.get("paused"):
            refusals.append("it is paused: somebody is at work on it")
        if spec.get("replicas", 1) == 0:
            refusals.append("it is scaled to zero: there is nothing to bring back")
        strategy = spec.get("strategy") or {}
        unavailable = (strategy.get("rollingUpdate") or {}).get("maxUnavailable")
        if not self.recreate and (strategy.get("type") == "Recreate" or unavailable == "100%"):
            refusals.append(
                "its strategy takes every pod down before one of the target is up: use "
                "RollingUpdate, or set recreate = true"
            )
        if no_room := no_room_for_pods(found):
            refusals.append(no_room)
        return tuple(refusals)


async def owned_replicasets(
    cluster: KubernetesClient, owner: KubernetesObject
) -> tuple[KubernetesObject, ...]:
    """Return the ReplicaSets that a Deployment, or a Rollout, controls."""
    labels = owner["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    listed = await cluster.list(REPLICASETS, owner["metadata"]["namespace"], labels=selector)
    return tuple(r for r in listed if controlled_by(r, uid(owner)))


def put_back(replicaset: KubernetesObject, hash_label: str = HASH_LABEL) -> tuple[Operation, ...]:
    """Return the patch that makes a ReplicaSet's template its owner's again."""
    labels = replicaset["metadata"].get("labels") or {}
    identity = f"{uid(replicaset)}/{labels.get(hash_label, '')}"
    template = without_hash(replicaset["spec"]["template"], hash_label)
    return (
        {"op": "replace", "path": "/spec/template", "value": template},
        # Beside the intent, so that what was put back can be told from what only looks like it.
        {"op": "add", "path": "/metadata/annotations/kedge.io~1rollback-target", "value": identity},
    )
