"""Resources of what serves the model: processor, memory, threads, open files and GPUs.

No lines and no events come from here, but samples, each interval; so it is no
:class:`collectors.source.Source`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from collectors.resources.cgroup import CGROUPS, Cgroup
from collectors.resources.gpus import Gpus, pynvml
from collectors.resources.pod import Shared
from collectors.resources.sample import ResourceError, ResourceSample, Usage, UsageReader

#: Samples are not taken more often: the kernel counts a process's time in ticks of 10 ms.
INTERVAL_MIN_S = 0.1


@dataclass(frozen=True, slots=True)
class ResourceSettings:
    """What the served process, or its container, uses; one of `pid`, `process` and `cgroup`.

    With none of them it is what shares the pod or the container with Kedge. A sidecar sees the
    other containers of its pod only with ``shareProcessNamespace: true``, or where the host's
    control groups are mounted.
    """

    pid: int | None = None
    """Id of the process; its descendants count too. When it has ended, nothing is measured any
    more: for a process that is restarted, `process` is the better name."""

    process: str = ""
    """Pattern (``*``, ``?``, ``[…]``) of the name, or of the whole command line, of processes:
    ``*uvicorn app:main*``. All that match are added up, with their descendants."""

    cgroup: str = ""
    """Folder of a control group (version 2): absolute, or relative to ``/sys/fs/cgroup``."""

    interval_s: float = 10.0
    """Time between two samples. Ten seconds show what lasts, and cost a few milliseconds."""

    gpu: Literal["auto", "off"] = "auto"
    """``auto``: the GPUs of the machine too, where there are any and the extra ``gpu`` is
    installed. They are looked for once, at the start."""

    def __post_init__(self) -> None:
        """Refuse two targets at once, and what cannot be one."""
        if sum((self.pid is not None, bool(self.process), bool(self.cgroup))) > 1:
            raise ValueError("give one of pid, process and cgroup")
        if self.pid is not None and self.pid < 1:
            raise ValueError(f"pid: expected a number above 0, got {self.pid}")
        if self.interval_s < INTERVAL_MIN_S:
            raise ValueError(f"interval_s: expected at least 100ms, got {self.interval_s:g}s")

    def describe(self) -> str:
        """Name the target for a person.

        Examples
        --------
        >>> ResourceSettings(process="uvicorn*").describe()
        'process uvicorn*'
        """
        if self.pid is not None:
            return f"pid {self.pid}"
        if self.process:
            return f"process {self.process}"
        return f"cgroup {self.cgroup}" if self.cgroup else "this pod or container"

    def build(self, name: str) -> Meter:  # noqa: ARG002 - every kind is built so
        """Return the meter; it reads nothing before it is asked for a sample."""
        find = (lambda: Gpus.find(pynvml())) if self.gpu == "auto" else (lambda: None)
        return Meter(self._reader(), find_gpus=find)

    def _reader(self) -> UsageReader:
        if self.cgroup:
            return Cgroup(CGROUPS / self.cgroup)
        if self.pid is None and not self.process:
            return Shared()
        from collectors.resources.processes import (  # noqa: PLC0415 - psutil, where it is needed
            ProcessGroup,
            by_name,
            by_pid,
        )

        return ProcessGroup(by_name(self.process) if self.pid is None else by_pid(self.pid))


class Meter:
    """Takes samples of one target. Blocks for milliseconds; used by one thread at a time.

    Parameters
    ----------
    usage
        Reads the target.
    find_gpus
        Looks for GPUs, with the first sample.
    wall, monotonic
        Clocks, seconds: when a sample was taken, and how long ago the one before was.
    """

    def __init__(
        self,
        usage: UsageReader,
        *,
        find_gpus: Callable[[], Gpus | None] = lambda: None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._usage = usage
        self._find_gpus = find_gpus
        self._gpus: Gpus | None = None
        self._looked = False
        self._wall = wall
        self._monotonic = monotonic
        self._before: tuple[float, float] | None = None

    def sample(self) -> ResourceSample:
        """Take a sample. What cannot be told is None in it, with a reason; nothing is raised."""
        if not self._looked:
            self._gpus, self._looked = self._find_gpus(), True
        gpus, gpu_trouble = self._gpus.sample() if self._gpus else ((), "")
        troubles = [gpu_trouble] if gpu_trouble else []
        failures: list[Literal["gpu"]] = ["gpu"] if gpu_trouble else []
        at = self._wall()
        try:
            usage = self._usage.read()
        except (ResourceError, OSError) as error:
            # An OSError is weather too: no file descriptor left, for instance.
            self._before = None
            return ResourceSample(
                at,
                gpus=gpus,
                failures=(getattr(error, "reason", "unreadable"), *failures),
                trouble="; ".join([str(error), *troubles]),
            )
        if usage.failures:
            troubles.insert(0, f"open files cannot be told ({', '.join(usage.failures)})")
        cores = self._cores(usage)
        return ResourceSample(
            at,
            cpu_ratio=cores,
            cpu_limit_ratio=_share(cores, usage.cores_max),
            memory_bytes=usage.memory_bytes,
            memory_limit_ratio=_share(usage.memory_bytes, usage.memory_max_bytes),
            threads=usage.threads,
            open_files=usage.open_files,
            gpus=gpus,
            failures=(*usage.failures, *failures),
            trouble="; ".join(troubles),
        )

    def _cores(self, usage: Usage) -> float | None:
        """Return the cores in use since the sample before; None in a first one.

        A total that falls is that of another container under the same name: its first sample.
        """
        now = self._monotonic()
        before, self._before = self._before, (now, usage.cpu_s)
        if before is None or now <= before[0] or usage.cpu_s < before[1]:
            return None
        return (usage.cpu_s - before[1]) / (now - before[0])

    def close(self) -> None:
        """Let go of the GPUs."""
        if self._gpus is not None:
            self._gpus.close()


def _share(used: float | None, limit: float | None) -> float | None:
    return used / limit if used is not None and limit else None
