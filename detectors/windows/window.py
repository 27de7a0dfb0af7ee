"""Windows of a model's versions: rows go into panes, panes add up to windows, windows close.

*By time*: panes are as long as the slide and aligned to the epoch. A window ``[end - length, end)``
closes when the watermark, the largest event time seen less the allowed lateness, reaches its end.
*By events*: panes hold `slide` rows of one version as they arrived; once `length` rows were seen
a window closes every `slide` rows.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import msgspec

from collectors.batch import Schema
from detectors.windows.due_windows import DueWindow, EmptyEnds
from detectors.windows.pane import Pane
from detectors.windows.pane_store import PaneKey, PaneStore
from detectors.windows.population import is_segment, split
from detectors.windows.window_cutting import cut_by_events, cut_by_time, not_ahead, not_late
from detectors.windows.window_spec import AddResult, ClosedWindow, WindowSpec
from detectors.windows.window_state import (
    FORMAT,
    VersionState,
    WindowsState,
    WindowStateError,
    decoded_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectors.batch import PredictionBatch
    from detectors.reference.reference import Reference

__all__ = ["AddResult", "ClosedWindow", "WindowSpec", "WindowStateError", "Windows"]

#: Versions that are watched at once; the one idle for longest is evicted for a new one.
VERSIONS_MAX = 20
#: Panes held at once, beyond those that one window of every version needs.
PANES_MAX = 5_000
#: Pane index before every real one.
_NEVER = -(1 << 62)


class Windows:
    """Open panes of every version of one model, and the windows that they add up to.

    A batch whose version is the name of a segment (:mod:`detectors.windows.population`) counts for
    that segment alone: a population is what has panes and windows, and a reference.

    Add all batches of a chunk, then `close`: rows are late when their windows *were* closed, so
    the versions in one chunk do not make each other's rows late.

    Parameters
    ----------
    spec
        How to cut.
    model
        The model's name.
    columns
        Columns to count; by default those of a version's reference, and those that come.
    joint
        Whether to count what a reference's number columns have in common.
    segments_max
        Segments that a version has at most, so that there is room for their panes.

    Attributes
    ----------
    joint, limits
        As given; the limits in their order.
    watermark
        Event time up to which windows are complete, seconds since the epoch; never moves back.
    skipped
        Empty windows not written because the watermark jumped.
    evicted_versions, evicted_panes
        What the limits on versions and panes cost.
    """

    def __init__(
        self,
        spec: WindowSpec,
        model: str,
        columns: Schema | None = None,
        *,
        joint: bool = True,
        versions_max: int = VERSIONS_MAX,
        panes_max: int = PANES_MAX,
        segments_max: int = 0,
    ) -> None:
        self.spec = spec
        self.model = model
        self.watermark = -math.inf
        self.skipped = 0
        self.evicted_versions = 0
        self.evicted_panes = 0
        self._columns = columns
        self.joint = joint
        self._versions_max = versions_max
        self.limits = (versions_max, panes_max, segments_max)
        self._panes_max = panes_max + versions_max * (1 + segments_max) * spec.panes
        self._versions: dict[str, VersionState] = {}  # by population
        self._references: dict[str, Reference | None] = {}
        self._panes = PaneStore()
        # Windows that end at this pane index, or before, are closed.
        self._boundary = _NEVER

    def add(
        self,
        batch: PredictionBatch,
        reference: Reference | None,
        now: float,
        *,
        advance: bool = True,
    ) -> AddResult:
        """Count the rows of `batch` (live rows of one version) in their panes.

        Parameters
        ----------
        reference
            The version's reference. When it is another than before, columns of the version's open
            panes are counted afresh against it; their requests and latencies stay.
        now
            Seconds since the epoch, to tell event times that cannot be.
        advance
            Whether these rows move the watermark on. A caller that reads several logs knows
            better how far they have all come, and calls `advance` itself.
        """
        batch, ahead = not_ahead(batch, now, self.spec.ahead_max_s)
        late = 0
        if self.spec.kind == "time":
            batch, late = not_late(batch, self.spec.slide, self._boundary)
        newest = -math.inf
        if batch.rows:
            version = self._version(batch.version)
            self._refer(batch.version, reference)
            if self.spec.kind == "time":
                parts = cut_by_time(batch, self.spec.slide)
            else:
                parts = cut_by_events(batch, version.rows, int(self.spec.slide))
            for index, part in parts:
                self._pane(batch.version, index).add(part)
            version.rows += batch.rows
            version.first_ts = min(version.first_ts, float(batch.ts.min()))
            version.last_ts = max(version.last_ts, float(batch.ts.max()))
            newest = float(batch.ts.max())
            if advance:
                self.advance(newest - self.spec.lateness_s)
            self._limit_panes()
        return AddResult(late, ahead, newest)

    def advance(self, watermark: float) -> None:
        """Move the watermark on, for instance while no rows come; never back."""
        self.watermark = max(self.watermark, watermark)

    def close(self) -> list[ClosedWindow]:
        """Close and return all the windows that are complete, in the order of `close_some`."""
        return list(self.close_some(sys.maxsize))

    def close_some(self, windows_max: int) -> Iterator[ClosedWindow]:
        """Close the first of the windows that are complete, and add each up as it is asked for.

        Windows by time come in the order of their ends; windows by events version by version, in
        the order in which their rows arrived. What is left is closed by further calls, and comes
        out as from one call, as long as no rows are added and the watermark stays in between:
        until then, their rows are not late. The windows are closed when this returns, whether
        they are asked for or not.

        Parameters
        ----------
        windows_max
            So many windows, at least 1; more where versions' windows end together.
        """
        if not self.closable():
            return iter(())
        by_events = self.spec.kind == "events"
        due = self._close_by_events(windows_max) if by_events else self._close_by_time(windows_max)
        return (window.added_up(self.model, self.spec) for window in due)

    def closable(self) -> bool:
        """Say whether `close` would find something to do."""
        if self.spec.kind == "events":
            slide = int(self.spec.slide)
            return any(state.rows // slide > state.closed for state in self._versions.values())
        # Before any row there is nothing to close, and an old log must not find its rows late.
        if not self._versions or not math.isfinite(self.watermark):
            return False
        return math.floor(self.watermark / self.spec.slide) > self._boundary

    def counted(self) -> Iterator[tuple[str, float, int]]:
        """Tell each open pane's version, newest event time and rows."""
        for version in self._versions:
            for index in self._panes.indices(version):
                pane = self._panes.get(version, index)
                if pane is not None:
                    yield version, pane.last_ts, pane.events

    def dirty_panes(self) -> dict[PaneKey, bytes]:
        """Panes changed since the last call, encoded, by (version, index), for the store."""
        return self._panes.take_dirty()

    def dropped_panes(self) -> set[PaneKey]:
        """Panes that no window needs any more, since the last call: to be deleted in the store."""
        return self._panes.take_dropped()

    def encode(self) -> bytes:
        """Everything but the panes, for the store: the watermark, versions and counters."""
        state = WindowsState(
            format=FORMAT,
            model=self.model,
            kind=self.spec.kind,
            slide=self.spec.slide,
            watermark=self.watermark,
            boundary=self._boundary,
            skipped=self.skipped,
            evicted_versions=self.evicted_versions,
            evicted_panes=self.evicted_panes,
            versions=self._versions,
        )
        return msgspec.msgpack.encode(state)

    @classmethod
    def decode(
        cls,
        spec: WindowSpec,
        model: str,
        state: bytes,
        *,
        panes: Mapping[PaneKey, bytes],
        references: Mapping[str, Reference | None],
        columns: Schema | None = None,
        joint: bool = True,
        limits: tuple[int, int, int] = (VERSIONS_MAX, PANES_MAX, 0),
    ) -> Windows:
        """Go on where `encode` and the stored panes stood.

        Parameters
        ----------
        panes
            All of `dirty_panes` ever returned, the latest of each, less `dropped_panes`.
        references
            The reference of each version; a version that is not in it has none, and a segment is
            let go. A pane counted against another one keeps its requests and latencies only.
        limits
            As the attribute says.

        Raises
        ------
        WindowStateError
            If the state is damaged, of an unknown format, of another model, or was cut with
            another kind or slide. A changed length is taken up.
        PaneError
            If a pane is damaged.
        """
        kept = decoded_state(state, spec, model)
        versions_max, panes_max, segments_max = limits
        windows = cls(
            *(spec, model, columns),
            joint=joint,
            versions_max=versions_max,
            panes_max=panes_max,
            segments_max=segments_max,
        )
        windows.watermark, windows._boundary = kept.watermark, kept.boundary
        windows.skipped = kept.skipped
        windows.evicted_versions, windows.evicted_panes = kept.evicted_versions, kept.evicted_panes
        windows._versions = {
            name: one
            for name, one in kept.versions.items()
            if name in references or not is_segment(name)
        }
        windows._references = {version: references.get(version) for version in windows._versions}
        for (version, index), data in panes.items():
            reference = references.get(version)
            schema = windows._schema(reference)
            pane = Pane.decode_rebased(data, reference, schema, joint=joint)
            windows._panes.restore(version, index, pane)
        return windows

    def _close_by_time(self, windows_max: int) -> list[DueWindow]:
        upto = math.floor(self.watermark / self.spec.slide)
        filled = {version: self._ends(version, upto) for version in self._versions}
        live = self._live()
        first = math.floor(self._versions[live].first_ts / self.spec.slide) + 1
        empty = EmptyEnds(max(first, self._boundary + 1), upto, filled[live])
        filled[live] |= empty.written
        order = sorted((end, version) for version, ends in filled.items() for end in ends)
        boundary = order[windows_max - 1][0] if windows_max < len(order) else upto
        due = [self._due(version, end) for end, version in order if end <= boundary]
        self.skipped += empty.skipped(boundary)
        self._boundary = boundary
        self._panes.drop(lambda key: key[1] + self.spec.panes <= boundary)
        return due

    def _ends(self, version: str, boundary: int) -> set[int]:
        """Pane indices at which windows with rows end, after the last boundary."""
        return {
            end
            for index in self._panes.indices(version)
            for end in range(
                max(index, self._boundary) + 1, min(index + self.spec.panes, boundary) + 1
            )
        }

    def _close_by_events(self, windows_max: int) -> list[DueWindow]:
        due: list[DueWindow] = []
        for name, version in self._versions.items():
            full = version.rows // int(self.spec.slide)
            for end in range(max(version.closed + 1, self.spec.panes), full + 1):
                if len(due) >= windows_max:
                    full = end - 1
                    break
                window = self._due(name, end)
                if window.panes:
                    due.append(window)
            version.closed = full
        self._panes.drop(lambda key: key[1] <= self._versions[key[0]].closed - self.spec.panes)
        return due

    def _due(self, version: str, end: int) -> DueWindow:
        panes = [
            pane
            for index in range(end - self.spec.panes, end)
            if (pane := self._panes.get(version, index)) is not None
        ]
        if not panes and self.spec.kind == "time":
            reference = self._references[version]
            panes = [Pane(reference, self._schema(reference), joint=self.joint)]
        return DueWindow(version, end, self._versions[version].first_ts, panes)

    def _live(self) -> str:
        """Return the version with the most recent row: that of silence, and no segment of it."""
        whole = [name for name in self._versions if not is_segment(name)]
        return max(whole or self._versions, key=lambda name: self._versions[name].last_ts)

    def _pane(self, version: str, index: int) -> Pane:
        pane = self._panes.get(version, index)
        if pane is None:
            reference = self._references[version]
            pane = Pane(reference, self._schema(reference), joint=self.joint)
        self._panes.put(version, index, pane)
        return pane

    def _schema(self, reference: Reference | None) -> Schema:
        if self._columns is not None:
            return self._columns
        return reference.schema() if reference else Schema({})

    def _version(self, name: str) -> VersionState:
        if name not in self._versions:
            if not is_segment(name):
                self._make_room()
            self._versions[name] = VersionState()
        return self._versions[name]

    def _make_room(self) -> None:
        """Let versions that are idle for longest go while there are too many, segments and all.

        Segments of a version are not so many that they need a limit of their own here.
        """
        whole = [name for name in self._versions if not is_segment(name)]
        whole.sort(key=lambda name: self._versions[name].last_ts)
        gone = set(whole[: max(0, len(whole) + 1 - self._versions_max)])
        for name in [name for name in self._versions if split(name)[0] in gone]:
            del self._versions[name]
            self._references.pop(name, None)
        if gone:
            self._panes.drop(lambda key: split(key[0])[0] in gone)
        self.evicted_versions += len(gone)

    def _refer(self, version: str, reference: Reference | None) -> None:
        before = self._references.get(version)
        self._references[version] = reference
        if before is reference or (before and reference and before.digest == reference.digest):
            return
        for index in self._panes.indices(version):
            pane = self._panes.get(version, index)
            if pane is not None:
                rebased = pane.rebased(reference, self._schema(reference), joint=self.joint)
                self._panes.put(version, index, rebased)

    def _limit_panes(self) -> None:
        while len(self._panes) > self._panes_max:
            self._panes.drop_oldest()
            self.evicted_panes += 1
