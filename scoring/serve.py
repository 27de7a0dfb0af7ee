"""`kedge serve`: one process that scores, from its start to its drained end.

With several workers the command is `scoring.workers`, and this runs in each of them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from collectors.registry import MlflowRegistry, RegistryError
from scoring.artifact import ArtifactCache, ArtifactError
from scoring.front import Front
from scoring.keys import Gate, Keys
from scoring.listen import bind, url_of
from scoring.live import Live, load_served
from scoring.log_file import LogFile
from scoring.metrics import LOG_SOURCE, ScoringMetrics
from scoring.model import ModelLoadError
from scoring.prediction_log import PredictionLog
from scoring.server import ScoringServer
from scoring.settings import ServeSettings
from scoring.swap import AliasFollower
from scoring.target import Target, TargetError, registered, resolve, unregistered
from scoring.tracking import Tracking
from scoring.warm import ModelCheckError

__all__ = ["ServeError", "ServeSettings", "run", "serve"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
#: How long the prediction log may take to write what is left.
LOG_CLOSE_S: Final = 5.0
#: Connections that wait to be accepted: a burst must not be refused.
BACKLOG_CONNECTIONS: Final = 1024


class ServeError(RuntimeError):
    """The server did not start; the message is one line that says why and what to do."""


def run(settings: ServeSettings) -> int:
    """Serve until told to stop (SIGTERM, SIGINT); return the exit status, 0.

    Raises
    ------
    ServeError
        The server did not start, or too many of its workers ended.
    """
    _limit_threads()
    if settings.workers > 1:
        from scoring.workers import supervise  # noqa: PLC0415 - it imports this module

        return asyncio.run(supervise(settings))
    return asyncio.run(serve(settings))


def _limit_threads() -> None:
    """Keep OpenMP from starting a team for every row: it costs more than the row.

    Whoever serves large batches sets the variable, and is left alone.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")


