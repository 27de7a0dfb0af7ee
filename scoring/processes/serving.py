"""One process that scores, from its start to its drained end.

By itself it binds a socket and follows nothing. As a worker (`scoring.processes.worker`) it may
follow the alias, take a port and its connections over from a predecessor, and hand them to a
successor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from collectors.registry.client import MlflowRegistry, RegistryError
from scoring.answering.live import Live, Served, load_served
from scoring.answering.warm import ModelCheckError
from scoring.artifacts.artifact import ArtifactCache, ArtifactError
from scoring.artifacts.target import Target, TargetError, registered, resolve, unregistered
from scoring.artifacts.tracking import Tracking
from scoring.flavours.model import ModelLoadError
from scoring.log.log_file import LogFile
from scoring.log.metrics import LOG_SOURCE, ScoringMetrics
from scoring.log.prediction_log import PredictionLog
from scoring.processes.assignment import Assignment, HandOver, Order, Pinned, Ready, Took, Word
from scoring.processes.place import Place
from scoring.processes.swap import AliasFollower, OwnSwaps
from scoring.serve_error import ServeError
from scoring.settings import LOG_CLOSE_S, ServeSettings
from scoring.web.clients import ClientLimits, Fallback, room_for
from scoring.web.front import Front
from scoring.web.keys import Gate, Keys
from scoring.web.listen import bind, url_of
from scoring.web.server import ScoringServer

logger = logging.getLogger("kedge.scoring.serving")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
#: Added to the badness of a process that loads: if memory runs out, not the old version ends.
_OOM_SCORE_ADJ: Final = 500


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker has to do with its parent.

    Parameters
    ----------
    say
        Tells the parent something.
    orders
        Come in as they are given.
    """

    assignment: Assignment
    say: Callable[[Word], None]
    orders: asyncio.Queue[Order]


async def serve(settings: ServeSettings, post: Post | None = None) -> int:
    """Serve in this process until told to stop (SIGTERM, SIGINT); return 0 when drained.

    Parameters
    ----------
    post
        Of a worker; None: what is served where is printed.

    Raises
    ------
    ServeError
        The server did not start. Its cause says at which step.
    """
    with _told_to_stop() as told:
        try:
            async with AsyncExitStack() as stack:
                place = await _started(stack, settings, post)
                if post is None:
                    _print_line(place.line)
                else:
                    post.say(Ready(place.line, place.served))
                    if post.assignment.inherits is None:
                        post.say(Took())
                told.started = True
                await _until_stopped(told.stop, place, post)
        except asyncio.CancelledError:
            if not told.stop.is_set():
                raise
    return 0


