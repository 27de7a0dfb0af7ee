"""Several scoring processes behind one port, and the parent that keeps them running.

Each worker has a listening socket of its own with SO_REUSEPORT, so that the kernel deals
connections out: with one shared socket the worker that wakes first takes a whole burst.
The parent holds the port bound, and never listens on it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

import scoring
from scoring.listen import bind, url_of
from scoring.serve import LOG_CLOSE_S, ServeError
from scoring.settings import ServeSettings

logger = logging.getLogger("kedge.scoring.workers")

T = TypeVar("T")
#: How a worker's one line begins: it serves, or it cannot.
READY: Final = "ready"
FAILED: Final = "failed"

#: A worker that ends is started again, this often within `RESTARTS_WINDOW_S`; then all end.
RESTARTS_MAX: Final = 5
RESTARTS_WINDOW_S: Final = 60.0
RESTART_PAUSE_S: Final = 0.5
#: Beyond the time for draining, before a worker is killed.
STOP_GRACE_S: Final = 2.0


async def supervise(settings: ServeSettings) -> int:
    """Run the workers until told to stop; return 0 when all have drained.

    Raises
    ------
    ServeError
        The workers did not start, or ended too often.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    scratch = Path(tempfile.mkdtemp(prefix="kedge-serve-"))
    try:
        # Holds the port for all workers, so that a port picked by the system is the same for all.
        with bind(settings.host, settings.port, shared=True) as held:
            shared = replace(
                settings,
                port=held.getsockname()[1],
                cache=settings.cache or scratch / "models",
            )
            crew = Crew(shared, scratch / "metrics")
            await crew.work(stop, url_of(held))
    except OSError as error:
        raise ServeError(f"cannot serve {settings.model_uri}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return 0


class Crew:
    """The worker processes of one server."""

    def __init__(self, settings: ServeSettings, metrics: Path) -> None:
        self._settings = settings
        self._metrics = metrics
        self._restarts: list[float] = []

    async def work(self, stop: asyncio.Event, url: str) -> None:
        """Start the workers, say so when all are ready, and keep them up until `stop`."""
        self._metrics.mkdir()
        ready: asyncio.Queue[str] = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._settings.workers):
                    group.create_task(self._keep(stop, ready), name=f"worker {number}")
                group.create_task(self._announce(stop, ready, url), name="announcement")
        except* ServeError as errors:
            raise errors.exceptions[0] from None

    async def _announce(self, stop: asyncio.Event, ready: asyncio.Queue[str], url: str) -> None:
        """Print one line when all workers have said that they are ready."""
        line: str | None = None
        for _ in range(self._settings.workers):
            line = await _unless(stop, ready.get())
            if line is None:
                return
        sys.stdout.write(f"{(line or '').rpartition(' on ')[0]} on {url}\n")
        sys.stdout.flush()

    async def _keep(self, stop: asyncio.Event, ready: asyncio.Queue[str]) -> None:
        """Run one worker, again and again, until `stop`."""
        announced = False
        while not stop.is_set():
            process = await self._start()
            try:
                said = await _unless(stop, _line(process))
                if said is not None and not announced:
                    # Later failures to start count as restarts: the others still serve.
                    ready.put_nowait(_checked(said, self._settings))
                    announced = True
                await _unless(stop, process.wait())
            finally:
                await self._end(process)
            if not stop.is_set():
                self._count_restart(process.returncode)
                await _unless(stop, asyncio.sleep(RESTART_PAUSE_S))

    async def _start(self) -> asyncio.subprocess.Process:
        root = str(Path(scoring.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scoring.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path, "PROMETHEUS_MULTIPROC_DIR": str(self._metrics)},
            # Ctrl-C reaches the parent, which then tells the workers in good order.
            start_new_session=True,
        )
        if process.stdin is not None:
            # The pipe stays open: when it closes, the parent is gone and the worker ends too.
            process.stdin.write(msgspec.json.encode(self._settings, enc_hook=str) + b"\n")
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Let a worker drain, and kill it when it takes too long."""
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._settings.drain_s + LOG_CLOSE_S + STOP_GRACE_S):
                await process.wait()
        except TimeoutError:
            logger.warning("worker %d did not drain in time and is killed", process.pid)
            process.kill()
            await process.wait()

    def _count_restart(self, status: int | None) -> None:
        now = asyncio.get_running_loop().time()
        self._restarts = [at for at in self._restarts if now - at < RESTARTS_WINDOW_S] + [now]
        logger.warning("a worker ended with status %s; starting another", status)
        if len(self._restarts) > RESTARTS_MAX:
            raise ServeError(
                f"workers ended {len(self._restarts)} times within {RESTARTS_WINDOW_S:g} s, "
                f"the last with status {status}"
            )


async def _unless(stop: asyncio.Event, awaited: Coroutine[Any, Any, T]) -> T | None:
    """Wait for a result; None when `stop` came first."""
    stopping = asyncio.ensure_future(stop.wait())
    working = asyncio.ensure_future(awaited)
    try:
        await asyncio.wait((stopping, working), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (stopping, working):
            task.cancel()
        await asyncio.gather(stopping, working, return_exceptions=True)


async def _line(process: asyncio.subprocess.Process) -> str:
    """Return the one line that a worker says; empty when it ended without one."""
    if process.stdout is None:
        return ""
    return (await process.stdout.readline()).decode(errors="replace").strip()


def _checked(said: str, settings: ServeSettings) -> str:
    kind, _, line = said.partition(" ")
    if kind == READY:
        return line
    raise ServeError(line or f"cannot serve {settings.model_uri}: a worker ended as it started")
