"""One of several scoring processes: ``python -m scoring.worker``, started by `scoring.workers`.

The settings come as one line of JSON on standard input, and one line goes back: ``ready …`` or
``failed …``. When standard input ends, the parent is gone, and the worker drains and ends too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from scoring.listen import bind
from scoring.serve import ServeError, serve
from scoring.settings import ServeSettings
from scoring.workers import FAILED, READY


def main() -> int:
    """Serve as the line on standard input says; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # What a model prints must neither be taken for our line nor fill a pipe that nobody reads.
    parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(kind: str, line: str) -> None:
        parent.write(f"{kind} {' '.join(line.split())}\n")
        parent.flush()

    settings = msgspec.json.decode(
        sys.stdin.buffer.readline(), type=ServeSettings, dec_hook=_decode_path
    )
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()
    try:
        listening = bind(settings.host, settings.port, shared=True)
        return asyncio.run(
            serve(settings, listening=listening, ready=lambda line: say(READY, line))
        )
    except (ServeError, OSError) as error:
        say(FAILED, str(error))
        return 1


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(f"cannot read a {kind.__name__}")


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, ValueError):
        # Not through the buffer: its lock would be held when the interpreter ends.
        while os.read(sys.stdin.fileno(), 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
