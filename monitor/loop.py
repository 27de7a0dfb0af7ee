"""The daemon. Start reading here.

Six things go on at once, and one thread writes:

* *counting* (:mod:`monitor.counting.engine`): a turn reads what has arrived, counts it, closes
windows,
  judges them and commits; turns follow one another on the writer's thread;
* *deciding* (:mod:`monitor.deciding.deciding`): takes the judged windows, in order, after their
commit;
* *sampling* (:mod:`monitor.resources.sampling`): looks at what serves, for windows to ask about;
* *fetching* (:mod:`monitor.references.fetching`): gets references that the registry keeps;
* *shadow* (:mod:`monitor.shadow.running`): has another version answer the same requests;
* *answering* (:mod:`monitor.web.web`): pages, metrics and the API, from what was committed.

Bad data is counted and passed over. Bad weather (a locked database, a full disk, a registry that
is away) is waited out, and meanwhile nothing acts. Anything else is a fault of ours: the daemon
ends with an error, is started again, and reads on from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from collectors import log_output
from monitor import log_fields
from monitor.composition import Parts, compose, rule_specs
from monitor.counting.engine import RETRY_S
from monitor.deciding.leadership import Office, office_of
from monitor.judging.incidents import told
from monitor.judging.judging import Judged
from monitor.settings.otel import NoTelemetryError
from monitor.settings.settings import ConfigurationError, Settings, load
from monitor.store.store import Store, StoreUnavailable
from monitor.watchdog import Watchdog
from monitor.web.guard import CannotListenError, Guard, Listening, listen
from monitor.web.standby import stand_by

if TYPE_CHECKING:
    from monitor.telemetry.telemetry import Telemetry

log = logging.getLogger("kedge.loop")

#: Pauses between turns: short after lines have come, longer and longer when none do.
PAUSE_MIN_S, PAUSE_MAX_S = 0.01, 0.25
#: New objects after which Python's garbage collector looks for cycles; its own default is 700.
GARBAGE_OBJECTS = 10_000
#: Between two looks of the decision at its deadlines.
TICK_S = 1.0
PRUNE_INTERVAL_S = 600.0
#: Windows in one transaction: with 500 measurements each, some tenths of a second.
PRUNE_ROWS = 50
#: All of stopping, below the 30 s that Kubernetes gives a pod.
STOP_TIMEOUT_S = 20.0
#: Judged windows that may wait for the decision; the counting then waits for it.
UNDECIDED_MAX = 1_000


def run(settings: Settings) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit status: 1 where a second one came."""
    log_output.configure(settings.log.format, settings.log.level)
    try:
        return asyncio.run(_run(settings))
    except asyncio.CancelledError:
        log.warning("told to stop a second time, and ended at once; what was committed stands")
        return 1


