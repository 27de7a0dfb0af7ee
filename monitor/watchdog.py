"""Notices an event loop that stands still, says where it stands, and in the end gives it up.

A handler that never yields would leave probes unanswered and rollbacks undecided for ever, in a
process that looks alive. Everything counted is in the store, so a restart loses nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Self, TextIO

log = logging.getLogger("kedge.watchdog")

BEAT_S = 1.0
#: Beats that the loop may miss before it is told where it stands, and before it is given up.
MISSED_TOLD, MISSED_MAX = 10, 60
GIVEN_UP = 1


class Watchdog:
    """A thread that asks the loop for a sign of life every `beat_s`.

    It counts its own rounds, not the time that has passed: a process that was frozen (SIGSTOP,
    a paused container, a sleeping machine) has missed none.

    Parameters
    ----------
    end
        Ends the process at once; it gets the exit status.
    stacks
        Where the stacks of all threads are written.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        beat_s: float = BEAT_S,
        end: Callable[[int], object] = os._exit,
        stacks: TextIO = sys.stderr,
    ) -> None:
        self._loop = loop
        self._beat_s = beat_s
        self._end = end
        self._stacks = stacks
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="kedge-watchdog", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        answered, missed = threading.Event(), 0
        self._loop.call_soon_threadsafe(answered.set)
        while not self._stopped.wait(self._beat_s):
            if answered.is_set():
                answered.clear()
                missed = 0
                self._loop.call_soon_threadsafe(answered.set)
                continue
            missed += 1
            if missed == MISSED_TOLD:
                log.error("the event loop has stood still for %g s", missed * self._beat_s)
                faulthandler.dump_traceback(self._stacks, all_threads=True)
            if missed >= MISSED_MAX:
                log.critical("the event loop stands still: ended, to be started again")
                self._end(GIVEN_UP)
                return
