"""What is read of a target's resources: one reading, the sample made of two, and what went wrong.

One error::

    ResourceError    nothing can be read of the target at present; its `reason` says why
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

Reason: TypeAlias = Literal["not_found", "hidden", "denied", "unreadable", "gpu", "slow"]

#: Why a sample, or a part of it, failed: values of a label.
REASONS: Final[tuple[Reason, ...]] = (
    "not_found",  # no such process or cgroup, or it has ended
    "hidden",  # it is there, and cannot be seen from here
    "denied",  # it is seen, and may not be read
    "unreadable",  # what was read makes no sense
    "gpu",  # a GPU that was there does not answer
    "slow",  # no answer in time
)


class ResourceError(Exception):
    """Nothing can be read of a target.

    Parameters
    ----------
    reason
        One of `REASONS`.
    """

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Usage:
    """What a target has used by now, and holds now. None is what cannot be told.

    Parameters
    ----------
    cpu_s
        Processor time since some moment, in seconds: only differences mean something.
    memory_bytes
        Memory in use: of a cgroup its working set, of processes their resident sets.
    threads, open_files
        How many.
    cores_max, memory_max_bytes
        Limits; None also where there is none.
    failures
        Why parts could not be told.
    """

    cpu_s: float
    memory_bytes: float | None = None
    threads: int | None = None
    open_files: int | None = None
    cores_max: float | None = None
    memory_max_bytes: float | None = None
    failures: tuple[Reason, ...] = ()


class UsageReader(Protocol):
    """Reads a target. Used by one thread at a time, because it remembers."""

    def read(self) -> Usage:
        """Read what the target has used.

        Raises
        ------
        ResourceError
            Nothing can be read of it.
        """


@dataclass(frozen=True, slots=True)
class GpuSample:
    """A GPU, whoever uses it.

    Parameters
    ----------
    gpu
        Its number, from 0.
    ratio
        Share of the time in which something ran on it, 0 to 1; None where it does not say.
    memory_bytes
        Its memory in use; None where it does not say.
    """

    gpu: str
    ratio: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """A target at one moment. None is what cannot be told.

    Parameters
    ----------
    at
        Seconds since the epoch.
    cpu_ratio
        Cores that were used on average since the sample before: 1 is one core, all of the time.
        None in a first sample.
    cpu_limit_ratio, memory_limit_ratio
        Share of the limit in use; None without a limit.
    memory_bytes, threads, open_files
        As in :class:`Usage`.
    gpus
        The machine's GPUs that can be seen; none where there are none.
    failures
        Why parts, or all, could not be told.
    trouble
        The same for a person; empty when all was told.
    """

    at: float
    cpu_ratio: float | None = None
    cpu_limit_ratio: float | None = None
    memory_bytes: float | None = None
    memory_limit_ratio: float | None = None
    threads: int | None = None
    open_files: int | None = None
    gpus: tuple[GpuSample, ...] = ()
    failures: tuple[Reason, ...] = ()
    trouble: str = ""
