"""A wall clock that does not step back."""

from __future__ import annotations

from collections.abc import Callable


class ForwardClock:
    """Seconds since the epoch, never before what it said already, and never standing still.

    When the wall clock is set back, this one goes on at the pace of the monotonic clock until
    the wall clock has caught up. Otherwise events with right times would count as from the
    future for as long as our clock is wrong, be taken for events of now, and come too late.

    A clock that was wrongly set forward and then corrected leaves this one ahead until the
    process is started again: in that time events of so far ahead are believed.

    Examples
    --------
    >>> walls, times = iter([100.0, 40.0, 130.0]), iter([0.0, 10.0, 20.0])
    >>> clock = ForwardClock(lambda: next(walls), lambda: next(times))
    >>> [clock(), clock(), clock()]
    [100.0, 110.0, 130.0]
    """

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._said: tuple[float, float] | None = None

    def __call__(self) -> float:
        """Return the time."""
        wall, now = self._wall(), self._monotonic()
        if self._said is not None:
            wall = max(wall, self._said[0] + now - self._said[1])
        self._said = (wall, now)
        return wall
