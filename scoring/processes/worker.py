"""A scoring process that another one started: ``python -m scoring.processes.worker``.

What goes over its pipes is in `scoring.processes.assignment`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from collectors import log_output
from scoring.answering.warm import ModelCheckError
from scoring.processes.assignment import (
    Assignment,
    Failed,
    Order,
    Word,
    assignment_of,
    line_of,
    order_of,
)
from scoring.processes.serving import Post, serve
from scoring.serve_error import ServeError


def main() -> int:
    """Serve as the line on standard input says; return the exit status."""
    # What the model's libraries say is theirs, in lines of their own.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    log_output.configure_alike(service="kedge-serve")
    # What a model prints must neither be taken for our line nor fill a pipe that nobody reads.
    parent = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def say(word: Word) -> None:
        parent.write(line_of(word))
        parent.flush()

    assignment = assignment_of(sys.stdin.buffer.readline())
    try:
        return asyncio.run(_work(assignment, say))
    except (ServeError, OSError) as error:
        checked = isinstance(error.__cause__, ModelCheckError)
        why = " ".join(str(error).split())
        say(Failed(why, "check_failed" if checked else "load_failed"))
        return 1


async def _work(assignment: Assignment, say: Callable[[Word], None]) -> int:
    orders: asyncio.Queue[Order] = asyncio.Queue()
    threading.Thread(
        target=_listen_to_parent,
        args=(asyncio.get_running_loop(), orders),
        name="parent watch",
        daemon=True,
    ).start()
    return await serve(assignment.settings, Post(assignment, say, orders))


def _listen_to_parent(loop: asyncio.AbstractEventLoop, orders: asyncio.Queue[Order]) -> None:
    unread = b""
    try:
        # Not through the buffer: its lock would be held when the interpreter ends.
        while data := os.read(sys.stdin.fileno(), 4096):
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                loop.call_soon_threadsafe(orders.put_nowait, order_of(line))
    except (OSError, ValueError, RuntimeError):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
