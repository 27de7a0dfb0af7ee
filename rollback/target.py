"""Which version to go back to. Version numbers are compared as numbers: 10 comes after 9."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from collectors.registry.answers import ModelVersion
from rollback.memory import Memory
from rollback.policy import Policy


@dataclass(frozen=True, slots=True)
class Target:
    """A version that exists, is READY, and is not unfit."""

    version: str
    why: str


@dataclass(frozen=True, slots=True)
class NoTarget:
    """There is none, the gate that says so, and what a person can do."""

    gate: Literal["target", "quarantine"]
    detail: str


Choice: TypeAlias = Target | NoTarget


def choose_target(
    from_version: str,
    versions: Sequence[ModelVersion],
    memory: Memory,
    *,
    rolled_back_from: Collection[str],
    policy: Policy,
    now: float,
) -> Choice:
    """Return where an automatic rollback goes from a version.

    Unfit are versions in quarantine, and those of `rolled_back_from`. A version that was merely
    seen healthy is no target if its number is above `from_version`: somebody went back from it.
    One that was blessed may be.
    """
    if not from_version.isdigit():
        return NoTarget("target", f"version {from_version!r} is not a number of the registry")
    below = [v for v in versions if v.ready and v.number < int(from_version)]
    if policy.target == "previous":
        ranked = [(float(v.number), v) for v in below]
        none = f"no READY version below {from_version} in the registry"
    else:
        ready = [v for v in versions if v.ready and v.version != from_version]
        ranked = [(at, v) for v in ready if (at := _good_at(v, below, memory, policy)) is not None]
        none = (
            f"Kedge has seen no version other than {from_version} healthy; "
            "`kedge bless MODEL VERSION` names one"
        )
    fit = [
        (rank, v.number, v)
        for rank, v in ranked
        if not memory.quarantined(v.version, now) and v.version not in rolled_back_from
    ]
    if fit:
        chosen = max(fit, key=lambda item: item[:2])[2]
        seen = memory.marks(chosen.version).told(now)
        why = f"version {chosen.version} is {policy.target}, and READY: {seen}"
        return Target(chosen.version, why)
    if ranked:
        unfit = ", ".join(sorted((v.version for _, v in ranked), key=int))
        return NoTarget("quarantine", f"in quarantine or lately rolled back from: version {unfit}")
    return NoTarget("target", none)


def check_target(
    from_version: str,
    to_version: str,
    versions: Sequence[ModelVersion],
    memory: Memory,
    *,
    now: float,
) -> Choice:
    """Return the version that a person named, if it can be gone to."""
    found = next((v for v in versions if v.version == to_version), None)
    if to_version == from_version:
        return NoTarget("target", f"the alias points to version {to_version} already")
    if found is None:
        return NoTarget("target", f"version {to_version} does not exist in the registry")
    if not found.ready:
        return NoTarget("target", f"version {to_version} is {found.status}, not READY")
    if memory.quarantined(to_version, now):
        return NoTarget(
            "quarantine",
            f"version {to_version} is in quarantine; `kedge bless` ends that",
        )
    seen = memory.marks(to_version).told(now)
    return Target(to_version, f"version {to_version} was named, and is READY: {seen}")


def _good_at(
    version: ModelVersion, below: Collection[ModelVersion], memory: Memory, policy: Policy
) -> float | None:
    """Return when the version was last known to be good; None if it is not."""
    marks = memory.marks(version.version)
    healthy = (
        marks.healthy_at is not None
        and marks.healthy_windows >= policy.good_windows_min
        and version in below
    )
    times = (marks.healthy_at if healthy else None, marks.blessed_at)
    return max((at for at in times if at is not None), default=None)
