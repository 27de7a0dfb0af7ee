"""Scoring processes behind one port, and the parent that keeps them running and swaps them.

Each worker has a listening socket of its own with SO_REUSEPORT, so that the kernel deals
connections out: with one shared socket the worker that wakes first takes a whole burst.
The parent holds the port bound, and never listens on it.

When the alias moves, a candidate beside each worker loads the next version. Only when all of them
are loaded, checked and warm does each worker hand its port and its connections over, and end. What
a candidate does to its process, no caller notices.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

from scoring.artifacts.target import registered
from scoring.log.counter_files import fold
from scoring.processes.assignment import (
    Assignment,
    Failed,
    HandOver,
    Listen,
    Pinned,
    Ready,
    SwapError,
    Took,
)
from scoring.processes.worker_process import WorkerEndedError, WorkerProcess
from scoring.serve_error import ServeError
from scoring.settings import LINGER_S, LOG_CLOSE_S, ServeSettings
from scoring.web.listen import bind, url_of

logger = logging.getLogger("kedge.scoring.workers")

T = TypeVar("T")

#: A worker that ends is started again, this often within `RESTARTS_WINDOW_S`; then all end.
RESTARTS_MAX: Final = 5
RESTARTS_WINDOW_S: Final = 60.0
RESTART_PAUSE_S: Final = 0.5
#: Beyond the time for draining, before a worker is killed.
STOP_GRACE_S: Final = 2.0
#: How long a candidate that is ready may take to take a port over.
TAKE_TIMEOUT_S: Final = 10.0
#: The folder of the processes' counters within that of the server.
METRICS: Final = "metrics"
_METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


async def supervise(settings: ServeSettings) -> int:
    """Run the workers until told to stop; return 0 when all have drained.

    Raises
    ------
    ServeError
        The workers did not start, or ended too often.
    """
    scratch = Path(tempfile.mkdtemp(prefix="kedge-serve-"))
    (scratch / METRICS).mkdir()
    try:
        # Holds the port for all workers, so that a port picked by the system is the same for all.
        with _told_to_stop() as stop, bind(settings.host, settings.port, shared=True) as held:
            shared = replace(
                settings,
                port=held.getsockname()[1],
                cache=settings.cache or scratch / "models",
            )
            await Crew(shared, scratch).work(stop, url_of(held))
    except OSError as error:
        raise ServeError(f"cannot serve {settings.model_uri}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


@dataclass(slots=True)
class Place:
    """One of the workers, and the version that it serves; the lock is held while it is swapped."""

    worker: WorkerProcess | None = None
    served: Pinned | None = None
    swapping: asyncio.Lock = field(default_factory=asyncio.Lock)


class Crew:
    """The worker processes of one server.

    Parameters
    ----------
    scratch
        A folder that is ours alone.
    """

    def __init__(self, settings: ServeSettings, scratch: Path) -> None:
        self._settings = settings
        self._scratch = scratch
        self._environment = os.environ | {_METRICS_FOLDER: str(scratch / METRICS)}
        self._restarts: list[float] = []
        self._places = [Place() for _ in range(settings.workers)]
        self._leaving: set[asyncio.Task[None]] = set()
        self._numbers = count()
        self._stop = asyncio.Event()

    @property
    def name(self) -> str:
        """The registered model's."""
        return next(place.served.name for place in self._places if place.served)

    @property
    def versions(self) -> set[str]:
        """The versions that answer."""
        return {place.served.version for place in self._places if place.served}

    async def work(self, stop: asyncio.Event, url: str) -> None:
        """Start the workers, say so when all are ready, and keep them up until `stop`."""
        self._stop = stop
        ready: asyncio.Queue[str] = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as group:
                for number, place in enumerate(self._places):
                    group.create_task(self._keep(place, ready), name=f"worker {number}")
                if await self._announced(ready, url):
                    await _unless(stop, self._follow())
        except* ServeError as errors:
            raise errors.exceptions[0] from None
        finally:
            stop.set()
            if self._leaving:
                await asyncio.wait(self._leaving)

    async def _announced(self, ready: asyncio.Queue[str], url: str) -> bool:
        """Print one line when all workers have said that they are ready."""
        line: str | None = None
        for _ in self._places:
            line = await _unless(self._stop, ready.get())
            if line is None:
                return False
        sys.stdout.write(f"{(line or '').rpartition(' on ')[0]} on {url}\n")
        sys.stdout.flush()
        return True

    async def _follow(self) -> None:
        """Keep the workers where the alias points; return at once where there is none."""
        settings = self._settings
        model = registered(settings.model_uri)
        if model is None or model.alias is None or settings.cache is None:
            return
        self._count_in_files()
        from scoring.artifacts.artifact import ArtifactCache  # noqa: PLC0415 - workers start first
        from scoring.artifacts.tracking import Tracking  # noqa: PLC0415 - as above
        from scoring.log.metrics import ScoringMetrics  # noqa: PLC0415 - as above
        from scoring.processes.swap import AliasFollower  # noqa: PLC0415 - as above

        tracking = Tracking.of(settings.tracking_uri)
        if tracking is None:
            raise ServeError(f"cannot follow {settings.model_uri}: no registry is known")
        async with AsyncExitStack() as stack:
            await AliasFollower(
                self,
                alias=model.alias,
                registry=await stack.enter_async_context(tracking.registry()),
                artifacts=ArtifactCache(settings.cache, tracking, allowed=settings.allowed_sources),
                metrics=ScoringMetrics(),
                poll_s=settings.poll_s,
            ).follow()

    def _count_in_files(self) -> None:
        """Say where the counters live, before the import of their library, which looks there."""
        os.environ[_METRICS_FOLDER] = self._environment[_METRICS_FOLDER]

    async def _forget(self, worker: WorkerProcess) -> None:
        """Keep what a worker that has ended counted, without its files."""
        if worker.status is None:
            return
        self._count_in_files()
        try:
            await asyncio.to_thread(fold, self._scratch / METRICS, worker.pid)
        except Exception as error:  # noqa: BLE001 - files of another library: they stay, no more
            logger.warning("cannot add up what worker %d counted: %s", worker.pid, error)

    async def swap(self, target: Pinned) -> None:
        """Load another version beside each worker, and put the candidates in their places.

        Raises
        ------
        SwapError
            It does not load, is no good, hangs, or ends its process: the workers go on.
        """
        candidates: list[tuple[WorkerProcess, Path]] = []
        try:
            # One after the other: the second need not be tried if the first fails.
            for _ in self._places:
                candidates.append(await self._candidate(target))  # noqa: PERF401 - the list is what has to be ended
            while candidates:
                place = self._places[len(candidates) - 1]
                worker, path = candidates[-1]
                await self._exchange(place, worker, path)
                place.served = target
                candidates.pop()
        finally:
            for worker, path in candidates:
                await self._dismiss(worker, path)

    async def _dismiss(self, candidate: WorkerProcess, path: Path) -> None:
        await candidate.kill()
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a name of a socket, in memory
        await self._forget(candidate)

    async def _candidate(self, target: Pinned) -> tuple[WorkerProcess, Path]:
        """Start a process that loads a version; return it when it is ready."""
        path = self._scratch / f"heir-{next(self._numbers)}"
        assignment = Assignment(self._settings, target, path)
        worker = await WorkerProcess.start(assignment, self._environment)
        try:
            async with asyncio.timeout(self._settings.load_timeout_s):
                word = await worker.word()
        except TimeoutError:
            await self._dismiss(worker, path)
            limit_s = self._settings.load_timeout_s
            raise SwapError("load_failed", f"not ready within {limit_s:g} s") from None
        except WorkerEndedError as error:
            await self._dismiss(worker, path)
            raise SwapError("load_failed", error) from None
        except BaseException:
            await worker.kill()
            raise
        if isinstance(word, Failed):
            await self._dismiss(worker, path)
            raise SwapError(word.outcome, word.why)
        return worker, path

    async def _exchange(self, place: Place, candidate: WorkerProcess, path: Path) -> None:
        """Have the worker of a place hand over to the candidate, and then end."""
        async with place.swapping:
            before = place.worker
            if before is None or before.status is not None:
                candidate.order(Listen())
            else:
                before.order(HandOver(path))
            try:
                try:
                    await self._took(candidate)
                except TimeoutError:
                    # The worker does not answer any more. Its callers are lost, its port is not.
                    logger.warning("a worker did not hand its port over")
                    candidate.order(Listen())
                    await self._took(candidate)
            except (TimeoutError, WorkerEndedError) as error:
                raise SwapError("load_failed", f"it did not take the port: {error}") from None
            place.worker = candidate
        if before is not None:
            leaving = asyncio.create_task(self._let_go(before))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _took(self, candidate: WorkerProcess) -> None:
        async with asyncio.timeout(TAKE_TIMEOUT_S):
            while not isinstance(await candidate.word(), Took):
                pass

    async def _let_go(self, worker: WorkerProcess) -> None:
        """Give a worker that has handed its port over time for the callers who stay with it."""
        try:
            async with asyncio.timeout(2 * LINGER_S):
                await _unless(self._stop, worker.wait())
        except TimeoutError:
            logger.warning("worker %d has handed its port over and does not end", worker.pid)
        await self._end(worker)
        await self._forget(worker)

    async def _keep(self, place: Place, ready: asyncio.Queue[str]) -> None:
        """Run one worker, again and again, until `stop`."""
        announced = False
        try:
            while not self._stop.is_set():
                assignment = Assignment(self._settings, place.served)
                place.worker = await WorkerProcess.start(assignment, self._environment)
                said = await _unless(self._stop, self._said(place.worker))
                if isinstance(said, Ready):
                    place.served = said.served
                    if not announced:
                        ready.put_nowait(said.line)
                        announced = True
                    await _unless(self._stop, self._until_ended(place))
                elif said is not None and not announced:
                    # Later failures to start count as restarts: the others still serve.
                    raise ServeError(said.why)
                if not self._stop.is_set():
                    await self._forget(place.worker)
                    self._count_restart(place.worker.status)
                    await _unless(self._stop, asyncio.sleep(RESTART_PAUSE_S))
        finally:
            if place.worker is not None:
                await self._end(place.worker)

    async def _said(self, worker: WorkerProcess) -> Ready | Failed:
        try:
            word = await worker.word()
        except WorkerEndedError:
            word = Failed(f"cannot serve {self._settings.model_uri}: a worker ended as it started")
        return word if isinstance(word, Ready | Failed) else Failed("it spoke out of turn")

    async def _until_ended(self, place: Place) -> None:
        """Wait until the worker of a place has ended and nobody takes its place."""
        worker = place.worker
        while worker is not None:
            await worker.wait()
            async with place.swapping:
                if place.worker is worker:
                    return
                worker = place.worker

    async def _end(self, worker: WorkerProcess) -> None:
        if not await worker.end(self._settings.drain_s + LOG_CLOSE_S + STOP_GRACE_S):
            logger.warning("worker %d did not drain in time and is killed", worker.pid)

    def _count_restart(self, status: int | None) -> None:
        now = asyncio.get_running_loop().time()
        self._restarts = [at for at in self._restarts if now - at < RESTARTS_WINDOW_S] + [now]
        logger.warning("a worker ended with status %s; starting another", status)
        if len(self._restarts) > RESTARTS_MAX:
            raise ServeError(
                f"workers ended {len(self._restarts)} times within {RESTARTS_WINDOW_S:g} s, "
                f"the last with status {status}"
            )


@contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Have SIGTERM and SIGINT set an event."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


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
