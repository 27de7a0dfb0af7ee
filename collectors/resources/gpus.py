"""Use of NVIDIA's GPUs, through NVML: of each GPU as a whole, whoever uses it.

A container sees the GPUs that it was given, so that in a pod they are the model's. Parts of a
GPU (MIG) are not told apart, and their utilisation is not told at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol, cast

from collectors.resources.sample import GpuSample

#: GPUs of one machine that are looked at: they become values of a label.
GPUS_MAX = 64


class Utilisation(Protocol):
    """What ``nvmlDeviceGetUtilizationRates`` gives."""

    @property
    def gpu(self) -> int:
        """Percent of the time in which something ran."""


class Memory(Protocol):
    """What ``nvmlDeviceGetMemoryInfo`` gives."""

    @property
    def used(self) -> int:
        """Bytes in use."""


class Nvml(Protocol):
    """What is called of the module ``pynvml`` (nvidia-ml-py); its names are NVML's."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None:  # noqa: N802
        """Begin."""

    def nvmlShutdown(self) -> None:  # noqa: N802
        """End."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """Count the GPUs."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802
        """Return what stands for a GPU in other calls."""

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> Utilisation:  # noqa: N802
        """Tell how busy it was, over up to a second."""

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Memory:  # noqa: N802
        """Tell how its memory is used."""


def pynvml() -> Nvml | None:
    """Import NVML's module; None where it is not installed (the extra ``gpu`` brings it)."""
    try:
        import pynvml as module  # noqa: PLC0415 - only where GPUs may be
    except ImportError:
        return None
    return cast("Nvml", module)


class Gpus:
    """The GPUs of this machine, once they have answered.

    Parameters
    ----------
    library
        NVML, begun.
    count
        How many GPUs there are.
    """

    def __init__(self, library: Nvml, count: int) -> None:
        self._library = library
        self._count = count
        self._begun = True

    @classmethod
    def find(cls, library: Nvml | None) -> Gpus | None:
        """Return the GPUs; None without NVML, without its driver, or without a GPU."""
        if library is None:
            return None
        try:
            library.nvmlInit()
            count = min(library.nvmlDeviceGetCount(), GPUS_MAX)
        except library.NVMLError:
            return None
        return cls(library, count) if count else None

    def sample(self) -> tuple[tuple[GpuSample, ...], str]:
        """Read every GPU, and say what was in the way; empty when nothing was.

        A figure that a GPU does not have is untold, and so is all of a GPU that does not
        answer. NVML is then begun anew for the next sample, because a driver that was
        replaced answers nobody who knew the old one.
        """
        library = self._library
        try:
            if not self._begun:
                library.nvmlInit()
                self._begun = True
        except library.NVMLError as error:
            return tuple(GpuSample(str(i)) for i in range(self._count)), f"NVML: {error}"
        samples = tuple(self._one(i) for i in range(self._count))
        silent = [one.gpu for one in samples if one.ratio is None and one.memory_bytes is None]
        if not silent:
            return samples, ""
        self.close()
        return samples, f"GPU {', '.join(silent)} does not answer"

    def close(self) -> None:
        """End NVML; the next sample begins it anew."""
        if self._begun:
            self._begun = False
            with contextlib.suppress(self._library.NVMLError):
                self._library.nvmlShutdown()

    def _one(self, index: int) -> GpuSample:
        library = self._library
        try:
            handle = library.nvmlDeviceGetHandleByIndex(index)
        except library.NVMLError:
            return GpuSample(str(index))
        percent = self._told(lambda: library.nvmlDeviceGetUtilizationRates(handle).gpu)
        used = self._told(lambda: library.nvmlDeviceGetMemoryInfo(handle).used)
        return GpuSample(
            str(index),
            None if percent is None else percent / 100,
            None if used is None else float(used),
        )

    def _told(self, ask: Callable[[], int]) -> int | None:
        try:
            return ask()
        except self._library.NVMLError:
            return None
