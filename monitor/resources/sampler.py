"""What is measured of a window by samples, and not by its rows: as the engine asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from detectors.measurement import Measurement
from detectors.windows.window import ClosedWindow


class Sampler(Protocol):
    """Knows what was sampled while a window lasted."""

    def measurements(self, window: ClosedWindow, *, serving: bool) -> Sequence[Measurement]:
        """Measure a window; `serving` is whether most of its time's events were its version's."""


def sampled(
    sampler: Sampler | None, window: ClosedWindow, events: Mapping[str, int]
) -> Sequence[Measurement]:
    """Measure a window by samples; by none without a sampler.

    Parameters
    ----------
    events
        Events between the window's ends, by version.
    """
    if sampler is None:
        return ()
    # Resources are those of a process, which may serve two versions one after the other:
    # they are told of the version that most events between the window's ends were of.
    most = max(events.values(), default=0)
    return sampler.measurements(window, serving=events.get(window.version, 0) == most)
