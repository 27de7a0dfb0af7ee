"""The daemon's log: a line an event on standard error, times in UTC."""

from __future__ import annotations

import logging
import sys
import time

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"


def configure(level: int = logging.INFO) -> None:
    """Send the loggers named ``kedge.…`` to standard error; leave everybody else's alone."""
    formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    ours = logging.getLogger("kedge")
    ours.handlers[:] = [handler]
    ours.setLevel(level)
    ours.propagate = False
