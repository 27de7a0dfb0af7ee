"""The live part of the demo: healthy traffic, the shift, the breach, the way back, the proof.

Everything told here is observed from outside: the daemon's API, the registry, the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from collectors.registry.client import MlflowRegistry, RegistryError
from monitor.demo.configuration import RULE
from monitor.demo.models import ALIAS, MODEL_NAME, VERSION_1, VERSION_2
from monitor.demo.processes import Child, DemoError
from monitor.demo.timeline import Timeline
from monitor.demo.traffic import Counts, Tally, Traffic
from monitor.demo.watching import Daemon, DaemonError, Measurement, Rollback

#: Requests a second while the story runs, and while only the pages stay up.
RATE: Final = 150.0
RATE_AFTER: Final = 10.0
HEALTHY_WINDOWS: Final = 3
#: Answers of the old version under the shift before its error is told.
ANSWERS_AFTER: Final = 1_000
#: Each is far above what it takes on two busy cores.
HEALTHY_TIMEOUT_S: Final = 90.0
BREACH_TIMEOUT_S: Final = 90.0
VERIFY_TIMEOUT_S: Final = 150.0
POLL_S: Final = 0.2
#: Polls in a row that may go wrong on a busy machine.
POLL_FAILURES_MAX: Final = 5

#: A rollback that goes well, in order.
PHASES: Final = ("confirmed", "gated", "intended", "acting", "verifying", "resolved")

OLD, NEW = VERSION_1.number, VERSION_2.number


class StoryError(DemoError):
    """Everything runs, but what the story tells of did not happen, or not in time."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs when the play begins.

    Parameters
    ----------
    folder
        The run's folder, with all logs.
    children
        The programs that must stay up.
    """

    folder: Path
    tracking_uri: str
    scoring_url: str
    daemon_url: str
    children: tuple[Child, ...]

    def check(self) -> None:
        """Raise `ChildError` if one of the programs has ended."""
        for program in self.children:
            program.check()


@dataclass(slots=True)
class Seen:
    """What was observed so far; times are seconds since the epoch."""

    measurements: list[Measurement] = field(default_factory=list)
    rollback: Rollback | None = None
    alias: str | None = None
    shift_at: float | None = None

    def windows(self, version: str, verdict: str) -> int:
        """Return how many windows of a version got a verdict."""
        return sum(m.version == version and m.verdict == verdict for m in self.measurements)


class Play:
    """Drives the traffic and tells what comes of it.

    Parameters
    ----------
    traffic, daemon, registry
        The three sides that it drives and looks at; the play owns none of them.
    """

    def __init__(
        self,
        stage: Stage,
        timeline: Timeline,
        traffic: Traffic,
        daemon: Daemon,
        registry: MlflowRegistry,
    ) -> None:
        self.seen = Seen()
        self._stage = stage
        self._timeline = timeline
        self._traffic = traffic
        self._daemon = daemon
        self._registry = registry
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, *, stay: bool) -> bool:
        """Play it to the end; return whether the rollback was verified and no request failed.

        Parameters
        ----------
        stay
            Keep everything up afterwards, with a little traffic, until cancelled.

        Raises
        ------
        DemoError
            Something ended, or did not happen in time.
        """
        self._tasks = [
            asyncio.create_task(self._traffic.flow(), name="traffic"),
            asyncio.create_task(self._watch(), name="watch"),
        ]
        flow, watch = self._tasks
        try:
            await self._healthy()
            self._shift()
            await self._breach()
            await self._recovery()
            good = self._conclude()
            if stay:
                # Ctrl-C cancels: that is how the stay ends, and the result is known.
                with contextlib.suppress(asyncio.CancelledError):
                    await self._stay()
        finally:
            self._traffic.stop()
            watch.cancel()
            await asyncio.gather(flow, watch, return_exceptions=True)
        return good

    async def _healthy(self) -> None:
        self._timeline.say(
            "traffic", f"{RATE:g} requests a second, one row each, from before the drift"
        )
        await self._until(
            lambda: self.seen.windows(NEW, "ok") >= HEALTHY_WINDOWS,
            f"{HEALTHY_WINDOWS} healthy windows of version {NEW}",
            HEALTHY_TIMEOUT_S,
        )

    def _shift(self) -> None:
        if self.seen.rollback is not None:
            raise StoryError(f"a rollback began before the shift: {self.seen.rollback.reason}")
        self.seen.shift_at = self._traffic.begin_shift()
        self._timeline.say(
            "shift",
            "rows from behind the data's own drift (car_value, loan_length and others), and on\n"
            "top of it a fault that this demo adds upstream: car_value now comes in cents.\n"
            f"Version {NEW} reads car_value, version {OLD} does not. No label is shown to Kedge.",
        )

    async def _breach(self) -> None:
        await self._until(
            lambda: self.seen.rollback is not None, "a rollback of version 2", BREACH_TIMEOUT_S
        )

    async def _recovery(self) -> None:
        await self._until(
            lambda: self.seen.rollback is not None and self.seen.rollback.ended,
            "the end of the rollback",
            VERIFY_TIMEOUT_S,
        )
        rollback = self.seen.rollback
        if rollback is None or rollback.state != "RESOLVED":
            raise StoryError(f"the rollback was not verified: {rollback}")
        await self._until(
            lambda: self._traffic.counts.tally("shifted", OLD).answers >= ANSWERS_AFTER,
            f"{ANSWERS_AFTER} answers of version {OLD}",
            VERIFY_TIMEOUT_S,
        )

    def _conclude(self) -> bool:
        """Print the figures; say what is not as it should be."""
        counts = self._traffic.counts
        rollback = self.seen.rollback
        if rollback is None or self.seen.shift_at is None:
            raise StoryError("there was no rollback to conclude from")
        self._timeline.table("What happened", figures(self.seen.shift_at, rollback, counts))
        faults = faults_of(rollback, self.seen.alias, counts)
        for fault in faults:
            self._timeline.say("failed", fault)
        if not faults:
            self._timeline.say(
                "verified", f"version {OLD} serves, the rollback is verified, no request failed"
            )
        return not faults

    async def _stay(self) -> None:
        self._traffic.rate = RATE_AFTER
        self._timeline.say(
            "setup",
            f"Kedge     {self._stage.daemon_url}/\n"
            f"metrics   {self._stage.daemon_url}/metrics\n"
            f"rollbacks {self._stage.daemon_url}/api/v1/rollbacks\n"
            f"MLflow    {self._stage.tracking_uri}/#/models/{MODEL_NAME}\n"
            f"scoring   {self._stage.scoring_url}/invocations\n"
            "These stay up until Ctrl-C.",
        )
        while True:
            self._check()
            await asyncio.sleep(1.0)

    async def _until(self, happened: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not happened():
            self._check()
            if time.monotonic() > deadline:
                raise StoryError(f"waited {timeout_s:g} s for {what}, in vain; {self._state()}")
            await asyncio.sleep(POLL_S / 2)

    def _check(self) -> None:
        self._stage.check()
        for task in self._tasks:
            if task.done():
                task.result()

    def _state(self) -> str:
        """Return where things stand, for an error's message."""
        counts = self._traffic.counts
        last = self.seen.measurements[-1].describe() if self.seen.measurements else "none"
        failures = "; ".join(counts.failures)
        return (
            f"{counts.requests} requests, {counts.failed} failed ({failures or 'none'}), version "
            f"{counts.serving} answered last; last measurement: {last}; rollback: "
            f"{self.seen.rollback}; logs are in {self._stage.folder}"
        )

    async def _watch(self) -> None:
        """Poll the daemon, the registry and the answers, and tell what is new."""
        failures = 0
        serving: str | None = None
        while True:
            try:
                await self._look()
                failures = 0
            except (DaemonError, RegistryError):
                failures += 1
                if failures > POLL_FAILURES_MAX:
                    raise
            if serving != (now := self._traffic.counts.serving) and now is not None:
                self._timeline.say("serving", f"version {now} answers the requests")
                serving = now
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        for measurement in await self._daemon.new_measurements(RULE.metric, RULE.column):
            self.seen.measurements.append(measurement)
            topic = "breach" if measurement.verdict == "breach" else "window"
            self._timeline.say(
                topic,
                f"version {measurement.version}, {RULE.metric.upper()} of {RULE.column}: "
                f"{measurement.describe()}",
            )
        await self._look_at_rollback()
        alias = await self._registry.version_by_alias(MODEL_NAME, ALIAS)
        if alias != self.seen.alias:
            self.seen.alias = alias
            self._timeline.say("rollback" if alias == OLD else "setup", _alias(alias))

    async def _look_at_rollback(self) -> None:
        known = self.seen.rollback
        rollbacks = await self._daemon.rollbacks()
        if not rollbacks:
            return
        # The first one is the story's: the journal is newest first.
        rollback = rollbacks[-1]
        for phase in sorted(rollback.timings, key=lambda phase: order_of(phase, rollback)):
            if known is None or phase not in known.timings:
                self._timeline.say("rollback", tell_phase(phase, rollback))
        self.seen.rollback = rollback


