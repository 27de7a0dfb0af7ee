"""What a closed window is compared with, and what the references learn of how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from detectors.reference.reference import Reference
from detectors.windows.population import population
from detectors.windows.window import ClosedWindow
from monitor.judging.judging import Judged
from monitor.publishing.publishing import Publisher
from monitor.references.references import Learning, References, standing_of
from monitor.references.seasonal import Seasonal
from monitor.traffic.segments import Segments
from monitor.traffic.versions import VersionSeen

#: Versions, the latest seen, of which the status says what they are compared with.
SHOWN_MAX: Final = 20


class Comparing:
    """Stands between the engine and the references of closed windows."""

    def __init__(self, references: References, publisher: Publisher, segments: Segments) -> None:
        self._references = references
        self._publisher = publisher
        self._segments = segments
        self._seasonal = Seasonal()

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take up what references have in the store."""
        self._references.restore(states)

    def changed(self) -> Mapping[str, bytes | None]:
        """Return what to write to the store since the last call."""
        return self._references.changed()

    @property
    def evicted(self) -> int:
        """Versions whose reference in the making was let go of, because there are too many."""
        references = self._references
        return references.evicted_versions if isinstance(references, Learning) else 0

    def part(self, window: ClosedWindow) -> Reference | None:
        """Return the part of its reference that a window is compared with; None for the whole."""
        part, basis = self._seasonal.pick(window)
        self._publisher.count_basis(basis)
        return part

    def learn(self, window: ClosedWindow, judged: Judged) -> None:
        """Tell references that are made of the traffic whether a window was healthy."""
        if isinstance(self._references, Learning):
            healthy = all(one.state not in ("suspect", "breach") for one in judged.reports)
            name = window.population
            self._references.concluded(name, window.begins, window.ends, healthy=healthy)

    def standings(self, seen: Sequence[VersionSeen]) -> Mapping[str, Mapping[str, Any]]:
        """Say which reference each of the versions seen last is compared with."""
        return {one.version: self._standing(one.version) for one in seen[-SHOWN_MAX:]}

    def _standing(self, version: str) -> Mapping[str, Any]:
        standing = standing_of(self._references, version)
        if not self._segments.names:
            return standing
        segments = [
            {
                "segment": name,
                **standing_of(self._references, population(version, name)),
                "version": version,
            }
            for name in self._segments.names
        ]
        return {**standing, "segments": segments}
