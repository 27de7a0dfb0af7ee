"""The steps ``gateway-httproute`` and ``istio-virtualservice``: a canary's weight goes to zero.

At once, and capacity first: what takes over must have its endpoints before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, TypeAlias

from rollback.actuators.kubernetes_service import ENDPOINT_SLICES, ready_endpoints
from rollback.actuators.traffic_weights import Share, shift
from rollback.kubernetes.answers import KubernetesObject
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.kubernetes.move import ClusterSettings, Connect, GuardedMove, Reading, Right
from rollback.kubernetes.workload import Settling, generation

#: Of a route: the backends of each of its rules.
Rules: TypeAlias = Callable[[KubernetesObject], Sequence[Sequence[Share]]]

HTTP_ROUTES: Final = "httproutes"
VIRTUAL_SERVICES: Final = "virtualservices"
#: What a backend has if its entry does not say, after the Gateway API.
_GATEWAY_WEIGHT: Final = 1


@dataclass(frozen=True, slots=True)
class GatewayHttprouteSettings:
    """A step of type ``gateway-httproute``."""

    type: ClassVar[str] = "gateway-httproute"

    name: str
    """The HTTPRoute."""

    from_backend: str
    """The Service that loses its traffic; ``{version}`` in it is the version that is left."""

    to_backend: str
    """The Service that takes it; ``{version}`` in it is the target."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings, metadata={"flat": True})
    """Where they are."""

    endpoints_min: int | None = None
    """Ready endpoints that the taking Service must have; by default as many as the other has."""

    api_version: str = "gateway.networking.k8s.io/v1"
    """Version of the API that the cluster serves."""

    def build(self, *, connect: Connect | None = None, **_others: object) -> GuardedMove:
        """Return the actuator."""
        resource = Resource(self.api_version, HTTP_ROUTES)
        ends = (self.from_backend, self.to_backend)
        kind = WeightedRoute(resource, _httproute_rules, *ends, self.endpoints_min, _accepted)
        return GuardedMove(self.type, self.name, kind, self.cluster, connect)


@dataclass(frozen=True, slots=True)
class IstioVirtualserviceSettings:
    """A step of type ``istio-virtualservice``."""

    type: ClassVar[str] = "istio-virtualservice"

    name: str
    """The VirtualService."""

    from_backend: str
    """The destination that loses its traffic, ``HOST`` or ``HOST:SUBSET`` as the VirtualService
    writes them; ``{version}`` in it is the version that is left."""

    to_backend: str
    """The destination that takes it; ``{version}`` in it is the target."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings, metadata={"flat": True})
    """Where they are."""

    endpoints_min: int | None = None
    """Ready endpoints that the taking Service must have; by default as many as the other has.
    Of a subset they cannot be told, and those of its Service are counted."""

    api_version: str = "networking.istio.io/v1"
    """Version of the API that the cluster serves; ``networking.istio.io/v1beta1`` before 1.22."""

    def build(self, *, connect: Connect | None = None, **_others: object) -> GuardedMove:
        """Return the actuator."""
        resource = Resource(self.api_version, VIRTUAL_SERVICES)
        ends = (self.from_backend, self.to_backend)
        kind = WeightedRoute(resource, _istio_rules, *ends, self.endpoints_min, _taken_as_read)
        return GuardedMove(self.type, self.name, kind, self.cluster, connect)


@dataclass(frozen=True, slots=True)
class WeightedRoute:
    """The weights of two backends in a route."""

    resource: Resource
    rules: Rules
    from_backend: str
    to_backend: str
    endpoints_min: int | None
    accepted: Callable[[KubernetesObject], Settling]
    subresource: str = ""

    def rights(self, name: str) -> Sequence[Right]:  # noqa: ARG002 - lists cannot be narrowed
        """Return that EndpointSlices are listed."""
        return (Right("list", ENDPOINT_SLICES),)

    async def read(
        self, cluster: KubernetesClient, found: KubernetesObject, from_version: str, to_version: str
    ) -> Reading:
        """Tell where the traffic goes, and whether what is to take it is up."""
        from_name = self.from_backend.replace("{version}", from_version)
        to_name = self.to_backend.replace("{version}", to_version)
        reading = shift(self.rules(found), from_name, to_name)
        if reading.place != "from" or reading.refusals:
            return reading
        namespace = found["metadata"]["namespace"]
        serving, taking = [
            len(await ready_endpoints(cluster, *_service(name, namespace)))
            for name in (from_name, to_name)
        ]
        needed = max(1, serving) if self.endpoints_min is None else self.endpoints_min
        if taking >= needed:
            return reading
        return replace(reading, lacking=(f"{to_name} has {taking} of {needed} ready endpoints",))

    async def settle(
        self,
        cluster: KubernetesClient,  # noqa: ARG002 - the object says it all
        found: KubernetesObject,
        to_version: str,  # noqa: ARG002
    ) -> Settling:
        """Tell whether the change was taken up."""
        return self.accepted(found)


def _service(backend: str, namespace: str) -> tuple[str, str]:
    """Return namespace and name of a backend's Service: ``svc``, ``svc.ns.svc.…``, ``…:subset``."""
    parts = backend.partition(":")[0].split(".")
    return (parts[1] if len(parts) > 1 else namespace), parts[0]


