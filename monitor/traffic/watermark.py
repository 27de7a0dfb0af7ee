"""How far event time has come, when several logs are read side by side.

A window closes when the watermark reaches its end, and rows behind it are late. One log that is
read ahead of another must therefore not move it alone: while there is a backlog, the slowest
stream of those that have more to read counts; once everything is read, the newest event does,
because then silence of a stream says only that nothing happened there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

#: Turns after which a stream that hands out nothing no longer holds the others back, although
#: it has a backlog: many files take turns, and one that was given up never comes.
PATIENCE_TURNS = 100


@dataclass(slots=True)
class _Stream:
    newest: float
    turn: int


class Watermark:
    """The newest event of every stream, and what follows from them.

    Times are event time, seconds since the epoch.
    """

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._turn = 0
        self._newest = -math.inf

    def note(self, source: str, stream: str, newest: float) -> None:
        """Hear of an event that a stream handed out."""
        self._newest = max(self._newest, newest)
        known = self._streams.setdefault((source, stream), _Stream(newest, self._turn))
        known.newest, known.turn = max(known.newest, newest), self._turn

    def retire(self, source: str, stream: str) -> None:
        """Forget a stream that is gone."""
        self._streams.pop((source, stream), None)

    def end_turn(self, unread: Mapping[str, Collection[str]]) -> float:
        """Return how far event time has come; ``-inf`` while that cannot be told.

        Parameters
        ----------
        unread
            The streams of each source that hold bytes not read yet. A source that has them, and
            has never handed out an event, may begin anywhere in time, so nothing can be told
            until it does, or is given up.
        """
        self._turn += 1
        lagging = {source: names for source, names in unread.items() if names}
        heard = {source for source, _ in self._streams}
        if lagging.keys() - heard and self._turn <= PATIENCE_TURNS:
            return -math.inf
        holding = [self._reached(source, names) for source, names in lagging.items()]
        return min((time for time in holding if time is not None), default=self._newest)

    def _reached(self, source: str, unread: Collection[str]) -> float | None:
        """Return how far a source with a backlog has come; None if it holds nothing back.

        That is how far the slowest of the streams has come that have more to read. Where the
        rest is all in streams that were not begun, it goes on from the source's newest event: a
        rotated log is read file by file.
        """
        patient = {
            name: stream.newest
            for (of, name), stream in self._streams.items()
            if of == source and self._turn - stream.turn <= PATIENCE_TURNS
        }
        begun = [patient[name] for name in unread if name in patient]
        if begun:
            return min(begun)
        if all((source, name) in self._streams for name in unread):
            return None
        return max(patient.values(), default=None)
