"""Which files belong to a log: those that its path names, and what rotation made of them."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

#: Endings of files that are no text, or not finished.
IGNORED_ENDINGS = (".gz", ".zst", ".bz2", ".xz", ".zip", ".tmp", ".swp", ".lock")

# A number or a time: `log.1`, `log-20260304`, `log.2026-03-04T10:00:00Z`.
_STAMP = r"[.-]\d[\dTZ._:+-]*"
_ENDING = r"(?P<ending>\.[A-Za-z]\w*)"
_STAMP_LAST = re.compile(rf"(?P<log>.*?[^/]){_STAMP}")
_STAMP_INSIDE = re.compile(rf"(?P<log>.*?[^/]){_STAMP}{_ENDING}")
_WITH_ENDING = re.compile(rf"(?P<stem>.*[^/]){_ENDING}")


class FileId(NamedTuple):
    """Tells a file from others for as long as it is open; afterwards the inode may be reused."""

    device: int
    inode: int


class Version(NamedTuple):
    """Changes whenever a file is written."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the log.

    Parameters
    ----------
    log
        The path that the log has, or had, while it was written: the files of one log are read
        one after the other.
    rotated
        Only rotation's naming makes it part of the log; the path does not name it.
    """

    path: str
    log: str
    rotated: bool
    id: FileId
    version: Version


def find(pattern: str) -> list[Found]:
    """List the regular files of a log, the longest untouched first.

    Besides what `pattern` names, a file belongs to the log whose name is that of such a file
    with a number or a time behind it, or before its ending: ``log.jsonl.1``,
    ``log-20260304.jsonl``.
    """
    found = [
        Found(path, log, rotated, file_id(status), version(status))
        for path, log, rotated in _names(pattern)
        if (status := _status(path)) is not None
    ]
    return sorted(found, key=lambda one: (one.version.mtime_ns, one.path))


def file_id(status: os.stat_result) -> FileId:
    """Device and inode."""
    return FileId(status.st_dev, status.st_ino)


def version(status: os.stat_result) -> Version:
    """Size and time of the last change."""
    return Version(status.st_size, status.st_mtime_ns)


def _names(pattern: str) -> Iterator[tuple[str, str, bool]]:
    named = _glob(pattern)
    for path in named:
        match = _STAMP_LAST.fullmatch(path)
        log = match["log"] if match else path
        yield path, log if log in named else path, False
    for path in _glob(pattern + "[.-][0-9]*") - named:
        if match := _STAMP_LAST.fullmatch(path):
            yield path, match["log"], True
    if ending := _WITH_ENDING.fullmatch(pattern):
        for path in _glob(f"{ending['stem']}[.-][0-9]*{ending['ending']}") - named:
            if match := _STAMP_INSIDE.fullmatch(path):
                yield path, match["log"] + match["ending"], True


def _glob(pattern: str) -> set[str]:
    paths = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute
    return {path for path in paths if not path.endswith(IGNORED_ENDINGS)}


def _status(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - one system call for all of it
    except OSError:
        return None  # gone since it was listed
    return status if stat.S_ISREG(status.st_mode) else None
