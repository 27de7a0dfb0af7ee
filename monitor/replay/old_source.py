"""The source of a replay: the lines of old logs, each in its turn.

Logs that lie one behind the other in time are read so. Logs of the same hours (of several pods)
are read side by side: always the one that has come least far, and windows stay open until all
have passed. So which file a row stands in makes it no later than it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field

from collectors.source import Chunk
from collectors.tail.tail import POLL_BYTES
from monitor.replay.decoding_ahead import VAIN_MAX, Answer, Expected, FormatAhead, Pool
from monitor.replay.old_logs import OldLog, Piece, UnreadableLogError, lines_of

#: Told which file is read, and which share of it has been.
Progress = Callable[[OldLog, float], None]


@dataclass(slots=True)
class _Open:
    """A log, and how far it has come."""

    log: OldLog
    pieces: Iterator[Piece]
    newest: float
    ahead: deque[tuple[Piece, Future[Answer] | None]] = field(default_factory=deque)
    begun: bool = False
    ended: bool = False

    def hear(self, ts: float) -> None:
        """Hear of an event that was handed out."""
        self.newest = max(self.newest, ts) if self.begun else ts


class OldSource:
    """Hands out the lines of old logs, and has them decoded ahead.

    Parameters
    ----------
    logs
        In the order of their first events.
    pool
        Decodes ahead; None to decode here.
    lateness_s
        How long windows stay open for the log that has come least far, in seconds.
    now
        Event times behind this count as of then, seconds since the epoch.

    Attributes
    ----------
    faults
        Why logs could not be read to their end.
    newest
        Largest event time handed out, seconds since the epoch; ``-inf`` before any.
    """

    def __init__(
        self,
        logs: Sequence[OldLog],
        format_: FormatAhead,
        *,
        pool: Pool | None,
        lateness_s: float,
        now: float,
        progress: Progress,
    ) -> None:
        self._logs = [_Open(log, log.pieces(), log.begins) for log in logs]
        self._format = format_
        self._pool = pool
        self._lateness_s = lateness_s
        self._now = now
        self._progress = progress
        self._retired: list[str] = []
        self._decoded = False
        format_.unread = self._behind
        format_.heard = self._heard
        self.faults: list[str] = []
        self.newest = -math.inf

    def restore(self, positions: Mapping[str, Mapping[str, object]]) -> None:
        """Do nothing: a replay begins at the beginning."""

    def poll(self) -> Sequence[Chunk]:
        """Read on, at most about `POLL_BYTES`, as the daemon does."""
        chunks: list[Chunk] = []
        left = POLL_BYTES
        while left > 0 and self._logs:
            current = min(self._logs, key=lambda one: one.newest)
            while left > 0 and (read := self._next(current)) is not None:
                left -= len(read.lines)
                chunks.append(read)
            if current.ended and not current.ahead:
                self._logs.remove(current)
                self._retired.append(current.log.path)
        return chunks

    def retired(self) -> Sequence[str]:
        """Return logs that were read to their end: they hold no other back."""
        retired, self._retired = self._retired, []
        return retired

    def unread_bytes(self) -> Mapping[str, int]:
        """Return the sizes of the logs that were not read to their end."""
        return {one.log.path: max(1, one.log.size) for one in self._logs}

    def close(self) -> None:
        """Do nothing: files are closed by whoever reads them."""

    def _behind(self) -> float:
        """Event time that no window may pass, because a log has come no further.

        One that was begun holds windows open as long as it would alone; one that was not, from
        its first event on.
        """
        return min(
            (one.newest - (self._lateness_s if one.begun else 0.0) for one in self._logs),
            default=math.inf,
        )

    def _heard(self, ts: float) -> None:
        # As the windows take it: an event of the future is one of now.
        self.newest = max(self.newest, min(ts, self._now))

    def _next(self, current: _Open) -> Chunk | None:
        self._read_ahead(current)
        if not current.ahead:
            return None
        piece, future = current.ahead.popleft()
        answer = _answer(future) if future is not None else None
        lines = answer.lines if answer is not None else None
        if lines is None:
            lines = lines_of(piece, current.log.reading.options)

        def heard(ts: float) -> None:
            current.hear(min(ts, self._now))
            current.begun = True
            self._heard(ts)
            self._decoded = True

        self._format.expect(Expected(lines, current.log.format, answer, heard))
        self._progress(current.log, piece.share_read)
        return Chunk(current.log.path, lines, {}, piece.skipped)

    def _read_ahead(self, current: _Open) -> None:
        """Have pieces of this log decoded, and of the next ones if it ends soon."""
        pool = self._pool
        if pool is None or not self._decoded or self._format.vain >= VAIN_MAX:
            # Before the first lines were decoded the columns are not known: all would be in vain.
            self._fill(current, 1, None)
            return
        waiting = sum(len(one.ahead) for one in self._logs)
        room = pool.pieces_max - waiting
        self._fill(current, max(1, len(current.ahead) + room), pool)
        if not current.ended:
            return
        for log in sorted(self._logs, key=lambda one: one.newest):
            room = pool.pieces_max - sum(len(one.ahead) for one in self._logs)
            if room <= 0:
                return
            if log is not current:
                self._fill(log, len(log.ahead) + room, pool)

    def _fill(self, log: _Open, pieces: int, pool: Pool | None) -> None:
        while len(log.ahead) < pieces and not log.ended:
            try:
                piece = next(log.pieces, None)
            except UnreadableLogError as error:
                self.faults.append(str(error))
                piece = None
            if piece is None:
                log.ended = True
                return
            is_nothing = piece.lines is not None and not piece.lines
            future = None
            if pool is not None and not is_nothing:
                future = pool.decode(piece.light(), self._format.standing(log.log.format))
            log.ahead.append((piece, future))


def _answer(future: Future[Answer]) -> Answer:
    try:
        return future.result()
    except BrokenExecutor as error:
        raise UnreadableLogError(
            "a process that decodes has died, most likely for want of memory; "
            "--processes 1 does without"
        ) from error
