"""Starts the process of a tap, and starts it again when it ends.

The process outlives a Kedge that is killed: traffic must not stop for what only watches it. The
next Kedge takes it over if its settings are the same, and replaces it otherwise. A Kedge that is
stopped in good order stops it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from collectors.taps.standing import Errand, Standing, digest, is_taken, is_tap, read_standing

log = logging.getLogger("kedge.tap")

LOOK_S = 0.25
#: Pause before a process that ended is started again; longer and longer while it ends at once.
PAUSE_MIN_S, PAUSE_MAX_S = 0.25, 5.0
#: One that ran for so long did not end at once.
LASTING_S = 10.0
#: How long it may take to stop.
STOP_S = 12.0


class TapWatch:
    """The process of one tap.

    Parameters
    ----------
    errand
        What it is to do. Where a position is told, `place` tells a later one.
    """

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._folder = Path(errand.settings.path)
        self._digest = digest(errand)
        self._child: subprocess.Popen[bytes] | None = None
        self._taken_over: int | None = None
        self._began, self._pause_s, self._next_start = 0.0, PAUSE_MIN_S, 0.0
        self._seen: Standing | None = None
        self._before: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="kedge-tap-watch", daemon=True)
        #: Where the reading stands; told to the next process.
        self.place: Mapping[str, int] | None = errand.after
        #: Why there is no process; None while there is one.
        self.trouble: str | None = None

    def start(self) -> None:
        """Start the process, or take over the one that runs."""
        self._look()
        self._thread.start()

    def counts(self) -> Mapping[str, int]:
        """Return what limits have cost in all processes of this watch."""
        now = self._seen.counts if self._seen is not None else {}
        return self._before + Counter(now)

    def stop(self) -> None:
        """Stop the process, and wait until it has."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        child = self._child
        if child is not None:
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        elif self._taken_over is not None:
            _signal(self._taken_over, signal.SIGTERM)
            ends = time.monotonic() + STOP_S
            while is_taken(self._folder) and time.monotonic() < ends:
                time.sleep(LOOK_S / 5)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._look()
            except OSError as error:
                self.trouble = f"the tap's process cannot be started: {error}"

    def _look(self) -> None:
        self._note_end()
        if self._child is None and self._taken_over is None:
            self._begin()
        standing = read_standing(self._folder)
        pid = self._child.pid if self._child is not None else self._taken_over
        if standing is not None and standing.pid == pid:
            self._seen, self.trouble = standing, None

    def _note_end(self) -> None:
        """Find out whether the process has ended."""
        if self._child is not None and (status := self._child.poll()) is not None:
            self._child = None
            ended = f"ended with status {status}"
        elif self._taken_over is not None and not is_tap(self._taken_over):
            self._taken_over = None
            ended = "ended"
        else:
            return
        if self._seen is not None:
            self._before.update(self._seen.counts)
            self._seen = None
        lasted = time.monotonic() - self._began >= LASTING_S
        self._pause_s = PAUSE_MIN_S if lasted else min(self._pause_s * 2, PAUSE_MAX_S)
        self._next_start = time.monotonic() + self._pause_s
        self.trouble = f"the tap's process {ended}; requests are refused until it is there again"
        log.error("%s: %s", self._errand.name, self.trouble)

    def _begin(self) -> None:
        if time.monotonic() < self._next_start:
            return
        if is_taken(self._folder):
            self._meet_holder()
            return
        self._began = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "collectors.taps.process"],
            stdin=subprocess.PIPE,
            process_group=0,  # a Ctrl-C at the terminal is Kedge's to act upon
        )
        errand = msgspec.structs.replace(self._errand, after=self.place)
        self._child = child
        with contextlib.suppress(BrokenPipeError):
            if child.stdin is not None:
                child.stdin.write(msgspec.json.encode(errand))
                child.stdin.close()

    def _meet_holder(self) -> None:
        """Take over the process that holds the spool, or ask it to go."""
        standing = read_standing(self._folder)
        if standing is None or not is_tap(standing.pid):
            self.trouble = f"another program uses {self._folder}. Stop it, or give another path"
        elif standing.errand == self._digest:
            log.info(
                "%s: takes over process %d, which is passing on", self._errand.name, standing.pid
            )
            self._taken_over, self._began = standing.pid, time.monotonic()
        else:
            log.info(
                "%s: replaces process %d, whose settings are others",
                self._errand.name,
                standing.pid,
            )
            _signal(standing.pid, signal.SIGTERM)


def _signal(pid: int, number: signal.Signals) -> None:
    if is_tap(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
