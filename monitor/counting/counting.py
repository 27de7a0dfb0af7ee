"""Counting rows: each for all traffic of its version, and for every segment that it is in.

One path for both: a part of a batch is a batch of the segment's population, with a reference, panes
and windows of its own. What is not of a segment (which versions there are, changes in single
values, what is late) is told of the whole alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from collectors.batch import PredictionBatch
from detectors.windows.pane import PaneError
from detectors.windows.pane_store import PaneKey
from detectors.windows.population import is_segment
from detectors.windows.window import AddResult, Windows, WindowStateError
from monitor.judging.changes import ChangeWatch
from monitor.references.references import References
from monitor.store.store import Snapshot
from monitor.traffic.recent_traffic import RecentTraffic
from monitor.traffic.segments import Segments

log = logging.getLogger("kedge.engine")

#: Name of the windows' state in the store.
WINDOWS: Final = "windows"


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of a batch.

    Parameters
    ----------
    added
        As the windows of the whole say; None where every row went to a reference in the making.
    completed
        Whether a reference was completed by it, so that some rows entered no window.
    """

    added: AddResult | None
    completed: bool


class Counting:
    """Holds the windows, and what rows go through on their way into them.

    Attributes
    ----------
    windows
        Of every population.
    """

    def __init__(
        self,
        model: str,
        windows: Windows,
        *,
        references: References,
        changes: ChangeWatch,
        segments: Segments,
        recent: RecentTraffic,
    ) -> None:
        self._model = model
        self.windows = windows
        self._references = references
        self._changes = changes
        self._segments = segments
        self._recent = recent

    def restore(self, snapshot: Snapshot, versions: Iterable[str]) -> list[PaneKey]:
        """Take up open windows; return the stored panes that are of no use any more."""
        self._segments.restore(snapshot.states)
        if WINDOWS not in snapshot.states:
            return []
        watched = {
            key: one for key, one in snapshot.panes.items() if self._segments.watches(key[0])
        }
        names = {*versions, *(name for name, _ in watched)}
        try:
            self.windows = Windows.decode(
                self.windows.spec,
                self._model,
                snapshot.states[WINDOWS],
                panes=watched,
                references={name: self._references.of(name) for name in names},
                joint=self.windows.joint,
                limits=self.windows.limits,
            )
        except (WindowStateError, PaneError) as error:
            # Windows are cut otherwise than before: what was open cannot be counted on.
            log.warning("open windows are dropped, closed ones stay: %s", error)
            return list(snapshot.panes)
        for name, moment, rows in self.windows.counted():
            if not is_segment(name):
                self._recent.note(moment, name, rows)
        return list(snapshot.panes.keys() - watched.keys())

    def add(self, batch: PredictionBatch, now: float) -> Counted:
        """Count live rows of one version."""
        self._recent.add(batch)
        rest = batch if batch.requests_only else self._references.collect(batch)
        if rest is not batch:
            # Those before the rest are of the first reference, and of those of segments.
            first = batch.rows - (rest.rows if rest is not None else 0)
            for part in self._segments.parts(batch.take(slice(0, first))):
                self._references.collect(part)
        if rest is None:
            return Counted(None, completed=True)
        added = self._add(rest, now)
        self._changes.take(rest, self._references.of(batch.version), now)
        for part in self._segments.parts(rest):
            if not batch.requests_only:
                self._references.collect(part)
            self._add(part, now)
        return Counted(added, completed=rest is not batch)

    def _add(self, batch: PredictionBatch, now: float) -> AddResult:
        reference = self._references.of(batch.version)
        return self.windows.add(batch, reference, now, advance=False)
