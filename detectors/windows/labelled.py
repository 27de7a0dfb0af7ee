"""Windows of labelled predictions: by the time their labels became known, or by their number.

Labels come hours or weeks after their predictions, and a window must close some day. So a pair
belongs to the window in which its label *became known*, not to that of its prediction: then a
window is final once it has closed, however late the next label, and its figures say what was
learnt of the model in that time. A label that says it was known before, in a window that has
closed already, counts in the oldest that is open: it became known to us only now.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from detectors.performance.performance import Pair, Performance, Reading
from detectors.windows.window_state import FORMAT, VersionState, WindowsState, decoded_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from detectors.windows.window_spec import WindowSpec

PaneKey: TypeAlias = tuple[str, int]

#: Versions that are watched at once; the one silent for longest is evicted for a new one.
VERSIONS_MAX = 20
#: Panes held at once, beyond those that one window of every version needs.
PANES_MAX = 5_000
#: Pane index before every real one.
_NEVER = -(1 << 62)


@dataclass(frozen=True, slots=True)
class ClosedPerformance:
    """The pairs of a window, final.

    Parameters
    ----------
    begins, ends
        When their labels became known, seconds since the epoch. By time: ``[begins, ends)``. By
        number: the smallest and the largest time.
    """

    model: str
    version: str
    begins: float
    ends: float
    counts: Performance
    segment: str = ""
    """Labels are of all traffic of a version."""

    @property
    def population(self) -> str:
        """The version."""
        return self.version


class PerformanceWindows:
    """Open panes of labelled predictions of every version, and the windows that they add up to.

    Parameters
    ----------
    spec
        How to cut: as traffic is cut, with pairs for events.
    reading
        How pairs are read.

    Attributes
    ----------
    watermark
        Time up to which windows are complete, seconds since the epoch; never moves back.
    evicted
        Panes that the limits on versions and panes cost.
    """

    def __init__(
        self,
        spec: WindowSpec,
        model: str,
        reading: Reading,
        *,
        versions_max: int = VERSIONS_MAX,
        panes_max: int = PANES_MAX,
    ) -> None:
        self.spec = spec
        self.model = model
        self.reading = reading
        self.watermark = -math.inf
        self.evicted = 0
        self._versions_max = versions_max
        self._panes_max = panes_max + versions_max * spec.panes
        self._versions: dict[str, VersionState] = {}
        self._panes: dict[PaneKey, Performance] = {}
        self._dirty: set[PaneKey] = set()
        self._dropped: set[PaneKey] = set()
        self._boundary = _NEVER

    def add(self, version: str, pair: Pair, known: float) -> int:
        """Count a pair whose label became known at `known`; return the pane that it went to."""
        state = self._version(version)
        if self.spec.kind == "time":
            index = max(math.floor(known / self.spec.slide), self._boundary)
            self.advance(known - self.spec.lateness_s)
        else:
            index = state.rows // int(self.spec.slide)
        self._pane((version, index)).add(pair, self.reading, known)
        state.rows += 1
        state.first_ts, state.last_ts = min(state.first_ts, known), max(state.last_ts, known)
        while len(self._panes) > self._panes_max:
            self._evict(min(self._panes, key=lambda key: (key[1], key[0])))
        return index

    def remove(self, version: str, pane: int, pair: Pair) -> bool:
        """Take out a pair that `add` put into a pane; False where no window needs that any more."""
        key = (version, pane)
        if key not in self._panes:
            return False
        self._pane(key).remove(pair, self.reading)
        return True

    def advance(self, watermark: float) -> None:
        """Move the watermark on, for instance while no labels come; never back."""
        self.watermark = max(self.watermark, watermark)

    def closable(self) -> bool:
        """Say whether `close` may have something to do."""
        if not self._panes:
            return False
        if self.spec.kind == "time":
            return math.floor(self.watermark / self.spec.slide) > self._boundary
        slide = int(self.spec.slide)
        return any(one.rows // slide > one.closed for one in self._versions.values())

    def close(self) -> list[ClosedPerformance]:
        """Close and return the windows that are complete, those by time in order of their ends.

        A window without a pair is none: that no label came says nothing of the model.
        """
        if not self.closable():
            return []
        if self.spec.kind == "events":
            return self._close_by_number()
        boundary = math.floor(self.watermark / self.spec.slide)
        keys = {
            (end, version)
            for version, index in self._panes
            for end in range(
                max(index, self._boundary) + 1, min(index + self.spec.panes, boundary) + 1
            )
        }
        closed = [self._by_time(version, end) for end, version in sorted(keys)]
        self._boundary = boundary
        self._drop(key for key in list(self._panes) if key[1] + self.spec.panes <= boundary)
        return [window for window in closed if window.counts.n]

    def dirty_panes(self) -> dict[PaneKey, bytes]:
        """Panes changed since the last call, encoded, for the store."""
        dirty = {key: self._panes[key].encode() for key in sorted(self._dirty)}
        self._dirty.clear()
        return dirty

    def dropped_panes(self) -> set[PaneKey]:
        """Panes that no window needs any more, since the last call."""
        dropped, self._dropped = self._dropped, set()
        return dropped

    def encode(self) -> bytes:
        """Everything but the panes, for the store."""
        state = WindowsState(
            format=FORMAT,
            model=self.model,
            kind=self.spec.kind,
            slide=self.spec.slide,
            watermark=self.watermark,
            boundary=self._boundary,
            skipped=0,
            evicted_versions=0,
            evicted_panes=self.evicted,
            versions=self._versions,
        )
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes, panes: Mapping[PaneKey, bytes]) -> None:
        """Go on where `encode` and the stored panes stood.

        Raises
        ------
        WindowStateError
            If the windows were cut in another way than now, or the state is damaged.
        PerformanceError
            If a pane is damaged.
        """
        kept = decoded_state(state, self.spec, self.model)
        counted = {key: Performance.decode(data) for key, data in panes.items()}
        self.watermark, self._boundary = kept.watermark, kept.boundary
        self.evicted, self._versions = kept.evicted_panes, kept.versions
        self._panes = counted

    def forget(self, panes: Iterable[PaneKey]) -> None:
        """Have panes deleted in the store that cannot be taken up."""
        self._dropped.update(panes)

    def _by_time(self, version: str, end: int) -> ClosedPerformance:
        slide, panes = self.spec.slide, self.spec.panes
        return ClosedPerformance(
            self.model, version, (end - panes) * slide, end * slide, self._sum(version, end)
        )

    def _close_by_number(self) -> list[ClosedPerformance]:
        closed: list[ClosedPerformance] = []
        for name, version in self._versions.items():
            full = version.rows // int(self.spec.slide)
            for end in range(max(version.closed + 1, self.spec.panes), full + 1):
                counts = self._sum(name, end)
                if counts.n:
                    closed.append(
                        ClosedPerformance(self.model, name, counts.first, counts.last, counts)
                    )
            version.closed = full
        needed = {name: one.closed - self.spec.panes for name, one in self._versions.items()}
        self._drop(key for key in list(self._panes) if key[1] <= needed[key[0]])
        return closed

    def _sum(self, version: str, end: int) -> Performance:
        total = Performance()
        for index in range(end - self.spec.panes, end):
            pane = self._panes.get((version, index))
            if pane is not None:
                total.merge(pane)
        return total

    def _pane(self, key: PaneKey) -> Performance:
        """Return a pane that is about to change."""
        self._dirty.add(key)
        self._dropped.discard(key)
        return self._panes.setdefault(key, Performance())

    def _version(self, name: str) -> VersionState:
        if name not in self._versions:
            if len(self._versions) >= self._versions_max:
                silent = min(self._versions, key=lambda one: self._versions[one].last_ts)
                del self._versions[silent]
                for key in [key for key in self._panes if key[0] == silent]:
                    self._evict(key)
            self._versions[name] = VersionState()
        return self._versions[name]

    def _evict(self, key: PaneKey) -> None:
        self._drop([key])
        self.evicted += 1

    def _drop(self, keys: Iterable[PaneKey]) -> None:
        for key in keys:
            del self._panes[key]
            self._dirty.discard(key)
            self._dropped.add(key)
