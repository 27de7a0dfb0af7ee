"""The step ``kubernetes-service``: points a Service's selector back to the pods of the target.

Blue-green: both sets of pods are up, and one label of the selector says which of them serves. The
pods of the target are counted before, and the EndpointSlices are read after. Nothing is scaled.
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
    Reading,
    Right,
    escaped,
)
from rollback.kubernetes.workload import VERSION_KEY, Settling, VersionMarks, notes_of, ready

SERVICES: Final = Resource("v1", "services")
PODS: Final = Resource("v1", "pods")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io/v1", "endpointslices")
_ROLLOUTS_KEY: Final = "argo-rollouts.argoproj.io/managed-by-rollouts"


@dataclass(frozen=True, slots=True)
class KubernetesServiceSettings:
    """A step of type ``kubernetes-service``."""

    type: ClassVar[str] = "kubernetes-service"

    name: str
    """The Service."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings, metadata={"flat": True})
    """Where it is."""

    selector_key: str = VERSION_KEY
    """The key of its selector that is switched: the version itself, or a word such as ``blue``."""

    version_key: str = VERSION_KEY
    """The label or annotation of the pods that names the model version."""

    version_env: str = "MODEL_VERSION"
    """Without that label: the environment variable that does."""

    version_image: str = ""
    """Without those: the image, with ``{version}`` in it."""

    ready_min: int | None = None
    """Pods of the target that must be ready before the switch; by default as many as serve now."""

    def build(
        self, *, model: str, connect: Connect | None = None, **_others: object
    ) -> GuardedMove:
        """Return the actuator; `model` is the registered model."""
        marks = VersionMarks(model, self.version_key, self.version_env, self.version_image)
        kind = ServiceSelector(marks, self.selector_key, self.ready_min)
        return GuardedMove(self.type, self.name, kind, self.cluster, connect)


@dataclass(frozen=True, slots=True)
class ServiceSelector:
    """One key of a Service's selector, and the pods that its other keys pick."""

    marks: VersionMarks
    key: str
    ready_min: int | None = None
    resource: Resource = SERVICES
    subresource: str = ""

    def rights(self, name: str) -> Sequence[Right]:  # noqa: ARG002 - lists cannot be narrowed
        """Return that pods and EndpointSlices are listed."""
        return (Right("list", PODS), Right("list", ENDPOINT_SLICES))

    async def read(
        self, cluster: KubernetesClient, found: KubernetesObject, from_version: str, to_version: str
    ) -> Reading:
        """Tell which version the selected pods serve, and where the pods of the target are."""
        selector = found["spec"].get("selector") or {}
        value = selector.get(self.key)
        if value is None:
            return Reading("elsewhere", f"its selector has no key {self.key}")
        pods = await self._pods(cluster, found)
        version = self._version(pods, value)
        words = f"its selector {self.key}={value} picks version {version or 'unknown'}"
        if version == to_version:
            return Reading("to", words)
        if version != from_version:
            return Reading("elsewhere", f"{words}, not {from_version}")
        if _ROLLOUTS_KEY in notes_of(found):
            owner = notes_of(found)[_ROLLOUTS_KEY]
            return Reading("from", words, refusals=(f"the Rollout {owner} switches it",))
        return self._plan(words, pods, value, to_version)

    async def settle(
        self,
        cluster: KubernetesClient,
        found: KubernetesObject,
        to_version: str,  # noqa: ARG002 - whether the selector is at the target was read
    ) -> Settling:
        """Tell whether the EndpointSlices list the pods that the selector picks, and no other."""
        name, value = found["metadata"]["name"], found["spec"]["selector"][self.key]
        picked = [p for p in await self._pods(cluster, found) if _label(p, self.key) == value]
        wanted = {p["metadata"]["name"] for p in picked if ready(p)}
        listed = await ready_endpoints(cluster, found["metadata"]["namespace"], name)
        if not wanted:
            return Settling("waiting", "no pod of the target is ready any more")
        if listed != wanted:
            missing, stale = len(wanted - listed), len(listed - wanted)
            words = f"endpoints: {missing} of the target missing, {stale} of before still there"
            return Settling("waiting", words)
        return Settling("done", f"{len(wanted)} pods of the target are its endpoints")

    def _plan(
        self, words: str, pods: Sequence[KubernetesObject], value: str, to_version: str
    ) -> Reading:
        serving = sum(ready(p) for p in pods if _label(p, self.key) == value)
        targets = [p for p in pods if self.marks.version(p) == to_version and ready(p)]
        values = {_label(p, self.key) for p in targets} - {value, None}
        needed = max(1, serving) if self.ready_min is None else self.ready_min
        if len(values) > 1:
            many = (
                f"pods of version {to_version} have several {self.key}: {sorted(map(str, values))}"
            )
            return Reading("from", words, refusals=(many,))
        if not values or len(targets) < needed:
            few = f"{len(targets)} of {needed} pods of version {to_version} are ready"
            return Reading("from", words, lacking=(few,))
        path = f"/spec/selector/{escaped(self.key)}"
        operations = (
            {"op": "test", "path": path, "value": value},
            {"op": "replace", "path": path, "value": values.pop()},
        )
        return Reading("from", words, operations)

    def _version(self, pods: Sequence[KubernetesObject], value: str) -> str | None:
        if self.key == self.marks.key:
            return value
        found = {self.marks.version(p) for p in pods if _label(p, self.key) == value}
        return found.pop() if len(found) == 1 else None

    async def _pods(
        self, cluster: KubernetesClient, service: KubernetesObject
    ) -> tuple[KubernetesObject, ...]:
        rest = {k: v for k, v in service["spec"]["selector"].items() if k != self.key}
        labels = ",".join(f"{k}={v}" for k, v in sorted(rest.items())) or self.key
        return await cluster.list(PODS, service["metadata"]["namespace"], labels=labels)


def _label(pod: KubernetesObject, key: str) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(key)


async def ready_endpoints(cluster: KubernetesClient, namespace: str, service: str) -> set[str]:
    """Return what takes traffic behind a Service: names of pods, addresses of what is no pod."""
    labels = f"kubernetes.io/service-name={service}"
    slices = await cluster.list(ENDPOINT_SLICES, namespace, labels=labels)
    endpoints = [e for s in slices for e in s.get("endpoints") or ()]
    # Absent means unknown, which the API wants to be read as ready.
    takers = [e for e in endpoints if (e.get("conditions") or {}).get("ready") is not False]
    return {(e.get("targetRef") or {}).get("name") or e["addresses"][0] for e in takers}
