"""Facts of a replay: its windows as they close."""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from detectors.columns.side_by_side import SideBySide
from monitor.pictures.distributions import Distribution
from monitor.reports.facts import Facts, Gathering

if TYPE_CHECKING:
    from monitor.replay.replay import Replayed


class ReplayFacts:
    """Gathers while the windows pass on to whoever else wants them."""

    def __init__(self) -> None:
        self._gathering = Gathering()
        self._incidents: list[Mapping[str, Any]] = []

    def watch(self, windows: Iterable[Replayed]) -> Iterator[Replayed]:
        """Pass windows on."""
        for one in windows:
            self._take(one)
            yield one

    def _take(self, one: Replayed) -> None:
        self._incidents.extend(one.incidents)
        if one.window.get("segment"):
            return
        key = one.distribution
        self._gathering.window(one.window, key)
        for row in one.measurements:
            self._gathering.measured(row, key)

    def facts(self, *, model: str, source: str, notes: Iterable[str] = ()) -> Facts:
        """Return what passed."""
        return Facts(
            model,
            source,
            time.time(),
            self._gathering.versions(_decoded),
            sorted(self._incidents, key=lambda one: float(one["at"])),
            replayed=True,
            notes=tuple(notes),
        )


def _decoded(keys: Collection[Hashable]) -> Mapping[Hashable, Mapping[str, SideBySide]]:
    return {key: key.columns() for key in keys if isinstance(key, Distribution)}