async def _started(stack: AsyncExitStack, settings: ServeSettings, post: Post | None) -> Place:
    try:
        return await stack.enter_async_context(_serving(settings, post))
    except (
        *(TargetError, RegistryError, ArtifactError, ModelLoadError, ModelCheckError),
        *(OSError, ValueError),
    ) as error:
        raise ServeError(f"cannot serve {settings.model_uri}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Found:
    target: Pinned
    said: str
    alias: str | None
    registry: MlflowRegistry | None
    artifacts: ArtifactCache


async def _found(assignment: Assignment, stack: AsyncExitStack) -> _Found:
    """Return the version to serve, its files fetched."""
    settings, target = assignment.settings, assignment.target
    tracking = Tracking.of(settings.tracking_uri)
    artifacts = ArtifactCache(
        _cache_folder(settings, stack), tracking, allowed=settings.allowed_sources
    )
    if target is not None:
        said = f"models:/{target.name} version {target.version}"
        return _Found(target, said, None, None, artifacts)
    model, registry = await _resolved(settings.model_uri, tracking, stack)
    target = Pinned(model.name, model.version, await artifacts.fetch(model.source))
    said = model.source
    if registry is not None:
        said = f"models:/{target.name} version {target.version}"
    return _Found(target, said, model.alias, registry, artifacts)


def _loaded(target: Pinned, settings: ServeSettings, *, checked: bool) -> Served:
    with _giving_way() if checked else nullcontext():
        return load_served(
            *(target.folder, target.name, target.version),
            checked=checked,
            accidents=settings.mlflow_accidents,
        )


@asynccontextmanager
async def _serving(settings: ServeSettings, post: Post | None) -> AsyncIterator[Place]:
    """Bring the parts up in order; take them down in the opposite one.

    The listening socket closes first, then requests in flight end, then the log is written.
    """
    assignment = post.assignment if post is not None else Assignment(settings)
    async with AsyncExitStack() as stack:
        own = None
        if assignment.inherits is None:
            own = bind(settings.host, settings.port, shared=post is not None)
            stack.callback(own.close)
        loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        stack.callback(loader.shutdown, wait=False, cancel_futures=True)
        found = await _found(assignment, stack)
        # What was asked for is served even if its stored example is not good: there is no other.
        checked = assignment.inherits is not None
        served = await asyncio.get_running_loop().run_in_executor(
            loader, partial(_loaded, found.target, settings, checked=checked)
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
        limits = ClientLimits(metrics.count_cut_off, room_for(settings.connections_max))
        place = await _placed(server, limits, found.target, settings, stack)
        if own is not None:
            await place.open(own)
            place.line = f"serving {found.said} on {url_of(own)}"
        if assignment.inherits is not None and post is not None:
            heir = place.inherit(assignment.inherits, lambda: post.say(Took()))
            stack.callback(heir.close)
        if assignment.follows and found.alias is not None and found.registry is not None:
            place.follower = AliasFollower(
                OwnSwaps(live, loader, accidents=settings.mlflow_accidents),
                alias=found.alias,
                registry=found.registry,
                artifacts=found.artifacts,
                metrics=metrics,
                poll_s=settings.poll_s,
            )
        yield place


async def _placed(
    server: ScoringServer,
    limits: ClientLimits,
    served: Pinned,
    settings: ServeSettings,
    stack: AsyncExitStack,
) -> Place:
    """Make what takes connections; at the end no more of them, and answer what is on its way."""
    runner = web.AppRunner(
        server.app(),
        access_log=None,
        shutdown_timeout=settings.drain_s,
        handle_signals=False,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    fallback = Fallback(runner.server, limits, _logger_of_faults())
    front = Front(server, fallback, limits)
    stack.push_async_callback(front.drain, settings.drain_s)
    place = Place(server=server, front=front, fallback=fallback, served=served)
    stack.callback(place.close)
    return place


def _logger_of_faults() -> logging.Logger:
    """Return a logger for faults of ours: aiohttp writes a traceback for each broken head, too."""

    def ours(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))

    faults = logging.getLogger("kedge.scoring.http")
    faults.filters = [ours]
    return faults


@contextmanager
def _giving_way() -> Iterator[None]:
    """Load at the cost of whatever else runs, not of the version that serves meanwhile. Linux."""
    badness = Path("/proc/self/oom_score_adj")
    try:
        before = badness.read_text(encoding="ascii")
        badness.write_text(str(max(_OOM_SCORE_ADJ, int(before))), encoding="ascii")
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        yield
        return
    yield
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        badness.write_text(before, encoding="ascii")


def _gate(settings: ServeSettings) -> Gate | None:
    if settings.api_keys is None and settings.rate_limit is None:
        return None
    keys = None if settings.api_keys is None else Keys(settings.api_keys)
    rate = None if settings.rate_limit is None else settings.rate_limit / settings.workers
    return Gate(keys, rate)


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
def _told_to_stop() -> Iterator[_Told]:
    """Have SIGTERM and SIGINT set the event.

    A signal before the start is done, and a second one at any time, cancels.
    """
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


async def _until_stopped(stop: asyncio.Event, place: Place, post: Post | None) -> None:
    """Wait for `stop`, or until all is handed over. Another task that ends has met a fault."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait(), name="stop signal")]
    if place.follower is not None:
        tasks.append(asyncio.create_task(place.follower.follow(), name="alias follower"))
    if post is not None:
        tasks.append(asyncio.create_task(_obey(place, post), name="orders"))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _obey(place: Place, post: Post) -> None:
    """Do what the parent orders; return when all is handed over."""
    while True:
        order = await post.orders.get()
        if isinstance(order, HandOver):
            try:
                await place.hand_over(order.path)
            except OSError as error:
                logger.warning("cannot hand over to %s: %s", order.path, error)
                continue
            return
        settings = post.assignment.settings
        await place.open(bind(settings.host, settings.port, shared=True))
        post.say(Took())


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