def _httproute_rules(route: KubernetesObject) -> list[list[Share]]:
    namespace = route["metadata"]["namespace"]
    rules: list[list[Share]] = []
    for i, rule in enumerate(route["spec"].get("rules") or ()):
        shares: list[Share] = []
        for j, ref in enumerate(rule.get("backendRefs") or ()):
            here = ref.get("kind", "Service") == "Service" and not ref.get("group")
            if here and ref.get("namespace", namespace) == namespace:
                path = f"/spec/rules/{i}/backendRefs/{j}"
                weight = ref.get("weight", _GATEWAY_WEIGHT)
                shares.append(Share(path, f"{path}/name", ref["name"], weight, "weight" in ref))
        rules.append(shares)
    return rules


def _istio_rules(route: KubernetesObject) -> list[list[Share]]:
    rules: list[list[Share]] = []
    for i, rule in enumerate(route["spec"].get("http") or ()):
        entries = rule.get("route") or ()
        shares: list[Share] = []
        for j, entry in enumerate(entries):
            destination = entry.get("destination") or {}
            subset = destination.get("subset")
            name = destination.get("host", "") + (f":{subset}" if subset else "")
            path = f"/spec/http/{i}/route/{j}"
            # The only destination of a rule gets all its traffic, whatever its weight.
            weight = 100 if len(entries) == 1 else int(entry.get("weight", 0))
            written = "weight" in entry
            shares.append(Share(path, f"{path}/destination/host", name, weight, written))
        rules.append(shares)
    return rules


def _accepted(route: KubernetesObject) -> Settling:
    """Whether every Gateway has accepted this generation and found the backends."""
    parents = (route.get("status") or {}).get("parents") or ()
    if not parents:
        return Settling("waiting", "no Gateway has taken it up")
    for parent in parents:
        conditions = {c.get("type"): c for c in parent.get("conditions") or ()}
        for kind in ("Accepted", "ResolvedRefs"):
            condition = conditions.get(kind) or {}
            if int(condition.get("observedGeneration", 0)) < generation(route):
                return Settling("waiting", "a Gateway has not seen the change yet")
            if condition.get("status") != "True":
                why = condition.get("message") or condition.get("reason") or "refused"
                return Settling("waiting", f"{kind} is not true: {why}")
    return Settling("done", f"accepted by {len(parents)} Gateways")


def _taken_as_read(route: KubernetesObject) -> Settling:  # noqa: ARG001 - there is no status
    return Settling("done", "written; Istio has no status that would tell more")
