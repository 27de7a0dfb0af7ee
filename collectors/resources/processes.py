"""Resources of processes and all that descend from them, by psutil."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

import psutil

from collectors.resources.sample import Reason, ResourceError, Usage

#: Processes of this machine by id, each with its parent's id.
Listing: TypeAlias = Mapping[int, tuple[psutil.Process, int]]

#: Chooses among processes. Raises ResourceError when the target is gone.
Choice: TypeAlias = Callable[[Listing], Iterable[psutil.Process]]

#: A process that began so long before the last reading may still not have been seen by it.
_SLACK_S = 1.0


def by_pid(pid: int) -> Choice:
    """Choose one process: the one that has this id when it is first looked for.

    When that has ended, another one with its id is not it.
    """
    known: list[psutil.Process] = []

    def choose(listing: Listing) -> Sequence[psutil.Process]:
        process, _ = listing.get(pid, (None, 0))
        if process is None or (known and known[0] != process):
            raise ResourceError(
                f"there is no process {pid}, or it is another one by now", "not_found"
            )
        known[:] = [process]
        return known

    return choose


def by_name(pattern: str) -> Choice:
    """Choose every process whose name, or whole command line, matches a pattern.

    The pattern (``*``, ``?``, ``[…]``) stands for all of the name or of the line. Kedge itself is
    not chosen, although its command line may hold the pattern.
    """

    def choose(listing: Listing) -> list[psutil.Process]:
        ours = os.getpid()
        found = [
            process
            for pid, (process, _) in listing.items()
            if pid != ours and any(fnmatchcase(text, pattern) for text in _titles(process))
        ]
        if not found:
            raise ResourceError(f'no process is called "{pattern}"', "not_found")
        return found

    return choose


def by_ids(ids: Callable[[], Collection[int]]) -> Choice:
    """Choose the processes that `ids` names each time."""

    def choose(listing: Listing) -> list[psutil.Process]:
        found = [listing[pid][0] for pid in ids() if pid in listing]
        if not found:
            raise ResourceError("the processes of this pod have ended", "not_found")
        return found

    return choose


class ProcessGroup:
    """Chosen processes with all their descendants, added up; Kedge only if it was chosen.

    Processor time is followed process by process, so that it never falls when one ends. What a
    process uses between the last reading and its end is not counted. Memory is the sum of
    resident sets: pages that several processes share count for each of them. Open files cannot
    be told when those of one process may not be read.

    Parameters
    ----------
    choose
        Chooses where the group begins, at every reading.
    wall
        Clock, seconds since the epoch.
    """

    def __init__(self, choose: Choice, *, wall: Callable[[], float] = time.time) -> None:
        self._choose = choose
        self._wall = wall
        self._cpu_s: dict[psutil.Process, float] | None = None
        self._total_s = 0.0
        self._read_at = 0.0

    def read(self) -> Usage:
        """Read what the processes have used.

        Raises
        ------
        ResourceError
            There is none of them.
        """
        listing = _listing()
        one_by_one = {
            process: usage
            for process in _family(self._choose(listing), listing)
            if (usage := _usage(process)) is not None
        }
        if not one_by_one:
            raise ResourceError("the processes have ended", "not_found")
        self._follow({process: usage.cpu_s for process, usage in one_by_one.items()})
        usages = one_by_one.values()
        files = [usage.open_files for usage in usages]
        told = [count for count in files if count is not None]
        return Usage(
            cpu_s=self._total_s,
            memory_bytes=sum(usage.memory_bytes or 0.0 for usage in usages),
            threads=sum(usage.threads or 0 for usage in usages),
            open_files=sum(told) if len(told) == len(files) else None,
            failures=tuple({reason for usage in usages for reason in usage.failures}),
        )

    def _follow(self, cpu_s: dict[psutil.Process, float]) -> None:
        """Add what each process has used since the last reading."""
        before = self._cpu_s
        if before is not None:
            for process, used_s in cpu_s.items():
                if process in before:
                    self._total_s += max(0.0, used_s - before[process])
                elif process.create_time() >= self._read_at - _SLACK_S:
                    self._total_s += used_s
        self._cpu_s, self._read_at = cpu_s, self._wall()


def _listing() -> dict[int, tuple[psutil.Process, int]]:
    found = {}
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found[pid] = (process, process.ppid())
        except psutil.Error:
            continue  # ended since it was listed
    return found


def _family(chosen: Iterable[psutil.Process], listing: Listing) -> list[psutil.Process]:
    """Return the chosen processes and all that descend from them, each once."""
    children: dict[int, list[psutil.Process]] = defaultdict(list)
    for process, parent in listing.values():
        children[parent].append(process)
    family = dict.fromkeys(chosen)
    ours = os.getpid()
    waiting = list(family)
    while waiting:
        for child in children[waiting.pop().pid]:
            if child not in family and child.pid != ours:
                family[child] = None
                waiting.append(child)
    return list(family)


def _usage(process: psutil.Process) -> Usage | None:
    """Read one process; None when it has ended or may not be read."""
    failures: tuple[Reason, ...] = ()
    open_files: int | None = None
    try:
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info()
            threads = process.num_threads()
            try:
                open_files = process.num_fds()
            except psutil.AccessDenied:
                failures = ("denied",)
    except psutil.Error:
        return None
    return Usage(times.user + times.system, memory.rss, threads, open_files, failures=failures)


def _titles(process: psutil.Process) -> list[str]:
    """Name and command line of a process, as far as they may be read."""
    titles = []
    for read in (process.name, lambda: " ".join(process.cmdline())):
        try:
            titles.append(read())
        except psutil.Error:
            continue
    return titles
