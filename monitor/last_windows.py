"""Every column of the last window of each version beside its reference, for the pages.

What a window counted is let go of when it closes. Of the last one of the versions seen last a
coarse picture is kept, some hundred bytes a column, and written with the window's commit: after a
restart, and after a rollback, it can still be seen what drifted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from detectors.reference import Reference
from detectors.side_by_side import Frame, SideBySide, frame_of
from detectors.window import ClosedWindow

log = logging.getLogger("kedge.engine")

#: Versions whose last window is kept: what serves, what served before, and two more.
VERSIONS_MAX: Final = 4
#: Columns of a window that are kept, in the order of their names.
COLUMNS_MAX: Final = 1_000
#: References whose bars are kept: one a version, and those of some hours of a season.
FRAMES_MAX: Final = 8
#: Beginning of the names of the states in the store; a number follows.
STATE: Final = "last-window-"
#: A window of less than this share of the rows of the one before, within `_STEADY_S` of it, is
#: what trickles in while traffic is switched: the fuller picture stays.
_SMALL_SHARE: Final = 0.1
_STEADY_S: Final = 3_600.0


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    version: str
    begins: float
    ends: float
    rows: int
    columns: dict[str, SideBySide]


@dataclass(frozen=True, slots=True)
class LastWindow:
    """The last window of a version: from when to when, its rows, and its columns by name."""

    version: str
    begins: float
    ends: float
    rows: int
    columns: Mapping[str, SideBySide]


class LastWindows:
    """Keeps the last window of each version; the version that was silent for longest goes first."""

    def __init__(self, versions_max: int = VERSIONS_MAX) -> None:
        self._versions_max = versions_max
        self._noted: dict[str, tuple[ClosedWindow, Reference | None]] = {}
        # By version, the one of the last window last: the state's number, and when and how much.
        self._slots: dict[str, tuple[int, float, int]] = {}
        self._encoded: dict[str, bytes] = {}
        # By digest of a reference and column: they take longer to choose than to count into.
        self._frames: dict[str, dict[str, Frame | None]] = {}

    @property
    def encoded(self) -> Mapping[str, bytes]:
        """What is kept, by version: replaced and never changed, so that any thread may read it."""
        return self._encoded

    def note(self, window: ClosedWindow, part: Reference | None) -> None:
        """Take note of a closed window, and of the part of its reference that it is compared with.

        The picture is made with the next commit: of a backlog's windows, only of the last.
        """
        if window.segment or not window.pane.answered:
            return
        noted = self._noted.get(window.version)
        _, ends, rows = self._slots.get(window.version, (0, -_STEADY_S, 0))
        if noted is not None:
            ends, rows = noted[0].ends, noted[0].pane.answered
        if window.pane.answered < _SMALL_SHARE * rows and window.ends < ends + _STEADY_S:
            return
        self._noted[window.version] = window, part

    def changed(self) -> Mapping[str, bytes]:
        """Return what is to be written since the last call."""
        states = {}
        for version, (window, part) in self._noted.items():
            slot = self._slot(version)
            self._slots[version] = slot, window.ends, window.pane.answered
            data = msgspec.msgpack.encode(self._pictured(window, part))
            self._encoded = {**self._encoded, version: data}
            states[f"{STATE}{slot}"] = data
        self._noted.clear()
        return states

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Take up what the store holds; what cannot be read is let go of, with a warning."""
        found: list[tuple[int, _Kept, bytes]] = []
        for slot in range(self._versions_max):
            data = states.get(f"{STATE}{slot}")
            try:
                if data is not None:
                    found.append((slot, msgspec.msgpack.decode(data, type=_Kept), data))
            except msgspec.DecodeError as error:
                log.warning("a picture of a version's last window is let go of: %s", error)
        for slot, kept, data in sorted(found, key=lambda one: one[1].ends):
            self._slots[kept.version] = slot, kept.ends, kept.rows
            self._encoded[kept.version] = data

    def _pictured(self, window: ClosedWindow, part: Reference | None) -> _Kept:
        pane = window.pane if part is None else window.pane.over(part)
        columns = {}
        if pane.reference is not None:
            frames = self._frames_of(pane.reference)
            for name in sorted(pane.columns.keys() & frames)[:COLUMNS_MAX]:
                frame = frames[name]
                picture = None if frame is None else frame.beside(pane.columns[name])
                if picture is not None:
                    columns[name] = picture
        return _Kept(window.version, window.begins, window.ends, pane.answered, columns)

    def _frames_of(self, reference: Reference) -> Mapping[str, Frame | None]:
        frames = self._frames.get(reference.digest)
        if frames is None:
            frames = {name: frame_of(profile) for name, profile in reference.columns.items()}
            if len(self._frames) >= FRAMES_MAX:
                del self._frames[next(iter(self._frames))]
            self._frames[reference.digest] = frames
        return frames

    def _slot(self, version: str) -> int:
        if version in self._slots:
            return self._slots.pop(version)[0]
        if len(self._slots) < self._versions_max:
            return min(set(range(self._versions_max)) - {one[0] for one in self._slots.values()})
        gone = next(iter(self._slots))
        self._encoded = {name: data for name, data in self._encoded.items() if name != gone}
        return self._slots.pop(gone)[0]


def last_window(encoded: Mapping[str, bytes], version: str) -> LastWindow | None:
    """Read what :attr:`LastWindows.encoded` holds of a version; None when that is nothing."""
    data = encoded.get(version)
    if data is None:
        return None
    kept = msgspec.msgpack.decode(data, type=_Kept)
    return LastWindow(kept.version, kept.begins, kept.ends, kept.rows, kept.columns)
