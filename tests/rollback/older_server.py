"""A client for the tests that gets along with an API server from before Kubernetes 1.21.

Such a server has EndpointSlices as ``v1beta1`` only. What a step reads of them (the conditions,
the addresses and the reference to the pod) is written there as in ``v1``.
"""

from __future__ import annotations

from typing import Any

from rollback.actuators.kubernetes_service import ENDPOINT_SLICES
from rollback.kubernetes.client import KubernetesClient

GROUP, _, VERSION = ENDPOINT_SLICES.version.partition("/")


class SlicesClient(KubernetesClient):
    """Asks for EndpointSlices in the version that the server has."""

    slices_version = VERSION

    async def learn(self) -> None:
        """Ask which versions there are."""
        answer = await self._call("GET", f"/apis/{GROUP}", {}, None)
        served = [v["version"] for v in answer["versions"]]
        self.slices_version = VERSION if VERSION in served else served[0]

    async def _send(self, method: str, path: str, *rest: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
        ours, served = f"/apis/{GROUP}/{VERSION}/", f"/apis/{GROUP}/{self.slices_version}/"
        return await super()._send(method, path.replace(ours, served, 1), *rest)
