"""The step ``kserve``: sends all traffic of an InferenceService to the revision before.

Only what is still a canary: once it is promoted, KServe keeps the revision before in its status
alone, and nothing there can be pointed to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from rollback.kubernetes.answers import KubernetesObject
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.kubernetes.move import ClusterSettings, Connect, GuardedMove, Reading, Right
from rollback.kubernetes.workload import Settling

INFERENCE_SERVICES: Final = Resource("serving.kserve.io/v1beta1", "inferenceservices")


@dataclass(frozen=True, slots=True)
class KserveSettings:
    """A step of type ``kserve``."""

    type: ClassVar[str] = "kserve"

    name: str
    """The InferenceService."""

    storage_uri: str
    """What the canary's ``storageUri`` looks like, with ``{version}`` in it; so that what is
    taken off the traffic is the version that is to be left, and nothing else."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings, metadata={"flat": True})
    """Where it is."""

    def build(self, *, connect: Connect | None = None, **_others: object) -> GuardedMove:
        """Return the actuator."""
        kind = CanaryPercent(self.storage_uri)
        return GuardedMove(self.type, self.name, kind, self.cluster, connect)


@dataclass(frozen=True, slots=True)
class CanaryPercent:
    """``canaryTrafficPercent`` of the predictor, or ``trafficPercent`` in raw mode's list."""

    storage_uri: str
    resource: Resource = INFERENCE_SERVICES
    subresource: str = ""

    def rights(self, name: str) -> Sequence[Right]:  # noqa: ARG002 - the object is enough
        """Return nothing more."""
        return ()

    async def read(
        self,
        cluster: KubernetesClient,  # noqa: ARG002 - the object says it all
        found: KubernetesObject,
        from_version: str,
        to_version: str,  # noqa: ARG002 - KServe knows one way back only
    ) -> Reading:
        """Tell which share the canary of the version that is left has."""
        spec = found["spec"]
        for index, entry in enumerate(spec.get("canary") or ()):
            if self._version(entry.get("predictor") or {}) == from_version:
                path = f"/spec/canary/{index}/trafficPercent"
                return _reading(path, entry.get("trafficPercent"), from_version)
        version = self._version(spec["predictor"])
        if version != from_version:
            return Reading("elsewhere", f"its canary is version {version}, not {from_version}")
        percent = spec["predictor"].get("canaryTrafficPercent")
        if percent is None:
            words = f"version {version} is promoted: there is no canary to take off the traffic"
            return Reading("elsewhere", words)
        status = ((found.get("status") or {}).get("components") or {}).get("predictor") or {}
        reading = _reading("/spec/predictor/canaryTrafficPercent", percent, from_version)
        rolled_out = status.get("latestRolledoutRevision")
        if reading.place == "from" and rolled_out in (None, "", status.get("latestReadyRevision")):
            # kserve/kserve#1968: its books of the revision before have been wrong.
            none = "it has no revision before the canary to send the traffic to"
            return Reading("from", reading.words, refusals=(none,))
        return reading

    async def settle(
        self,
        cluster: KubernetesClient,  # noqa: ARG002 - the object says it all
        found: KubernetesObject,
        to_version: str,  # noqa: ARG002
    ) -> Settling:
        """Tell whether it is ready, and its routes."""
        status = found.get("status") or {}
        if int(status.get("observedGeneration", 0)) < int(found["metadata"]["generation"]):
            return Settling("waiting", "its controller has not seen the change yet")
        conditions = {c.get("type"): c for c in status.get("conditions") or ()}
        for kind in ("Ready", "RoutesReady"):
            condition = conditions.get(kind)
            if condition is not None and condition.get("status") != "True":
                why = condition.get("message") or condition.get("reason") or "not yet"
                return Settling("waiting", f"{kind} is not true: {why}")
        if "Ready" not in conditions:
            return Settling("waiting", "it does not say whether it is ready")
        return Settling("done", "it is ready")

    def _version(self, predictor: Mapping[str, Any]) -> str | None:
        before, _, after = self.storage_uri.partition("{version}")
        pattern = re.compile(rf"{re.escape(before)}([^/]+){re.escape(after)}")
        parts = (part for part in predictor.values() if isinstance(part, Mapping))
        for uri in (part.get("storageUri") for part in parts):
            named = pattern.fullmatch(uri) if isinstance(uri, str) else None
            if named is not None:
                return named[1]
        return None


def _reading(path: str, percent: int | None, version: str) -> Reading:
    words = f"the canary of version {version} has {percent or 0} % of the traffic"
    if not percent:
        return Reading("to", words)
    operations = (
        {"op": "test", "path": path, "value": percent},
        {"op": "replace", "path": path, "value": 0},
    )
    return Reading("from", words, operations)
