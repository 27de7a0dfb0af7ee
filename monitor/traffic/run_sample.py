"""A sample of the runs of a sliding stretch of traffic: every row equally likely, memory bounded.

Time is cut into parts, and each part keeps the `k` runs of the smallest priorities (a bottom-k
sample [1]_): chance alone decides, and a run that would not be kept need not be gathered. Parts
are put together at one threshold, the smallest priority that any of them refused: below it each
has kept all of its runs, so that a busy part and a quiet one are seen in proportion to their rows.

References
----------
.. [1] Cohen & Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.traffic.traffic_runs import Run

#: Parts that the stretch is cut into.
PARTS = 16
#: Parts that are kept: with the longest gap that may be configured, and some to spare.
PARTS_MAX = 8 * PARTS
#: So many times more runs are kept than make a reference: parts never agree on a threshold.
SLACK = 2


@dataclass(slots=True)
class _Part:
    runs: dict[int, Run] = field(default_factory=dict)
    refused: float = math.inf


class RunSample:
    """Runs of one version, by their number.

    Parameters
    ----------
    length_s
        Length of the stretch that a reference is of.
    runs_max
        Runs that make a reference.
    """

    def __init__(self, length_s: float, runs_max: int) -> None:
        self._part_s = length_s / PARTS
        self._runs_max = runs_max
        self._part_runs_max = math.ceil(SLACK * runs_max / PARTS)
        self._parts: dict[int, _Part] = {}

    def wants(self, ts: float, priority: float) -> bool:
        """Tell whether a run that begins at `ts` would be kept; what is not wanted is refused."""
        part = self._part(ts)
        kept = [run.priority for run in part.runs.values()]
        if len(kept) < self._part_runs_max or priority < max(kept):
            return True
        part.refused = min(part.refused, priority)
        return False

    def add(self, number: int, run: Run) -> list[int]:
        """Keep a run; return the numbers of those that are not kept any more, it may be itself."""
        part = self._part(run.at)
        part.runs[number] = run
        gone = []
        while len(part.runs) > self._part_runs_max:
            last = max(part.runs, key=lambda number: part.runs[number].priority)
            part.refused = min(part.refused, part.runs.pop(last).priority)
            gone.append(last)
        return gone

    def expire(self, before: float, now: float) -> list[int]:
        """Let go of parts that end before a time, and of what wrong clocks put into the future.

        Returns
        -------
        list of int
            Numbers of the runs that are not kept any more.
        """
        last = math.floor(now / self._part_s) + 1
        gone = [part for part in self._parts if (part + 1) * self._part_s <= before or part > last]
        left = sorted(self._parts.keys() - set(gone))
        gone += left[PARTS_MAX:]
        return [number for part in gone for number in self._parts.pop(part).runs]

    def numbers(self) -> list[int]:
        """Return the numbers of all runs."""
        return [number for part in self._parts.values() for number in part.runs]

    def refused(self) -> dict[int, float]:
        """Smallest priority that each part refused, for the store."""
        return {
            index: part.refused
            for index, part in self._parts.items()
            if math.isfinite(part.refused)
        }

    def restore(self, runs: Iterable[tuple[int, Run]], refused: dict[int, float]) -> None:
        """Take up what the store kept."""
        for number, run in runs:
            self._part(run.at).runs[number] = run
        for index, priority in refused.items():
            self._parts.setdefault(index, _Part()).refused = priority

    def between(self, begins: float, ends: float) -> list[Run]:
        """Return a sample of the runs in ``[begins, ends)``, in the order of time."""
        within = {
            index: part
            for index, part in self._parts.items()
            if (index + 1) * self._part_s > begins and index * self._part_s < ends
        }
        threshold = min((part.refused for part in within.values()), default=math.inf)
        runs = sorted(
            (
                run
                for part in within.values()
                for run in part.runs.values()
                if run.priority < threshold and begins <= run.at < ends
            ),
            key=lambda run: run.priority,
        )
        return sorted(runs[: self._runs_max], key=lambda run: run.at)

    def _part(self, ts: float) -> _Part:
        return self._parts.setdefault(math.floor(ts / self._part_s), _Part())
