"""The versions that were seen in the traffic, for people: so many as are worth remembering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collectors.batch import PredictionBatch

#: Versions remembered. A model has dozens; a log whose events each name another is a fault of
#: the log, and must not fill memory, store and page.
VERSIONS_REMEMBERED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """What was seen of a version: live events since the store was made, and when.

    Times are event time, seconds since the epoch; `last_window` is the end of its last window.
    """

    version: str
    events: int
    first_seen: float
    last_seen: float
    last_window: float | None = None


class Versions:
    """Versions by name; past `remembered_max`, the one that was silent for longest is forgotten.

    Attributes
    ----------
    forgotten
        How many were forgotten.
    """

    def __init__(self, remembered_max: int = VERSIONS_REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        self._seen: dict[str, VersionSeen] = {}  # the one seen last stands last
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self.forgotten = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen)

    @property
    def seen(self) -> list[VersionSeen]:
        """Every version that is remembered."""
        return list(self._seen.values())

    @property
    def live(self) -> str | None:
        """The version with the latest event; None before any."""
        latest = max(self._seen.values(), key=lambda seen: seen.last_seen, default=None)
        return latest.version if latest is not None else None

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take up stored rows of one model."""
        kept = [VersionSeen(**{k: v for k, v in row.items() if k != "model"}) for row in rows]
        kept.sort(key=lambda seen: seen.last_seen)
        self._seen = {seen.version: seen for seen in kept}
        self._limit()

    def see(self, batch: PredictionBatch) -> None:
        """Count the events of a batch."""
        first, last = float(batch.ts.min()), float(batch.ts.max())
        name = batch.version
        seen = self._seen.pop(name, None) or VersionSeen(name, 0, first, last)
        self._keep(
            replace(
                seen,
                events=seen.events + batch.rows,
                first_seen=min(seen.first_seen, first),
                last_seen=max(seen.last_seen, last),
            )
        )
        self._limit()

    def conclude(self, version: str, ends: float) -> None:
        """Note that a window of a version was closed."""
        seen = self._seen.get(version)
        if seen is not None:
            self._keep(replace(seen, last_window=ends))

    def changes(self, model: str) -> tuple[list[dict[str, Any]], Sequence[str]]:
        """Return rows to write, and names to delete, since the last call."""
        rows = [
            {
                "model": model,
                "version": seen.version,
                "events": seen.events,
                "first_seen": seen.first_seen,
                "last_seen": seen.last_seen,
                "last_window": seen.last_window,
            }
            for seen in map(self._seen.__getitem__, sorted(self._changed))
        ]
        gone = sorted(self._gone)
        self._changed.clear()
        self._gone.clear()
        return rows, gone

    def _keep(self, seen: VersionSeen) -> None:
        self._seen[seen.version] = seen
        self._changed.add(seen.version)
        self._gone.discard(seen.version)

    def _limit(self) -> None:
        while len(self._seen) > self._remembered_max:
            name = next(iter(self._seen))
            del self._seen[name]
            self._changed.discard(name)
            self._gone.add(name)
            self.forgotten += 1
