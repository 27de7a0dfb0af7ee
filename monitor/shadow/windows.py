"""The last windows of pairs, as the API shows them: of the whole, and of its segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detectors.measurement import Measurement
from detectors.windows.paired import ClosedPairs


@dataclass(frozen=True, slots=True)
class _Last:
    """A window of pairs, and what was measured in it."""

    window: ClosedPairs
    found: Sequence[Measurement]

    def is_of(self, other: _Last) -> bool:
        """Say whether both compare the same versions."""
        mine, theirs = self.window, other.window
        return (mine.live, mine.version) == (theirs.live, theirs.version)


class LastPairs:
    """Keeps the last window of all traffic, and of each segment."""

    def __init__(self) -> None:
        self._last: dict[str, _Last] = {}  # by segment; the empty one is all traffic

    @property
    def whole(self) -> ClosedPairs | None:
        """The last window of all traffic."""
        last = self._last.get("")
        return None if last is None else last.window

    def keep(self, window: ClosedPairs, found: Sequence[Measurement]) -> None:
        """Keep a window in the place of the one before."""
        self._last[window.segment] = _Last(window, found)

    def standing(self) -> dict[str, Any]:
        """Return the window of the whole, and those of segments that compare the same versions."""
        last = self._last.get("")
        return {
            **_standing(last),
            "segments": [
                {"segment": segment} | _standing(one)
                for segment, one in sorted(self._last.items())
                if segment and last is not None and one.is_of(last)
            ],
        }


def _standing(last: _Last | None) -> dict[str, Any]:
    return {
        "live": last.window.live if last else None,
        "window_end": last.window.ends if last else None,
        "measurements": {
            one.metric.removeprefix("shadow_"): {
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "p_value": one.p_value,
                "n": one.n,
            }
            for one in (last.found if last else ())
        },
    }
