"""What Kedge shares a pod or a container with: what to measure when no target is named.

A sidecar usually sees its own control group and no other, because containers have a cgroup
namespace each. What can be seen is looked for in this order:

1. the *pod's* control group, where the host's groups are mounted: all containers together;
2. the *processes of the other containers*, where the pod has ``shareProcessNamespace: true``;
3. *our container's* control group, where something runs in it besides Kedge; its processes,
   where control groups are of version 1.

Otherwise the served container cannot be measured from here, and the message says what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from collectors.resources.cgroup import CGROUPS, PROC, Cgroup
from collectors.resources.sample import ResourceError, Usage, UsageReader

#: Signs of being in a container: the kubelet's variable, and files that Docker and Podman leave.
_POD_VARIABLE: Final = "KUBERNETES_SERVICE_HOST"
_CONTAINER_FILES: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))

#: The folder of a pod's group: ``pod<uid>``, or ``kubepods-burstable-pod<uid>.slice``.
_POD_FOLDER: Final = re.compile(r"(.*-)?pod[0-9a-f_-]{32,}(\.slice)?")

#: The process that holds a pod's namespaces, and does nothing.
_PAUSE: Final = "pause"

#: A thread of the kernel, always with id 2: whoever sees it sees the host, and not a pod.
_KERNEL: Final = (2, "kthreadd")


def in_container(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a container, as far as containers leave a sign of it."""
    return _POD_VARIABLE in environ or any(file.exists() for file in _CONTAINER_FILES)


class Shared:
    """Reads what shares the pod or the container with Kedge, however it can be seen.

    It is looked for at each reading, because containers of a pod start in any order.

    Parameters
    ----------
    contained
        Whether Kedge runs in a container at all; on a plain machine nothing is shared.
    cgroups, proc
        Where control groups and processes are found.
    """

    def __init__(
        self,
        *,
        contained: bool | None = None,
        cgroups: Path = CGROUPS,
        proc: Path = PROC,
        pid: int | None = None,
    ) -> None:
        self._contained = in_container() if contained is None else contained
        self._cgroups = cgroups
        self._proc = proc
        self._pid = os.getpid() if pid is None else pid
        self._found: tuple[str, UsageReader] | None = None

    def read(self) -> Usage:
        """Read what the others in this pod or container have used.

        Raises
        ------
        ResourceError
            Nothing is shared, or it cannot be seen.
        """
        how, folder = self._look()
        # A reader remembers, so it is kept for as long as the answer is the same.
        if self._found is None or self._found[0] != how:
            self._found = (how, self._reader(how, folder))
        return self._found[1].read()

    def _reader(self, how: str, folder: Path | None) -> UsageReader:
        if folder is not None:
            return Cgroup(folder, proc=self._proc)
        from collectors.resources.processes import (  # noqa: PLC0415 - psutil, where it is needed
            ProcessGroup,
            by_ids,
        )

        return ProcessGroup(by_ids(self.others if how == "others" else self.company))

    def _look(self) -> tuple[str, Path | None]:
        """Tell how the target is seen, and its control group unless it is seen by processes."""
        if not self._contained:
            raise ResourceError(
                "Kedge does not run in a container, so it shares none: "
                "name the target by pid, process or cgroup",
                "not_found",
            )
        pod = self.pod_folder()
        if pod is not None:
            return "pod", pod
        if self.others():
            return "others", None
        if self.company():
            version_2 = (self._cgroups / "cpu.stat").is_file()
            return ("container", self._cgroups) if version_2 else ("company", None)
        raise ResourceError(
            "the served container cannot be seen from this one: set shareProcessNamespace: true "
            "in the pod, or name the target by pid, process or cgroup",
            "hidden",
        )

    def pod_folder(self) -> Path | None:
        """Return the pod's control group, if it is mounted where we can read it."""
        ours = self._group_of(self._pid) or ""
        parts = Path(ours).parts
        for depth in range(len(parts), 0, -1):
            if _POD_FOLDER.fullmatch(parts[depth - 1]):
                folder = self._cgroups.joinpath(*(part for part in parts[:depth] if part != "/"))
                return folder if (folder / "cpu.stat").is_file() else None
        return None

    def others(self) -> frozenset[int]:
        """Return the ids of the processes in other control groups than ours: other containers.

        None in a pod with ``hostPID``: they would be those of the whole machine.
        """
        kernel, name = _KERNEL
        if self._text(kernel, "comm") == name:
            return frozenset()
        ours = self._group_of(self._pid)
        return frozenset(
            pid
            for pid in self._pids()
            if (group := self._group_of(pid)) is not None
            and group != ours
            and self._text(pid, "comm") != _PAUSE
        )

    def company(self) -> frozenset[int]:
        """Return the ids of the processes that were started with Kedge in its container.

        They descend from the container's first process. Kedge and its ancestors are not among
        them, nor is what somebody runs in the container by ``kubectl exec``.
        """
        parents = {pid: self._parent(pid) for pid in self._pids()}
        ours = self._group_of(self._pid)
        own = set(_line(self._pid, parents))
        return frozenset(
            pid
            for pid in parents
            if pid not in own
            and self._group_of(pid) == ours
            and (line := _line(pid, parents))[-1] == 1
            and self._pid not in line
        )

    def _pids(self) -> list[int]:
        try:
            return [int(name) for name in os.listdir(self._proc) if name.isdigit()]  # noqa: PTH208 - names only
        except OSError as error:
            what = f"{self._proc} cannot be read: {error.strerror}"
            raise ResourceError(what, "unreadable") from error

    def _group_of(self, pid: int) -> str | None:
        """Return the path of a process's control group (version 2), as seen from our namespace."""
        for line in (self._text(pid, "cgroup") or "").splitlines():
            if line.startswith("0::"):
                return line.removeprefix("0::")
        return None

    def _parent(self, pid: int) -> int:
        # The name before it, in brackets, may hold anything.
        fields = (self._text(pid, "stat") or "").rpartition(")")[2].split()
        return int(fields[1]) if len(fields) > 1 else 0

    def _text(self, pid: int, name: str) -> str | None:
        try:
            return (self._proc / str(pid) / name).read_text().strip()
        except OSError:
            return None  # ended since it was listed


def _line(pid: int, parents: Mapping[int, int]) -> list[int]:
    """Return a process, its parent, and so on, as far as they can be seen."""
    line = [pid]
    while (parent := parents.get(line[-1], 0)) and parent not in line:
        line.append(parent)
    return line
