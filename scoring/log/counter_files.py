"""The files in which several processes count, for the processes that have ended.

prometheus_client keeps the files of every process there was, so that no counter goes back. With a
process for each version that is many; what those that have ended counted is added up in one file
of each kind. A lock keeps a scrape from seeing a count twice, or not at all.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

#: The kinds whose values are sums. A gauge says what is, which is nothing where a process was.
_SUMMED: Final = ("counter", "histogram", "summary")
#: Stands in a name where the number of a process would.
_ENDED: Final = "ended"
_LOCK: Final = "lock"


@contextmanager
def being_read(folder: Path) -> Iterator[None]:
    """Have the files stay as they are; others may read them, too."""
    with (folder / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def fold(folder: Path, pid: int) -> None:
    """Add what a process that has ended counted to what others had, and remove its files."""
    with (folder / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for kind in _SUMMED:
            of_process = folder / f"{kind}_{pid}.db"
            if of_process.exists():
                _add(of_process, folder / f"{kind}_{_ENDED}.db")
                of_process.unlink()
        for gauges in folder.glob(f"gauge_*_{pid}.db"):
            gauges.unlink()


def _add(counts: Path, sums: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415 - parents seldom need it

    values: dict[str, float] = {}
    for path in (sums, counts):
        if path.exists():
            for key, value, _, _ in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call] # untyped upstream
                values[key] = values.get(key, 0.0) + value
    partial = sums.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    written: Any = MmapedDict(str(partial))  # type: ignore[no-untyped-call] # untyped upstream
    for key, value in values.items():
        written.write_value(key, value, 0.0)
    written.close()
    partial.replace(sums)
