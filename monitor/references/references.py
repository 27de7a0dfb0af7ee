"""Which reference a version is compared with: what the engine asks of every kind.

A kind each: :mod:`monitor.references.files`, :mod:`monitor.references.first`. A reference that is
not there is not an end: the version's drift is then unknown, which never acts, and both the log
and the status say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from collectors.batch import PredictionBatch, Schema
from detectors.reference.reference import Reference
from detectors.reference.season import SLOTS

#: Hex digits of a digest that are shown: enough to tell two references apart.
DIGEST_SHOWN = 12


class References(Protocol):
    """What the engine asks of the references."""

    def of(self, version: str) -> Reference | None:
        """Return the reference of a version; None when there is none (yet)."""

    def trouble(self, version: str) -> str:
        """Why a version has no reference; empty when it has one, or was never asked for."""

    def collect(self, batch: PredictionBatch) -> PredictionBatch | None:
        """Take what a reference in the making needs; return the rows left for the windows."""

    def renewed(self) -> bool:
        """Take up what came meanwhile; tell whether anything did, `schema` may then be another."""

    def schema(self) -> Schema | None:
        """Columns to decode; None to learn them from the log."""

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take up what the store kept."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return what to write to the store since the last call."""


@runtime_checkable
class Learning(Protocol):
    """References that are made of the live traffic itself, and so want to know how it was."""

    evicted_versions: int
    """Versions that were let go of because there are too many."""

    def concluded(self, version: str, begins: float, ends: float, *, healthy: bool) -> None:
        """Take note of a window of a version: from when to when, and whether no rule objected."""

    def progress(self, version: str) -> str:
        """How far a version's own reference is in the making, while another one serves it."""


class NoReference:
    """No reference at all: latency, errors and throughput are watched, drift is unknown."""

    def of(self, version: str) -> Reference | None:  # noqa: ARG002 - the protocol's
        """Return None."""
        return None

    def trouble(self, version: str) -> str:  # noqa: ARG002 - the protocol's
        """Say that none is configured."""
        return "no [reference] is configured"

    def collect(self, batch: PredictionBatch) -> PredictionBatch:
        """Return the batch."""
        return batch

    def renewed(self) -> bool:
        """Return False."""
        return False

    def schema(self) -> Schema | None:
        """Return None: columns are learned, so that missing values are counted all the same."""
        return None

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Do nothing."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return nothing."""
        return {}


def standing_of(references: References, version: str) -> dict[str, Any]:
    """Say which reference a version is compared with, or why with none."""
    reference = references.of(version)
    if reference is None:
        return {"version": version, "state": "none", "why": references.trouble(version)}
    making = references.progress(version) if isinstance(references, Learning) else ""
    return {
        "version": version,
        "state": "ready",
        "making": making or None,
        "origin": reference.origin,
        "rows": reference.rows,
        "created": reference.created,
        "digest": reference.digest[:DIGEST_SHOWN],
        "season": season_of(reference),
    }


def season_of(reference: Reference) -> dict[str, Any] | None:
    """Say which season a reference has, and how many of its hours; None without one."""
    season = reference.season
    if season is None:
        return None
    slots = {"slots": len(season.slots), "of": SLOTS[season.kind]}
    return {"kind": season.kind, "timezone": season.zone, **slots}
