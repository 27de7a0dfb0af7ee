"""A Lease of Kubernetes (``coordination.k8s.io``): read, take, renew, give up.

The object is made beforehand, because the right to create one cannot be narrowed to a name. Every
write carries the resourceVersion that was read, so that of two who take it one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from rollback.kubernetes.answers import KubernetesConflictError, KubernetesObject
from rollback.kubernetes.client import KubernetesClient, Resource
from rollback.lease import Claim, LeaseTimes

LEASES: Final = Resource("coordination.k8s.io/v1", "leases")


@dataclass(frozen=True, slots=True)
class LeaseRead:
    """A Lease as it was read."""

    claim: Claim
    found: KubernetesObject

    @property
    def transitions(self) -> int:
        """How often it went from one holder to another: the number of a tenure."""
        return int((self.found.get("spec") or {}).get("leaseTransitions") or 0)


class KubernetesLease:
    """One Lease, as one process sees it.

    Parameters
    ----------
    client
        Entered already; its time limit is to be well below the renew deadline.
    me
        Who we are; unlike any other process, and unlike ourselves after a restart.
    """

    def __init__(
        self, client: KubernetesClient, namespace: str, name: str, *, me: str, times: LeaseTimes
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._me = me
        self._times = times

    def __str__(self) -> str:
        return f"the Lease {self._namespace}/{self._name}"

    async def read(self) -> LeaseRead:
        """Return the Lease.

        Raises
        ------
        rollback.kubernetes.answers.KubernetesNotFoundError
            Nobody has made it.
        """
        return _read(await self._client.get(LEASES, self._namespace, self._name))

    async def take(self, read: LeaseRead) -> LeaseRead | None:
        """Become the holder of a Lease that was free when it was read; None if somebody was faster.

        Raises
        ------
        rollback.kubernetes.answers.KubernetesTransientError
            It is ours, or not: read again. If it names us, `renew` it.
        """
        spec = {
            "holderIdentity": self._me,
            "leaseDurationSeconds": max(1, round(self._times.duration_s)),
            "acquireTime": micro_time(),
            "renewTime": micro_time(),
            "leaseTransitions": read.transitions + 1,
        }
        return await self._put(read, spec)

    async def renew(self, read: LeaseRead) -> LeaseRead | None:
        """Renew what is ours; None if it was written by somebody else since it was read."""
        return await self._put(read, {**read.found["spec"], "renewTime": micro_time()})

    async def give_up(self, read: LeaseRead) -> None:
        """Let the next one take it at once. Whatever was guarded must have ended before."""
        spec = {**read.found["spec"], "leaseDurationSeconds": 1, "renewTime": micro_time()}
        spec.pop("holderIdentity", None)
        await self._put(read, spec)

    async def _put(self, read: LeaseRead, spec: dict[str, Any]) -> LeaseRead | None:
        body = {
            "apiVersion": LEASES.version,
            "kind": "Lease",
            "metadata": read.found["metadata"],
            "spec": spec,
        }
        try:
            return _read(await self._client.replace(LEASES, self._namespace, body))
        except KubernetesConflictError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            return None


def _read(found: KubernetesObject) -> LeaseRead:
    meta = found["metadata"]
    holder = str((found.get("spec") or {}).get("holderIdentity") or "")
    return LeaseRead(Claim(holder, f"{meta.get('uid')}/{meta.get('resourceVersion')}"), found)


def micro_time() -> str:
    """Return now as a MicroTime: exactly six digits of a second, or the server cannot read it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
