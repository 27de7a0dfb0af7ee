"""How far event time has come: by events while they come, and by our clock while they do not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from monitor.traffic.watermark import Watermark


class EventTime:
    """What windows may be closed up to.

    During silence event time goes on from the last line at the pace of our clock, and not from
    what the wall clock says: a log of last year that pauses must not find its next lines late.

    Parameters
    ----------
    lateness_s
        How long windows wait for events that come late.
    idle_s
        After so long without a line, event time goes on by the clock.
    wall, monotonic
        Clocks, seconds: of event time, and of intervals.
    """

    def __init__(
        self,
        *,
        lateness_s: float,
        idle_s: float,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        watermark: float,
    ) -> None:
        self._lateness_s = lateness_s
        self._idle_s = idle_s
        self._wall = wall
        self._monotonic = monotonic
        self._logs = Watermark()
        self._last_line, self._reached = monotonic(), watermark

    def note(self, source: str, stream: str, newest: float) -> None:
        """Hear of an event that a stream handed out."""
        self._logs.note(source, stream, newest)

    def note_held(self, newest: float) -> None:
        """Hear of an event that came before the silence, and was counted only now."""
        self._reached = max(self._reached, self._behind(newest))

    def retire(self, source: str, stream: str) -> None:
        """Forget a stream that is gone."""
        self._logs.retire(source, stream)

    def by_events(self, unread: Mapping[str, Collection[str]]) -> float:
        """Return the watermark after a turn that read something, as far as each log has come.

        Parameters
        ----------
        unread
            The streams of each source that hold bytes not read yet.
        """
        return self._behind(self._logs.end_turn(unread))

    def by_clock(self) -> float | None:
        """Return the watermark after a turn that read nothing; None while there is no silence."""
        silent_s = self.silent_s
        return self._reached + silent_s if silent_s else None

    def reach(self, watermark: float) -> None:
        """Remember where the windows stand, now that lines have come."""
        self._last_line, self._reached = self._monotonic(), watermark

    def restart(self, watermark: float) -> None:
        """Go on from where the windows stood before a restart."""
        self._reached = watermark

    @property
    def silent_s(self) -> float:
        """How long no line has come; 0 until that is long enough to be silence."""
        silent_s = self._monotonic() - self._last_line
        return silent_s if silent_s >= self._idle_s else 0.0

    def _behind(self, newest: float) -> float:
        # An event a little ahead of us belongs to a window that others have yet to fill.
        return min(newest, self._wall()) - self._lateness_s
