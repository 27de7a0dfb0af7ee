"""The step ``argo-rollout``: asks an Argo Rollout to go back to the template of the target.

Kedge touches neither its ReplicaSets nor its Services. The template is put back rather than the
update aborted: an aborted Rollout still names the bad version and tries it again, and an abort
without an update under way has scaled the stable set down (argoproj/argo-rollouts#1292). A Rollout
whose template is that of its stable set goes back at once, without the steps of its strategy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from rollback.actuators.kubernetes_deployment import REPLICASETS, owned_replicasets, put_back
from rollback.kubernetes.answers import KubernetesObject
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.kubernetes.move import ClusterSettings, Connect, GuardedMove, Reading, Right
from rollback.kubernetes.workload import (
    VERSION_KEY,
    Settling,
    VersionMarks,
    generation,
    last_served,
)

ROLLOUTS: Final = Resource("argoproj.io/v1alpha1", "rollouts")
_HASH: Final = "rollouts-pod-template-hash"
_REVISION: Final = "rollout.argoproj.io/revision"


@dataclass(frozen=True, slots=True)
class ArgoRolloutSettings:
    """A step of type ``argo-rollout``."""

    type: ClassVar[str] = "argo-rollout"

    name: str
    """The Rollout."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings, metadata={"flat": True})
    """Where it is."""

    version_key: str = VERSION_KEY
    """The label or annotation of its pod template that names the model version."""

    version_env: str = "MODEL_VERSION"
    """Without that label: the environment variable that does."""

    version_image: str = ""
    """Without those: the image, with ``{version}`` in it."""

    def build(
        self, *, model: str, connect: Connect | None = None, **_others: object
    ) -> GuardedMove:
        """Return the actuator; `model` is the registered model."""
        marks = VersionMarks(model, self.version_key, self.version_env, self.version_image)
        return GuardedMove(self.type, self.name, RolloutTemplate(marks), self.cluster, connect)


@dataclass(frozen=True, slots=True)
class RolloutTemplate:
    """The pod template of a Rollout, and those that its ReplicaSets keep."""

    marks: VersionMarks
    resource: Resource = ROLLOUTS
    subresource: str = ""

    def rights(self, name: str) -> Sequence[Right]:  # noqa: ARG002 - lists cannot be narrowed
        """Return that ReplicaSets are listed."""
        return (Right("list", REPLICASETS),)

    async def read(
        self, cluster: KubernetesClient, found: KubernetesObject, from_version: str, to_version: str
    ) -> Reading:
        """Tell which version the template asks for, and find that of the target."""
        spec = found["spec"]
        if "template" not in spec:
            words = "it takes its template from another object (workloadRef), which is its own way"
            return Reading("elsewhere", words)
        version = self.marks.version(spec["template"])
        words = f"the template asks for version {version or 'unknown'}"
        if version == to_version:
            return Reading("to", words)
        if version != from_version:
            return Reading("elsewhere", f"{words}, not {from_version}")
        if spec.get("paused"):
            return Reading("from", words, refusals=("it is paused: somebody is at work on it",))
        sets = await owned_replicasets(cluster, found)
        target = last_served(sets, to_version, self.marks, _REVISION)
        if target is None:
            gone = f"no ReplicaSet of version {to_version} is kept"
            return Reading("from", words, refusals=(gone,))
        return Reading("from", words, put_back(target, _HASH))

    async def settle(
        self,
        cluster: KubernetesClient,  # noqa: ARG002 - the object says it all
        found: KubernetesObject,
        to_version: str,  # noqa: ARG002
    ) -> Settling:
        """Tell what the Rollout says of itself, once it has seen the change."""
        status = found.get("status") or {}
        # A text, unlike everywhere else.
        if str(status.get("observedGeneration", "")) != str(generation(found)):
            return Settling("waiting", "its controller has not seen the change yet")
        phase, message = status.get("phase", ""), status.get("message", "")
        if phase == "Healthy" and status.get("stableRS") == status.get("currentPodHash"):
            return Settling("done", "it is healthy, and the target is its stable set")
        if phase == "Degraded" or status.get("abort"):
            return Settling("stuck", f"it is {phase or 'aborted'}: {message}")
        return Settling("waiting", f"it is {phase or 'silent'}: {message}")
