"""GPUs, with an object that stands for NVML: no GPU is at hand where these tests run."""

# ruff: noqa: N802 - the stub has NVML's names

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from collectors.resources.gpus import Gpus, Nvml, pynvml
from collectors.resources.resources import Meter, ResourceSettings
from collectors.resources.sample import GpuSample, Usage


class NvmlStubError(Exception):
    """What the stub raises, as NVML's own error class."""


@dataclass
class Utilisation:
    gpu: int


@dataclass
class Memory:
    used: int


@dataclass
class Card:
    percent: int | None = 0
    used: int | None = 0
    lost: bool = False


@dataclass
class NvmlStub:
    """Cards that say what they are told to; a figure of None is one that they do not have."""

    cards: list[Card]
    driver: bool = True
    begun: int = 0
    NVMLError: type[Exception] = field(default=NvmlStubError)

    def nvmlInit(self) -> None:
        if not self.driver:
            raise NvmlStubError("Driver Not Loaded")
        self.begun += 1

    def nvmlShutdown(self) -> None:
        self.begun -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:
        if not self.begun:
            raise NvmlStubError("Uninitialized")
        return self.cards[index]

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> Utilisation:
        card = self._card(handle)
        if card.percent is None:
            raise NvmlStubError("Not Supported")
        return Utilisation(card.percent)

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Memory:
        card = self._card(handle)
        if card.used is None:
            raise NvmlStubError("Not Supported")
        return Memory(card.used)

    def _card(self, handle: object) -> Card:
        assert isinstance(handle, Card)
        if handle.lost:
            raise NvmlStubError("GPU is lost")
        return handle


class Idle:
    """A target that does nothing."""

    def read(self) -> Usage:
        return Usage(cpu_s=0.0)


def found(stub: NvmlStub) -> Gpus:
    gpus = Gpus.find(stub)
    assert gpus is not None
    return gpus


def test_each_gpu_tells_its_load_as_a_ratio_and_its_memory_in_bytes() -> None:
    gpus = found(NvmlStub([Card(75, 4 << 30), Card(0, 1 << 20)]))

    samples, trouble = gpus.sample()

    assert samples == (GpuSample("0", 0.75, float(4 << 30)), GpuSample("1", 0.0, float(1 << 20)))
    assert trouble == ""


@pytest.mark.parametrize(
    "library",
    [
        pytest.param(None, id="not installed"),
        pytest.param(NvmlStub([Card()], driver=False), id="no driver"),
        pytest.param(NvmlStub([]), id="no card"),
    ],
)
def test_without_gpus_there_is_nothing_and_no_fault(library: Nvml | None) -> None:
    assert Gpus.find(library) is None


def test_a_figure_that_a_gpu_does_not_have_is_untold_and_no_fault() -> None:
    gpus = found(NvmlStub([Card(None, 5)]))

    assert gpus.sample() == ((GpuSample("0", None, 5.0),), "")


def test_a_lost_gpu_is_untold_beside_the_others_and_counted() -> None:
    cards = [Card(10, 1), Card(20, 2)]
    meter = Meter(Idle(), find_gpus=lambda: found(NvmlStub(cards)))
    meter.sample()

    cards[1].lost = True
    sample = meter.sample()

    assert sample.gpus == (GpuSample("0", 0.1, 1.0), GpuSample("1", None, None))
    assert sample.failures == ("gpu",)
    assert "GPU 1" in sample.trouble


def test_after_a_failure_nvml_is_begun_anew() -> None:
    stub = NvmlStub([Card(10, 1)])
    gpus = found(stub)
    stub.cards[0].lost = True
    gpus.sample()
    stub.driver = False
    away, trouble = gpus.sample()

    stub.driver, stub.cards = True, [Card(30, 3)]
    back, _ = gpus.sample()

    assert (away, trouble) == ((GpuSample("0"),), "NVML: Driver Not Loaded")
    assert back == (GpuSample("0", 0.3, 3.0),)
    assert stub.begun == 1


def test_the_meter_lets_nvml_go() -> None:
    stub = NvmlStub([Card()])
    meter = Meter(Idle(), find_gpus=lambda: found(stub))
    meter.sample()

    meter.close()

    assert stub.begun == 0


def test_nvidias_own_module_has_the_names_that_are_called() -> None:
    module = pynvml()

    assert module is not None
    for name in (name for name in vars(Nvml) if name.startswith("nvml")):
        assert callable(getattr(module, name))
    assert issubclass(module.NVMLError, Exception)


def test_gpus_that_are_off_are_not_looked_for() -> None:
    sample = ResourceSettings(pid=1, gpu="off").build("resources").sample()

    assert sample.gpus == ()