async def serve(
    settings: ServeSettings,
    *,
    listening: socket.socket | None = None,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Serve in this process until told to stop; return 0 when drained.

    Parameters
    ----------
    listening
        A socket to serve on, bound; by default one is bound to the settings' host and port.
    ready
        Is called with the line that says what is served where; it is printed by default.
    stop
        Stops the server when set. By default SIGTERM and SIGINT do, and a second one cancels.

    Raises
    ------
    ServeError
        The server did not start.
    """
    with _told_to_stop(stop) as told:
        try:
            async with AsyncExitStack() as stack:
                running = await _started(stack, settings, listening)
                (ready or _print_line)(running.line)
                told.started = True
                await _until_stopped(told.stop, running.follower)
        except asyncio.CancelledError:
            if not told.stop.is_set():
                raise
    return 0


async def _started(
    stack: AsyncExitStack, settings: ServeSettings, listening: socket.socket | None
) -> _Running:
    try:
        return await stack.enter_async_context(_running(settings, listening))
    except (
        *(TargetError, RegistryError, ArtifactError, ModelLoadError, ModelCheckError),
        *(OSError, ValueError),
    ) as error:
        raise ServeError(f"cannot serve {settings.model_uri}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Running:
    line: str
    follower: AliasFollower | None


@asynccontextmanager
async def _running(
    settings: ServeSettings, listening: socket.socket | None
) -> AsyncIterator[_Running]:
    """Bring the parts up in order; take them down in the opposite one.

    The listening socket closes first, then requests in flight end, then the log is written.
    """
    async with AsyncExitStack() as stack:
        own = listening or bind(settings.host, settings.port, shared=False)
        stack.callback(own.close)
        tracking = Tracking.of(settings.tracking_uri)
        artifacts = ArtifactCache(
            _cache_folder(settings, stack), tracking, allowed=settings.allowed_sources
        )
        target, registry = await _resolved(settings.model_uri, tracking, stack)
        loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        stack.callback(loader.shutdown, wait=False, cancel_futures=True)
        folder = await artifacts.fetch(target.source)
        # What was asked for is served even if its stored example is not good: there is no other.
        served = await asyncio.get_running_loop().run_in_executor(
            loader,
            lambda: load_served(
                *(folder, target.name, target.version),
                checked=False,
                accidents=settings.mlflow_accidents,
            ),
        )
        live, metrics = Live(served), ScoringMetrics()
        log = _started_log(settings, metrics, stack)
        server = ScoringServer(
            live,
            metrics,
            log,
            body_bytes_max=settings.body_bytes_max,
            batch_rows_max=settings.batch_rows_max,
            request_timeout_s=settings.request_timeout_s,
            gate=_gate(settings),
        )
        stack.callback(server.close)
        runner = web.AppRunner(
            server.app(), access_log=None, shutdown_timeout=settings.drain_s, handle_signals=False
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await _listening(server, runner, own, settings, stack)
        yield _Running(
            f"serving models:/{target.name} version {target.version} on {url_of(own)}"
            if registry is not None
            else f"serving {target.source} on {url_of(own)}",
            _follower(
                target=target,
                settings=settings,
                live=live,
                registry=registry,
                artifacts=artifacts,
                loader=loader,
                metrics=metrics,
            ),
        )


def _gate(settings: ServeSettings) -> Gate | None:
    if settings.api_keys is None and settings.rate_limit is None:
        return None
    keys = None if settings.api_keys is None else Keys(settings.api_keys)
    rate = None if settings.rate_limit is None else settings.rate_limit / settings.workers
    return Gate(keys, rate)


async def _listening(
    server: ScoringServer,
    runner: web.AppRunner,
    own: socket.socket,
    settings: ServeSettings,
    stack: AsyncExitStack,
) -> None:
    """Take connections; at the end no more of them, and answer what is on its way."""
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    front = Front(server, runner.server)
    stack.push_async_callback(front.drain, settings.drain_s)
    listener = await asyncio.get_running_loop().create_server(
        front.connect, sock=own, backlog=BACKLOG_CONNECTIONS
    )
    stack.callback(listener.close)


async def _resolved(
    uri: str, tracking: Tracking | None, stack: AsyncExitStack
) -> tuple[Target, MlflowRegistry | None]:
    model = registered(uri)
    if model is None:
        return unregistered(uri), None
    if tracking is None:
        raise TargetError("no registry is known: give --tracking-uri or set MLFLOW_TRACKING_URI")
    registry = await stack.enter_async_context(tracking.registry())
    return await resolve(model, registry), registry


def _follower(
    *,
    target: Target,
    settings: ServeSettings,
    live: Live,
    registry: MlflowRegistry | None,
    artifacts: ArtifactCache,
    loader: ThreadPoolExecutor,
    metrics: ScoringMetrics,
) -> AliasFollower | None:
    if target.alias is None or registry is None:
        return None
    return AliasFollower(
        live,
        alias=target.alias,
        registry=registry,
        artifacts=artifacts,
        loader=loader,
        metrics=metrics,
        poll_s=settings.poll_s,
        accidents=settings.mlflow_accidents,
    )


def _started_log(
    settings: ServeSettings, metrics: ScoringMetrics, stack: AsyncExitStack
) -> PredictionLog | None:
    if settings.log is None:
        return None
    file = LogFile(settings.log, bytes_max=settings.log_bytes_max, keep=settings.log_keep)
    # A path that cannot be written is a mistake to tell now, not with the first request.
    try:
        file.open()
    except OSError as error:
        raise OSError(
            f"cannot write the prediction log {settings.log}: {error.strerror}"
        ) from error
    log = PredictionLog(
        file, shed=metrics.shed_events.labels(LOG_SOURCE), failures=metrics.log_failures
    )
    log.start()
    stack.callback(log.close, LOG_CLOSE_S)
    return log


def _cache_folder(settings: ServeSettings, stack: AsyncExitStack) -> Path:
    if settings.cache is not None:
        return settings.cache
    folder = Path(tempfile.mkdtemp(prefix="kedge-serve-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass(slots=True)
class _Told:
    stop: asyncio.Event
    started: bool = False


@contextmanager
def _told_to_stop(stop: asyncio.Event | None) -> Iterator[_Told]:
    """Have SIGTERM and SIGINT set the event, unless the caller has one of its own.

    A signal before the start is done, and a second one at any time, cancels.
    """
    if stop is not None:
        yield _Told(stop)
        return
    told = _Told(asyncio.Event())
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def signalled() -> None:
        if task is not None and (told.stop.is_set() or not told.started):
            task.cancel()
        told.stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, signalled)
    try:
        yield told
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _until_stopped(stop: asyncio.Event, follower: AliasFollower | None) -> None:
    """Wait for `stop`. A follower that ends by itself has met a fault of ours: raise it."""
    waiting = asyncio.create_task(stop.wait(), name="stop signal")
    following = None
    if follower is not None:
        following = asyncio.create_task(follower.follow(), name="alias follower")
    tasks = [task for task in (waiting, following) if task is not None]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
