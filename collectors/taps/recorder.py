"""From the traffic to the spool, by a thread of its own: the traffic never waits for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

from collectors.spool.files import SpoolError
from collectors.spool.spool import Batch, Spool
from collectors.taps.lines import Seen, line_of
from collectors.taps.standing import CUT_OFF

log = logging.getLogger("kedge.tap")

#: How often what was seen is written, and how often the counts are told.
FLUSH_S, TELL_S = 0.05, 1.0
#: What waits for the disk at most; beyond that it is shed.
WAITING_MAX, WAITING_BYTES_MAX = 10_000, 32 << 20
#: Requests written under one flush.
TOGETHER_MAX = 500


class Recorder:
    """A bounded queue before a spool.

    `offer` and `cost` belong to the event loop, everything else to the thread.

    Parameters
    ----------
    line_bytes_max
        Longest line.
    tell
        Is given the counts by name, about once a second.
    """

    def __init__(
        self, spool: Spool, line_bytes_max: int, tell: Callable[[Mapping[str, int]], None]
    ) -> None:
        self._spool = spool
        self._line_bytes_max = line_bytes_max
        self._tell = tell
        self._waiting: deque[Seen] = deque()
        # Each is written by one thread only, and read by the other.
        self._offered = self._offered_bytes = self._taken_bytes = 0
        self._shed = self._told = 0
        # All keys at once, so that one thread may read while the other adds.
        self._refused = dict.fromkeys(CUT_OFF, 0)
        self._costs: Counter[str] = Counter()
        self._next_tell = 0.0
        self._troubled = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kedge-tap-recorder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def offer(self, seen: Seen) -> None:
        """Take up a request, or count it as shed; never waits."""
        self._offered += 1
        waiting_bytes = self._offered_bytes - self._taken_bytes + seen.size
        if len(self._waiting) >= WAITING_MAX or waiting_bytes > WAITING_BYTES_MAX:
            self._shed += 1
            return
        self._offered_bytes += seen.size
        self._waiting.append(seen)

    def refuse(self, reason: str) -> None:
        """Count a client that was cut off by a limit."""
        self._refused[f"tap_{reason}"] += 1

    def stop(self) -> None:
        """Write what waits, and let go of the spool."""
        self._stop.set()
        self._thread.join()
        self._spool.close()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(FLUSH_S)
            self._flush()
            if time.monotonic() >= self._next_tell:
                self._next_tell = time.monotonic() + TELL_S
                self._tell({**self._costs, **self._refused, "tapped": self._offered})

    def _flush(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), TOGETHER_MAX)
            group = [self._waiting.popleft() for _ in range(count)]
            lines = [line_of(seen, self._line_bytes_max, self._costs) for seen in group]
            before = self._spool.durable_lines
            try:
                self._spool.append([Batch(lines, [None] * count)])
            except SpoolError as error:
                self._told -= count - (self._spool.durable_lines - before)
                self._say(error)
            else:
                self._troubled = False
            self._taken_bytes += sum(seen.size for seen in group)
        self._note_shed()

    def _note_shed(self) -> None:
        """Leave a gap in the numbers of lines: who reads on behind it counts it as shed."""
        missing = self._shed - self._told
        if missing:
            try:
                self._spool.skip(missing)
            except SpoolError as error:
                self._say(error)
            else:
                self._told += missing

    def _say(self, error: SpoolError) -> None:
        if not self._troubled:
            log.error("requests are passed on and not recorded: %s", error)
        self._troubled = True
