"""``[rollback.lease]``: who may act where two could."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from rollback.lease import LeaseTimes

LeaseKind: TypeAlias = Literal["off", "store", "kubernetes"]


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """``[rollback.lease]``: several may be started, one of them works, the others wait for it."""

    kind: LeaseKind = "off"
    """``off``: a second Kedge on the store is refused, and one that stands still is waited for by
    a person. ``store``: the store's own row says who it is. ``kubernetes``: a Lease does."""

    name: str = "kedge"
    """Of the Lease. It must exist; one for every model."""

    namespace: str | None = None
    """That of Kedge's pod, or of the kubeconfig's context, by default."""

    kubeconfig_path: Path | None = None
    """Without it the pod's own account is used, or what ``KUBECONFIG`` names."""

    context: str | None = None
    """Of the kubeconfig; its current one by default."""

    times: LeaseTimes = field(default_factory=LeaseTimes, metadata={"flat": True})
    """How long it holds."""
