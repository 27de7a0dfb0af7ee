"""Which versions shared the traffic of the last hours."""

from __future__ import annotations

from collections import deque

from collectors.batch import PredictionBatch

#: Batches remembered: enough for hours of small ones.
BATCHES_MAX = 20_000


class RecentTraffic:
    """Events by version and time, as far as they are remembered."""

    def __init__(self) -> None:
        self._batches: deque[tuple[float, str, int]] = deque(maxlen=BATCHES_MAX)

    def add(self, batch: PredictionBatch) -> None:
        """Remember a batch, at the time of its newest event."""
        self.note(float(batch.ts.max()), batch.version, batch.rows)

    def note(self, moment: float, version: str, rows: int) -> None:
        """Remember events of a version, the newest of which was at that moment."""
        self._batches.append((moment, version, rows))

    def between(self, begins: float, ends: float) -> dict[str, int]:
        """Return the events of each version."""
        events: dict[str, int] = {}
        for moment, version, rows in self._batches:
            if begins <= moment <= ends:
                events[version] = events.get(version, 0) + rows
        return events
