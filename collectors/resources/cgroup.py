"""Resources of a control group (version 2): a container, a pod or a systemd unit, by its files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from collectors.resources.sample import Reason, ResourceError, Usage

#: Where control groups are mounted.
CGROUPS: Final = Path("/sys/fs/cgroup")
PROC: Final = Path("/proc")

#: What a limit file says where there is no limit.
_NO_LIMIT: Final = "max"


class Cgroup:
    """Reads the files of one control group, and of those within it.

    *Processor time* is ``usage_usec`` of ``cpu.stat``. *Memory* is the working set, as the kubelet
    computes it: ``memory.current`` less ``inactive_file`` of ``memory.stat``, at least 0; it is
    what an eviction goes by. *Threads* are ``pids.current``, which counts threads. *Open files*
    are counted in ``/proc``, process by process: they cannot be told when a process of the group
    cannot be seen from here. A controller that is off leaves its figures untold.

    Parameters
    ----------
    folder
        The group's folder.
    proc
        Where processes are found.
    """

    def __init__(self, folder: Path, *, proc: Path = PROC) -> None:
        self._folder = folder
        self._proc = proc

    def __repr__(self) -> str:
        return f"Cgroup({str(self._folder)!r})"

    def read(self) -> Usage:
        """Read what the group has used.

        Raises
        ------
        ResourceError
            There is no such group, it may not be read, or it is one of version 1.
        """
        try:
            return self._read()
        except OSError as error:
            if _gone(error):
                what = f"there is no control group {self._folder}"
                raise ResourceError(what, "not_found") from error
            what = f"the control group {self._folder} cannot be read: {error.strerror}"
            raise ResourceError(what, _reason(error)) from error
        except ValueError as error:
            what = f"the control group {self._folder} has a file that makes no sense: {error}"
            raise ResourceError(what, "unreadable") from error

    def _read(self) -> Usage:
        usage_us = _table((self._folder / "cpu.stat").read_text()).get("usage_usec")
        if usage_us is None:
            raise ResourceError(
                f"{self._folder}/cpu.stat has no usage_usec, so it is no control group of "
                "version 2; name the target by pid or process instead",
                "unreadable",
            )
        threads = self._text("pids.current")
        open_files, failures = self._open_files()
        return Usage(
            cpu_s=usage_us / 1e6,
            memory_bytes=self._working_set(),
            threads=None if threads is None else int(threads),
            open_files=open_files,
            cores_max=self._cores_max(),
            memory_max_bytes=self._limit("memory.max"),
            failures=failures,
        )

    def _working_set(self) -> float | None:
        current = self._text("memory.current")
        if current is None:
            return None
        inactive = _table(self._text("memory.stat") or "").get("inactive_file", 0)
        return float(max(0, int(current) - inactive))

    def _cores_max(self) -> float | None:
        """Quota over period: the processor time that is allowed in each second."""
        quota, _, period = (self._text("cpu.max") or _NO_LIMIT).partition(" ")
        if quota == _NO_LIMIT:
            return None
        return int(quota) / int(period or 100_000)

    def _limit(self, name: str) -> float | None:
        limit = self._text(name)
        return None if limit in (None, _NO_LIMIT) else float(limit)

    def _open_files(self) -> tuple[int | None, tuple[Reason, ...]]:
        count = 0
        for folder, _, files in os.walk(self._folder):
            if "cgroup.procs" not in files:
                continue
            try:
                pids = (Path(folder) / "cgroup.procs").read_text().split()
            except OSError as error:
                if _gone(error):
                    continue
                return None, (_reason(error),)
            for pid in pids:
                if pid == "0":
                    # A process outside of the PID namespace that we are in.
                    return None, ("hidden",)
                try:
                    count += len(os.listdir(self._proc / pid / "fd"))  # noqa: PTH208 - counts only
                except PermissionError:
                    return None, ("denied",)
                except OSError:
                    continue  # it has ended since it was listed
        return count, ()

    def _text(self, name: str) -> str | None:
        """Content of a file; None when the group has none of that name."""
        try:
            return (self._folder / name).read_text().strip()
        except FileNotFoundError:
            return None


def _gone(error: OSError) -> bool:
    """Whether a file is away; the kernel says ENODEV when its group is removed as it is read."""
    return error.errno in (errno.ENOENT, errno.ENODEV)


def _reason(error: OSError) -> Reason:
    return "denied" if isinstance(error, PermissionError) else "unreadable"


def _table(text: str) -> dict[str, int]:
    """Read lines of a name and a number."""
    return {
        name: int(number) for name, number in (line.split(" ", 1) for line in text.splitlines())
    }
