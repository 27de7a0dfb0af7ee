"""A figure over time, in a bounded number of points, however many windows it is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Points of a series while it is gathered. When there are more, every two steps of time become one.
POINTS_MAX: Final = 240
#: Steps of time begin this wide, in seconds: no windows end closer to each other.
_STEP_MIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Point:
    """What one window measured: of those that ended in one step of time, the worst.

    Parameters
    ----------
    begins, ends
        Of the window, seconds since the epoch.
    windows, breaches
        How many windows it stands for, and in how many of them the figure was in breach.
    """

    begins: float
    ends: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    threshold: float | None
    verdict: str
    windows: int = 1
    breaches: int = 0


def point_of(row: Mapping[str, Any]) -> Point:
    """Return a measurement, as a row of the store, as a point."""
    return Point(
        *(row["begins"], row["ends"], row["value"], row["low"], row["high"], row["n"]),
        *(row["threshold"], row["verdict"]),
        breaches=int(row["verdict"] == "breach"),
    )


class Series:
    """One metric of one column, or of the whole window, of one version.

    Parameters
    ----------
    falling
        Whether low values are the bad ones: accuracy, throughput.

    Attributes
    ----------
    windows, breaches, unknowns
        Windows in which it was measured; those in which it was in breach, and unknown.
    worst, last
        The window with the worst value, breaches first, and the last one; None before any.
    first_breach
        End of the first window in breach.
    """

    def __init__(self, *, falling: bool = False) -> None:
        self.windows = 0
        self.breaches = 0
        self.unknowns = 0
        self.worst: Point | None = None
        self.last: Point | None = None
        self.first_breach: float | None = None
        self._falling = falling
        self._step_s = _STEP_MIN_S
        self._points: dict[int, Point] = {}

    def add(self, point: Point) -> bool:
        """Add a window; say whether it is the worst so far. Windows come in any order."""
        self.windows += 1
        self.breaches += point.verdict == "breach"
        self.unknowns += point.verdict == "unknown"
        if point.verdict == "breach":
            self.first_breach = min(point.ends, self.first_breach or math.inf)
        if self.last is None or point.ends >= self.last.ends:
            self.last = point
        self._place(point)
        if self.worst is None or self._badness(point) > self._badness(self.worst):
            self.worst = point
            return True
        return False

    def points(self, points_max: int = POINTS_MAX) -> list[Point]:
        """Return the points in the order of time, at most so many."""
        while len(self._points) > max(2, points_max):
            self._widen()
        return [self._points[step] for step in sorted(self._points)]

    @property
    def step_s(self) -> float:
        """Width of a step of time, in seconds."""
        return self._step_s

    def _place(self, point: Point) -> None:
        step = math.floor(point.ends / self._step_s)
        there = self._points.get(step)
        self._points[step] = point if there is None else self._merged(there, point)
        while len(self._points) > POINTS_MAX:
            self._widen()

    def _widen(self) -> None:
        self._step_s *= 2
        points, self._points = self._points, {}
        for step in sorted(points):
            there = self._points.get(step // 2)
            one = points[step]
            self._points[step // 2] = one if there is None else self._merged(there, one)

    def _merged(self, one: Point, other: Point) -> Point:
        worse = one if self._badness(one) >= self._badness(other) else other
        return Point(
            *(worse.begins, worse.ends, worse.value, worse.low, worse.high, worse.n),
            *(worse.threshold, worse.verdict),
            windows=one.windows + other.windows,
            breaches=one.breaches + other.breaches,
        )

    def _badness(self, point: Point) -> tuple[bool, float]:
        if point.value is None:
            return point.verdict == "breach", -math.inf
        return point.verdict == "breach", -point.value if self._falling else point.value