def order_of(phase: str, rollback: Rollback) -> tuple[float, int]:
    """Return what sorts phases as they came about: JSON keeps no order, and times may be equal."""
    return rollback.timings[phase], PHASES.index(phase) if phase in PHASES else len(PHASES)


def tell_phase(phase: str, rollback: Rollback) -> str:
    """Return what a phase of a rollback means, with what is known of it."""
    meanings = {
        "confirmed": "\n".join(filter(None, (rollback.reason, rollback.cause))),
        "gated": "\n".join(["every gate passed", *rollback.gates]),
        "intended": f"version {rollback.from_version} -> {rollback.to_version}, written to the "
        f"journal as {rollback.id}",
        "acting": ", ".join(rollback.steps),
        "verifying": "the steps are done; does the traffic agree?",
        "resolved": rollback.detail or "it does",
    }
    return f"{phase}: {meanings.get(phase, rollback.detail)}"


def figures(shift_at: float, rollback: Rollback, counts: Counts) -> list[tuple[str, str]]:
    """Return the story in figures: pairs of what and how much."""
    at = rollback.timings
    confirmed, moved = at["confirmed"], at["verifying"]
    swapped = counts.first_answer.get(OLD)
    return [
        ("from the shift to the confirmed breach", _seconds(confirmed - shift_at)),
        ("from the confirmed breach to the alias moved and read back", _seconds(moved - confirmed)),
        (
            f"from the alias moved to the first answer of version {OLD}",
            "none" if swapped is None else _seconds(max(0.0, swapped - moved)),
        ),
        ("from the shift to the verified recovery", _seconds(at["resolved"] - shift_at)),
        ("requests, of them failed", f"{counts.requests}, {counts.failed}"),
        *(
            (f"wrong answers of version {version} {when}, by the labels", _share(tally))
            for version, when, tally in (
                (NEW, "before the shift", counts.tally("quiet", NEW)),
                (NEW, "after the shift", counts.tally("shifted", NEW)),
                (OLD, "after the shift", counts.tally("shifted", OLD)),
            )
        ),
    ]