def spare_collector() -> None:
    """Let Python's garbage collector pass over what is there now, and come by less often.

    Lines become a tuple each, which it would look through again and again, a twentieth of the
    time: there are no cycles in them. Garbage in cycles waits a little longer, about a MB of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    office = office_of(settings)
    if office is None:
        return await _work(settings, stop, None, None)
    store = await stand_by(settings.http.address, settings.model.name, office, stop)
    if store is None:
        log.info("stopped: it waited for its place, and has not had it")
        return 0
    try:
        return await _work(settings, stop, office, store)
    finally:
        await office.leave()


async def _work(
    settings: Settings, stop: asyncio.Event, office: Office | None, store: Store | None
) -> int:
    parts = await compose(settings, office, store)
    telemetry = _telemetry(settings, parts) if settings.otel.endpoint else None
    spare_collector()
    try:
        daemon = Daemon(settings, parts, stop)
        daemon.catch_signals(asyncio.get_running_loop())
        with Watchdog(asyncio.get_running_loop()):
            await daemon.run()
    except CannotListenError:
        raise  # bad weather at the start, and told in one line by who called
    except Exception:
        # Nobody may be looking: the whole story goes to the log, whatever the caller prints.
        log.exception("ended by a fault; what was committed stands")
        raise
    finally:
        if telemetry is not None:
            await asyncio.to_thread(telemetry.close)
        await parts.close()
    log.info("stopped: everything counted is committed")
    return 0


def _telemetry(settings: Settings, parts: Parts) -> Telemetry:
    try:
        from monitor.telemetry.telemetry import Telemetry  # noqa: PLC0415 - the SDK of kedge[otel]
    except ModuleNotFoundError as error:
        raise NoTelemetryError from error
    lost = parts.metrics.limited.labels("lost_spans").inc
    telemetry = Telemetry(settings.otel, settings.model.name, parts.metrics.registry, lost)
    parts.deciding.follow(telemetry.traces.hear)
    telemetry.start()
    return telemetry


class Daemon:
    """The tasks of a running Kedge, and how they stop.

    Parameters
    ----------
    stop
        Set by the first signal. A second signal cancels what is still going on.
    """

    def __init__(self, settings: Settings, parts: Parts, stop: asyncio.Event) -> None:
        self._settings = settings
        self._parts = parts
        self._stop = stop
        # None: a comparison that may be waited for has ended.
        self._undecided: asyncio.Queue[Judged | None] = asyncio.Queue(UNDECIDED_MAX)
        if parts.comparisons is not None:
            parts.comparisons.on_end = self._compared
        self._main: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve, count and decide until asked to stop; then commit and let go, in order."""
        self._main = asyncio.current_task()
        listening = await self._listen()
        notifying = asyncio.create_task(self._parts.notifier.run(), name="notifying")
        try:
            await self._parts.deciding.resume()
            async with asyncio.TaskGroup() as tasks:
                counting = tasks.create_task(self._count(), name="counting")
                tasks.create_task(self._decide(), name="deciding")
                pruning = tasks.create_task(self._prune(), name="pruning")
                sampling = tasks.create_task(self._sample(), name="sampling")
                fetching = tasks.create_task(self._fetch(), name="fetching references")
                alerting = tasks.create_task(self._parts.alerts.run(), name="telling of alerts")
                shadow = tasks.create_task(self._shadow(), name="shadow")
                lease = tasks.create_task(self._keep_lease(), name="keeping the lease")
                await self._stopped_or(counting)
                # Counting and deciding end by themselves, each behind the step it is in.
                pruning.cancel()
                sampling.cancel()
                fetching.cancel()
                alerting.cancel()
                shadow.cancel()
                lease.cancel()
        finally:
            notifying.cancel()
            await asyncio.wait_for(self._let_go(listening), STOP_TIMEOUT_S)
            await asyncio.wait([notifying])

    async def _stopped_or(self, counting: asyncio.Task[None]) -> None:
        waiting = asyncio.create_task(self._stop.wait())
        await asyncio.wait({waiting, counting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def _let_go(self, listening: Sequence[Listening]) -> None:
        engine = self._parts.engine
        try:
            await self._parts.writer.run(engine.stop)
        except StoreUnavailable as error:
            # Nothing is lost: the positions on disk are those of the last commit.
            log.warning("the last lines were not committed and will be read again: %s", error)
        for one in listening:
            await one.close()

    async def _listen(self) -> list[Listening]:
        http, web = self._settings.http, self._parts.web
        guard = Guard(web.count_refused)
        listening = [await listen(web.app, *http.address, guard)]
        for address in listening[0].addresses:
            log.info("listening on http://%s", address)
        if web.ingest_app is not None and http.ingest_address is not None:
            try:
                listening.append(await listen(web.ingest_app, *http.ingest_address, guard))
            except CannotListenError:
                await listening[0].close()
                raise
            for address in listening[1].addresses:
                log.info("taking events on http://%s", address)
        if not self._parts.changes_allowed:
            log.info("no [http] token: calls that change state answer 403")
        return listening

    async def _count(self) -> None:
        engine, pause = self._parts.engine, PAUSE_MIN_S
        troubled = False
        while not self._stop.is_set():
            try:
                turn = await self._parts.writer.run(engine.turn)
            except StoreUnavailable as error:
                if not troubled:
                    log.error("reading pauses: %s", error)
                troubled, pause = True, RETRY_S
            else:
                if troubled:
                    log.info("the store takes commits again; reading goes on")
                    troubled, pause = False, PAUSE_MIN_S
                await self._hand_over(turn.judged)
                pause = PAUSE_MIN_S if turn.busy else min(pause * 2, PAUSE_MAX_S)
                if turn.busy:
                    continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _hand_over(self, judged: Sequence[Judged]) -> None:
        for one in judged:
            row = one.row.window
            log.info(
                "window of %s closed: version %s, %d events, %s",
                _told_kind(one),
                row["version"],
                row["events"],
                ", ".join(f"{report.rule} {report.state}" for report in one.reports) or "no rules",
                extra=log_fields.of_window(row),
            )
            for incident in one.incidents:
                log.info("%s", told(incident), extra=log_fields.of_rule(incident))
            if one.live is None:  # what a shadow answers decides about nothing that serves
                await self._undecided.put(one)

    async def _decide(self) -> None:
        deciding = self._parts.deciding
        while not self._stop.is_set():
            try:
                judged = await asyncio.wait_for(self._undecided.get(), TICK_S)
            except TimeoutError:
                await self._patiently(deciding.tick)
            else:
                if judged is None:
                    await self._patiently(deciding.compared)
                else:
                    await self._patiently(partial(deciding.observe, judged))

    def _compared(self) -> None:
        # Where many windows wait, the next of them leads to the same questions.
        with contextlib.suppress(asyncio.QueueFull):
            self._undecided.put_nowait(None)

    async def _patiently(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do something that writes the journal; when it cannot be written, nothing was done."""
        try:
            await act()
        except StoreUnavailable as error:
            log.error("the journal cannot be written, so nothing acts: %s", error)

    async def _sample(self) -> None:
        engine = self._parts.engine
        await self._parts.sampling.run(lambda: engine.committed.live_version)

    async def _fetch(self) -> None:
        if self._parts.fetching is not None:
            await self._parts.fetching.run()

    async def _shadow(self) -> None:
        parts = self._parts.shadow
        if parts is not None:
            await parts.running.run()

    async def _keep_lease(self) -> None:
        if self._parts.office is not None:
            await self._parts.office.keep()

    async def _prune(self) -> None:
        while True:
            now, store = time.time(), self._settings.store
            with contextlib.suppress(StoreUnavailable):
                await self._prune_until(now - store.retention_s, now - store.retention_hourly_s)
            await asyncio.sleep(PRUNE_INTERVAL_S)

    async def _prune_until(self, before: float, hours_before: float) -> None:
        def prune() -> int:
            return self._parts.store.prune(before, rows_max=PRUNE_ROWS, hours_before=hours_before)

        # One transaction at a time, so that turns come in between.
        while await self._parts.writer.run(prune):
            pass

    def catch_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """SIGTERM and SIGINT stop, a second one at once; SIGHUP reads the rules again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._start(self._reload()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._reloading = asyncio.get_running_loop().create_task(work)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set() and self._main is not None:
            self._main.cancel()
        self._stop.set()

    async def _reload(self) -> None:
        path = self._settings.path
        if path is None:
            return
        try:
            rules = rule_specs(load(path, os.environ))
        except ConfigurationError as error:
            log.error("the rules stay as they were: %s", error)
            return
        await self._parts.writer.run(lambda: self._parts.engine.replace_rules(rules))
        log.info("%d rules are in force", len(rules))


def _told_kind(judged: Judged) -> str:
    """Say what a window is of."""
    if judged.labelled:
        return "labels"
    if judged.live is not None:
        return "pairs"
    return str(judged.row.window["segment"] or "traffic")
