"""`kedge serve`: one process that scores, or several and a parent that keeps them running.

A model that is followed always has a parent: its next version is loaded in a process of its own.
"""

from __future__ import annotations

import asyncio
import os

from scoring.artifacts.target import TargetError, registered
from scoring.serve_error import ServeError
from scoring.settings import ServeSettings

__all__ = ["ServeError", "ServeSettings", "run"]


def run(settings: ServeSettings) -> int:
    """Serve until told to stop (SIGTERM, SIGINT); return the exit status, 0.

    Raises
    ------
    ServeError
        The server did not start, or too many of its workers ended.
    """
    _limit_threads()
    if settings.workers > 1 or _follows(settings):
        from scoring.processes.workers import supervise  # noqa: PLC0415 - a parent of workers alone

        return asyncio.run(supervise(settings))
    # What scores is not imported where only a parent runs.
    from scoring.processes.serving import serve  # noqa: PLC0415 - see above

    return asyncio.run(serve(settings))


def _follows(settings: ServeSettings) -> bool:
    try:
        model = registered(settings.model_uri)
    except TargetError:
        return False
    return model is not None and model.alias is not None


def _limit_threads() -> None:
    """Keep OpenMP from starting a team for every row: it costs more than the row.

    Whoever serves large batches sets the variable, and is left alone.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
