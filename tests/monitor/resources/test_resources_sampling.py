"""Samples are shown and kept while they come, and summarised for the windows that they fall in."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from collectors.batch import Schema
from collectors.resources.sample import GpuSample, ResourceSample
from detectors.measurement import Measurement
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.metrics.catalogue import Metrics
from monitor.resources import sampling as sampling_module
from monitor.resources.sampling import Samples, Sampling, Target

NOW = 1_772_618_400.0


class Script:
    """A meter that gives the samples that the test wrote down, and then the last one again."""

    def __init__(self, *samples: ResourceSample) -> None:
        self.samples = list(samples)
        self.closed = False

    def sample(self) -> ResourceSample:
        return self.samples.pop(0) if len(self.samples) > 1 else self.samples[0]

    def close(self) -> None:
        self.closed = True


def target(name: str = "server", meter: Samples | None = None, interval_s: float = 10.0) -> Target:
    return Target(name, interval_s, meter or Script(ResourceSample(NOW)))


def made(*targets: Target) -> tuple[Sampling, Metrics]:
    metrics = Metrics(columns_max=5, versions_max=5)
    return Sampling(targets, metrics, confidence=0.99, slow_s=0.05), metrics


def window(begins: float, ends: float) -> ClosedWindow:
    return ClosedWindow("m", "7", begins, ends, Pane(None, Schema({})), ends - begins)


def sampled(*samples: ResourceSample, begins: float, ends: float) -> dict[str, Measurement]:
    one = target()
    sampling, _ = made(one)
    for sample in samples:
        sampling.take(one, sample)
    found = sampling.measurements(window(begins, ends), serving=True)
    assert all(measurement.column is None for measurement in found)
    return {measurement.metric: measurement for measurement in found}


def busy(at: float, cpu: float, memory: float = 100.0, **more: Any) -> ResourceSample:  # noqa: ANN401
    return ResourceSample(at, cpu_ratio=cpu, memory_bytes=memory, threads=4, open_files=9, **more)


def test_a_window_has_the_mean_of_loads_and_the_peak_of_levels_of_its_own_samples() -> None:
    found = sampled(
        busy(NOW - 5, 9.0, memory=900.0),
        busy(NOW + 5, 0.4, memory=100.0),
        busy(NOW + 15, 0.5, memory=300.0),
        busy(NOW + 25, 0.6, memory=200.0),
        busy(NOW + 65, 9.0, memory=900.0),
        begins=NOW,
        ends=NOW + 60,
    )

    cpu, memory = found["cpu_ratio"], found["memory_bytes"]
    assert set(found) == {"cpu_ratio", "memory_bytes", "threads", "open_files"}
    assert cpu.value == pytest.approx(0.5)
    # Student's t with two degrees of freedom at 99 %: 9.925, of a tables' book.
    assert cpu.high == pytest.approx(0.5 + 9.925 * 0.1 / math.sqrt(3), rel=1e-3)
    assert cpu.low == 0.0
    assert (memory.value, memory.low, memory.high, memory.n) == (300.0, 100.0, 300.0, 3)


def test_a_window_of_an_old_log_has_no_resources() -> None:
    found = sampled(busy(NOW, 0.5), begins=NOW - 86_400, ends=NOW - 86_100)

    assert found == {}


def test_a_window_shorter_than_the_interval_takes_the_last_sample_before_its_end() -> None:
    found = sampled(busy(NOW - 18, 0.2), busy(NOW - 8, 0.5), begins=NOW, ends=NOW + 1)

    assert found["threads"].n == 1
    assert found["cpu_ratio"].value == 0.5
    # One sample says nothing of how much they differ.
    assert (found["cpu_ratio"].low, found["cpu_ratio"].high) == (None, None)


def test_a_target_that_was_gone_all_of_the_window_is_told_to_be_unknown() -> None:
    found = sampled(
        busy(NOW - 10, 0.5),
        ResourceSample(NOW + 10, failures=("not_found",), trouble="gone"),
        begins=NOW,
        ends=NOW + 60,
    )

    assert [(one.value, one.n) for one in found.values()] == [(None, 0)] * 4


def test_of_several_targets_and_gpus_the_largest_is_told() -> None:
    small, large = target("a"), target("b")
    sampling, _ = made(small, large)
    gpus = (GpuSample("0", 0.1, 8.0), GpuSample("1", 0.9, 4.0), GpuSample("2"))
    sampling.take(small, busy(NOW, 0.1, memory=7.0, cpu_limit_ratio=0.8))
    sampling.take(large, busy(NOW, 3.0, memory=5.0, gpus=gpus))

    found = sampling.measurements(window(NOW - 60, NOW + 1), serving=True)

    assert {one.metric: one.value for one in found} == {
        "cpu_ratio": 3.0,
        "cpu_limit_ratio": 0.8,
        "memory_bytes": 7.0,
        "threads": 4.0,
        "open_files": 9.0,
        "gpu_ratio": 0.9,
        "gpu_memory_bytes": 8.0,
    }


def test_a_version_that_did_not_serve_has_no_resources() -> None:
    one = target()
    sampling, _ = made(one)
    sampling.take(one, busy(NOW, 0.5))

    assert sampling.measurements(window(NOW - 60, NOW + 1), serving=False) == []


def test_samples_kept_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_module, "KEPT_MAX", 10)

    samples = [busy(NOW + i, 0.5) for i in range(100)]
    found = sampled(*samples, begins=NOW, ends=NOW + 1000)

    assert found["threads"].n == 10


def test_a_target_that_vanishes_becomes_nan_and_is_counted_by_reason() -> None:
    one = target()
    sampling, metrics = made(one)
    gone = ResourceSample(NOW + 10, failures=("not_found",), trouble="gone")

    sampling.take(one, busy(NOW, 0.5, gpus=(GpuSample("0", 0.5, 1.0),)))
    before = series(metrics)
    sampling.take(one, gone)
    after = series(metrics)

    assert before["kedge_resource_cpu_ratio"] == 0.5
    assert before["kedge_resource_gpu_ratio"] == 0.5
    gauges = {name: value for name, value in after.items() if not name.endswith("_total")}
    assert set(gauges) == set(before)
    assert all(math.isnan(value) for value in gauges.values())
    assert after["kedge_resource_failures_total"] == 1


def series(metrics: Metrics) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("kedge_resource") and not sample.name.endswith("_created")
    }


@contextlib.asynccontextmanager
async def running(sampling: Sampling) -> AsyncIterator[None]:
    task = asyncio.create_task(sampling.run(lambda: None))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(probe: Callable[[], object]) -> None:
    ends = time.monotonic() + 30
    while not probe():
        assert time.monotonic() < ends
        await asyncio.sleep(0.005)


class Stuck:
    """A meter that does not answer before it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def sample(self) -> ResourceSample:
        self.go_on.wait(30)
        return busy(NOW, 0.25)

    def close(self) -> None:
        self.go_on.set()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    meter = Stuck()
    yield meter
    meter.go_on.set()


async def test_a_meter_that_hangs_holds_up_nobody_and_shows_no_old_value(stuck: Stuck) -> None:
    lively = target("lively", Script(busy(NOW, 0.5)), interval_s=0.01)
    sampling, metrics = made(target("stuck", stuck, interval_s=0.01), lively)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    async with running(sampling):
        slow = {"target": "stuck", "reason": "slow"}
        await until(lambda: value("kedge_resource_failures_total", **slow))
        await until(lambda: value("kedge_resource_cpu_ratio", target="lively") == 0.5)
        hanging = value("kedge_resource_cpu_ratio", target="stuck")
        stuck.go_on.set()
        await until(lambda: value("kedge_resource_cpu_ratio", target="stuck") == 0.25)

    assert hanging is not None
    assert math.isnan(hanging)


async def test_meters_are_let_go_when_the_daemon_stops() -> None:
    meter = Script(busy(NOW, 0.5))
    sampling, metrics = made(target(meter=meter, interval_s=0.01))

    async with running(sampling):
        await until(lambda: series(metrics))

    assert meter.closed
