"""Resources while the daemon runs: samples are taken, shown, kept, and summarised for windows.

Sampling goes on in tasks of its own, a thread for as long as one sample takes; counting never
waits for it. Windows ask afterwards for what was sampled while they lasted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from collectors.resources.sample import ResourceSample
from detectors.kinds import summarised
from detectors.measurement import Measurement
from detectors.windows.window import ClosedWindow
from monitor.metrics.catalogue import Metrics
from monitor.publishing.publishing import ResourcePublisher
from monitor.resources.model_age import ModelAge

log = logging.getLogger("kedge.sampling")

#: Troubles of one target that are told of until all is well again.
TROUBLES_TOLD_MAX = 10

#: Samples kept of a target: 27 hours of one every ten seconds, about 3 MB.
KEPT_MAX: Final = 10_000

#: A window with no sample in it takes the last one before its end, if it began no longer after
#: that sample than so many intervals.
REACH_INTERVALS: Final = 2

#: A sample that takes longer than this, and than the interval, is taken for one that hangs: a
#: busy machine alone must not blank the page.
SLOW_S: Final = 5.0

#: Figures of a target that a window measures, by the name of the metric, which is the attribute's.
_ALWAYS: Final = ("cpu_ratio", "memory_bytes", "threads", "open_files")
_LIMITS: Final = ("cpu_limit_ratio", "memory_limit_ratio")
_OF_GPU: Final = {"gpu_ratio": "ratio", "gpu_memory_bytes": "memory_bytes"}


class Samples(Protocol):
    """What a target gives: one sample after the other."""

    def sample(self) -> ResourceSample:
        """Take a sample; may block for a while, and raises nothing that can be expected."""

    def close(self) -> None:
        """Let go of what is held."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that is sampled.

    Parameters
    ----------
    name
        What the label ``target`` calls it: the name of its ``[[collect]]`` table.
    interval_s
        Time between two samples, in seconds.
    meter
        Takes the samples.
    """

    name: str
    interval_s: float
    meter: Samples


class Sampling:
    """Samples targets, and measures windows by what was sampled.

    `run` belongs to the event loop; `measurements` may be called by any thread.

    Parameters
    ----------
    confidence
        Of the bounds of means, in ``(0, 1)``.
    age
        Knows when versions were made; None without a registry.
    slow_s
        A sample that takes longer, and longer than the interval, hangs.
    wall, monotonic
        Clocks, seconds.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        metrics: Metrics,
        *,
        confidence: float,
        age: ModelAge | None = None,
        slow_s: float = SLOW_S,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = tuple(targets)
        self._publisher = ResourcePublisher(metrics)
        self._confidence = confidence
        self._age = age
        self._slow_s = slow_s
        self._wall = wall
        self._monotonic = monotonic
        self._kept = {target.name: deque[ResourceSample](maxlen=KEPT_MAX) for target in targets}
        self._troubles: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    async def run(self, live_version: Callable[[], str | None]) -> None:
        """Sample every target until cancelled.

        Parameters
        ----------
        live_version
            Tells the version that serves, as the events say; None while there are none.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for target in self._targets:
                    tasks.create_task(self._follow(target), name=f"sampling {target.name}")
                if self._age is not None:
                    tasks.create_task(self._age.run(live_version), name="model age")
        finally:
            for target in self._targets:
                target.meter.close()

    async def _follow(self, target: Target) -> None:
        patience_s = max(target.interval_s, self._slow_s)
        while True:
            began = self._monotonic()
            sampling = asyncio.create_task(asyncio.to_thread(target.meter.sample))
            try:
                while not (await asyncio.wait({sampling}, timeout=patience_s))[0]:
                    # The last sample must not stay on the page as if it were of now.
                    late = f"no answer within {patience_s:g} s"
                    self.take(
                        target, ResourceSample(self._wall(), failures=("slow",), trouble=late)
                    )
                self.take(target, await sampling)
            finally:
                sampling.cancel()
            await asyncio.sleep(max(0.0, target.interval_s - (self._monotonic() - began)))

    def take(self, target: Target, sample: ResourceSample) -> None:
        """Keep a sample, show it, and say when something begins or ceases to be in the way."""
        with self._lock:
            self._kept[target.name].append(sample)
        self._publisher.set_sample(target.name, sample)
        told = self._troubles.setdefault(target.name, set())
        if not sample.trouble:
            if told:
                log.info("resources of %s are told again", target.name)
            told.clear()
        elif sample.trouble not in told and len(told) < TROUBLES_TOLD_MAX:
            # Each once until all is well: two troubles may take turns for as long as they last.
            log.warning("resources of %s: %s", target.name, sample.trouble)
            told.add(sample.trouble)

    def measurements(self, window: ClosedWindow, *, serving: bool) -> list[Measurement]:
        """Measure a window by the samples that were taken while it lasted.

        Event time is compared with the time of the samples, so a window of an old log has none.
        Of several targets, and of several GPUs, the one with the largest value is told.

        Parameters
        ----------
        serving
            Whether the window's version is the one that served: the resources are its then, and
            no other's.
        """
        found = self._of_targets(window) if serving else []
        age_s = self._age.age_s(window.version, window.ends) if self._age is not None else None
        if age_s is not None:
            found.append(summarised("model_age", [age_s], confidence=self._confidence))
        return found

    def _of_targets(self, window: ClosedWindow) -> list[Measurement]:
        by_target = [self._of_window(target, window) for target in self._targets]
        if not any(by_target):
            return []
        rows = {
            metric: [_column(samples, metric) for samples in by_target]
            for metric in (*_ALWAYS, *_LIMITS)
        }
        for metric, part in _OF_GPU.items():
            rows[metric] = [row for samples in by_target for row in _of_gpus(samples, part)]
        found = [self._largest(metric, of_metric) for metric, of_metric in rows.items()]
        # A limit or a GPU that is not there is not told of, rather than told to be unknown.
        return [one for one in found if one.metric in _ALWAYS or one.n]

    def _of_window(self, target: Target, window: ClosedWindow) -> list[ResourceSample]:
        with self._lock:
            kept = list(self._kept[target.name])
        within = [one for one in kept if window.begins <= one.at <= window.ends]
        if within:
            return within
        # A window that is shorter than the interval falls between two samples.
        oldest = window.begins - REACH_INTERVALS * target.interval_s
        return [one for one in kept if oldest <= one.at <= window.ends][-1:]

    def _largest(self, metric: str, rows: Sequence[Sequence[float]]) -> Measurement:
        measured = [summarised(metric, row, confidence=self._confidence) for row in rows if row]
        untold = summarised(metric, [], confidence=self._confidence)
        return max(measured, key=lambda one: one.value or 0.0, default=untold)


def _column(samples: Sequence[ResourceSample], name: str) -> list[float]:
    """Return the figures of one name, where they are told."""
    return [float(figure) for one in samples if (figure := getattr(one, name)) is not None]


def _of_gpus(samples: Sequence[ResourceSample], part: str) -> list[list[float]]:
    """Return the figures of each GPU, where they are told."""
    rows: dict[str, list[float]] = {}
    for gpu in (gpu for sample in samples for gpu in sample.gpus):
        figure = getattr(gpu, part)
        if figure is not None:
            rows.setdefault(gpu.gpu, []).append(float(figure))
    return list(rows.values())
