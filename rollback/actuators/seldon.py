"""The step ``seldon``: an Experiment of Seldon Core 2 gives all its traffic to the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from rollback.actuators.traffic_weights import Share, shift
from rollback.kubernetes.answers import KubernetesObject
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.kubernetes.move import ClusterSettings, Connect, GuardedMove, Reading, Right
from rollback.kubernetes.workload import Settling

EXPERIMENTS: Final = Resource("mlops.seldon.io/v1alpha1", "experiments")


@dataclass(frozen=True, slots=True)
class SeldonSettings:
    """A step of type ``seldon``."""

    type: ClassVar[str] = "seldon"

    name: str
    """The Experiment."""

    from_candidate: str
    """The candidate that loses its traffic; ``{version}`` in it is the version that is left."""

    to_candidate: str
    """The candidate that takes it; ``{version}`` in it is the target."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings, metadata={"flat": True})
    """Where it is."""

    def build(self, *, connect: Connect | None = None, **_others: object) -> GuardedMove:
        """Return the actuator."""
        kind = ExperimentWeights(self.from_candidate, self.to_candidate)
        return GuardedMove(self.type, self.name, kind, self.cluster, connect)


@dataclass(frozen=True, slots=True)
class ExperimentWeights:
    """The weights of an Experiment's candidates, and its default."""

    from_candidate: str
    to_candidate: str
    resource: Resource = EXPERIMENTS
    subresource: str = ""

    def rights(self, name: str) -> Sequence[Right]:  # noqa: ARG002 - the object is enough
        """Return nothing more."""
        return ()

    async def read(
        self,
        cluster: KubernetesClient,  # noqa: ARG002 - the object says it all
        found: KubernetesObject,
        from_version: str,
        to_version: str,
    ) -> Reading:
        """Tell where the traffic goes."""
        spec = found["spec"]
        from_name = self.from_candidate.replace("{version}", from_version)
        to_name = self.to_candidate.replace("{version}", to_version)
        shares = [
            Share(path, f"{path}/name", one["name"], int(one.get("weight", 0)), "weight" in one)
            for path, one in (
                (f"/spec/candidates/{i}", one) for i, one in enumerate(spec.get("candidates") or ())
            )
        ]
        reading = shift([shares], from_name, to_name)
        if reading.place != "from" or spec.get("default") != from_name:
            return reading
        default = {"op": "replace", "path": "/spec/default", "value": to_name}
        return replace(reading, operations=(*reading.operations, default))

    async def settle(
        self,
        cluster: KubernetesClient,  # noqa: ARG002 - the object says it all
        found: KubernetesObject,
        to_version: str,  # noqa: ARG002
    ) -> Settling:
        """Tell whether the Experiment and its candidates are ready.

        SeldonIO/seldon-core#5181: routes of before may stay. The verification sees the traffic.
        """
        conditions = {c.get("type"): c for c in (found.get("status") or {}).get("conditions") or ()}
        for kind in ("ExperimentReady", "CandidatesReady"):
            condition = conditions.get(kind) or {}
            if condition.get("status") != "True":
                why = condition.get("message") or condition.get("reason") or "not yet"
                return Settling("waiting", f"{kind} is not true: {why}")
        return Settling("done", "the Experiment and its candidates are ready")