def faults_of(rollback: Rollback, alias: str | None, counts: Counts) -> list[str]:
    """Return what keeps the demo from being a success, in words; nothing if it is one."""
    faults = []
    if rollback.state != "RESOLVED":
        faults.append(f"the rollback ended as {rollback.state}: {rollback.detail}")
    if (rollback.from_version, rollback.to_version) != (NEW, OLD):
        faults.append(f"it went from {rollback.from_version} to {rollback.to_version}")
    if alias != OLD:
        faults.append(f"in the registry, {_alias(alias)}")
    if counts.serving != OLD:
        faults.append(f"the requests are answered by version {counts.serving}")
    if counts.failed:
        faults.append(f"{counts.failed} requests failed: {'; '.join(counts.failures)}")
    return faults


async def play(stage: Stage, timeline: Timeline, traffic: Traffic, *, stay: bool) -> bool:
    """Run the play on a stage; see `Play.run`."""
    async with (
        aiohttp.ClientSession() as session,
        MlflowRegistry(stage.tracking_uri, session=session) as registry,
    ):
        daemon = Daemon(session, stage.daemon_url)
        return await Play(stage, timeline, traffic, daemon, registry).run(stay=stay)


def _alias(version: str | None) -> str:
    return f"{MODEL_NAME}@{ALIAS} points to version {version}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _share(tally: Tally) -> str:
    return f"{tally.error_ratio:.1%} of {tally.answers}" if tally.answers else "none given"
