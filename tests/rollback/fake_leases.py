"""What a real API server refuses of a Lease."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: How Go writes a MicroTime, and the only way it reads one.
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def lease_fault(spec: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return status and message of what a server says to such a spec; None if it takes it."""
    for name in ("acquireTime", "renewTime"):
        if spec.get(name) is not None and not _MICRO_TIME.fullmatch(spec[name]):
            return 400, f"parsing time {spec[name]!r}: cannot parse it as .000000"
    for name in ("leaseDurationSeconds", "leaseTransitions"):
        if not isinstance(spec.get(name, 1), int):
            return 400, f"cannot unmarshal {spec[name]!r} into int32: spec.{name}"
    if spec.get("leaseDurationSeconds", 1) <= 0:
        return 422, "spec.leaseDurationSeconds: must be greater than 0"
    if spec.get("leaseTransitions", 0) < 0:
        return 422, "spec.leaseTransitions: must not be negative"
    if spec.get("holderIdentity") == "":
        return 422, "spec.holderIdentity: must not be empty"
    return None
