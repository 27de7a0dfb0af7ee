"""Which files belong to a log: those that its path names, and what rotation made of them."""

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass
from typing import NamedTuple

from collectors.tail.compressed import PACKINGS

#: Endings of files that are not read: other compressions, and files that are not finished.
IGNORED_ENDINGS = (".bz2", ".xz", ".zip", ".tmp", ".swp", ".lock")

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
    packing
        How it is compressed, by the ending of its name: one of `PACKINGS`, or nothing.
    """

    path: str
    log: str
    rotated: bool
    packing: str
    id: FileId
    version: Version


def find(pattern: str) -> list[Found]:
    """List the regular files of a log, the longest untouched first.

    Besides what `pattern` names, a file belongs to the log whose name is that of such a file
    with a number or a time behind it, or before its ending: ``log.jsonl.1``,
    ``log-20260304.jsonl``, and compressed ``log.jsonl.2.gz``. Where a name is a symbolic link,
    the files that are rotated beside its target belong to the log too.
    """
    found = [
        Found(path, log, rotated, packing_of(path), file_id(status), version(status))
        for path, (log, rotated) in _names(pattern).items()
        if (status := _status(path)) is not None
    ]
    return sorted(found, key=lambda one: (one.version.mtime_ns, one.path))


def packing_of(path: str) -> str:
    """How a file is compressed, told by its name: one of `PACKINGS`, or nothing."""
    return next((ending for ending in PACKINGS if path.endswith(ending)), "")


def file_id(status: os.stat_result) -> FileId:
    """Device and inode."""
    return FileId(status.st_dev, status.st_ino)


def version(status: os.stat_result) -> Version:
    """Size and time of the last change."""
    return Version(status.st_size, status.st_mtime_ns)


def _names(pattern: str) -> dict[str, tuple[str, bool]]:
    """Return the paths that belong to a pattern, each with its log and whether it is rotated."""
    names: dict[str, tuple[str, bool]] = {}
    named = _glob(pattern)
    for path in named:
        match = _STAMP_LAST.fullmatch(_unpacked(path))
        log = match["log"] if match else path
        names[path] = log if log in named else path, False
    for link in [path for path in named if os.path.islink(path)]:  # noqa: PTH114 - a str
        # Rotation takes place beside the target, where no pattern looks.
        target = os.path.realpath(link)
        for path in _rotated(glob.escape(target)):
            names.setdefault(path, (link, True))
    for path, log in _rotated(pattern).items():
        names.setdefault(path, (log, True))
    return names


def _rotated(pattern: str) -> dict[str, str]:
    """Return the paths that rotation makes of what a pattern names, each with its log."""
    rotated = {}
    for path in _glob(pattern + "[.-][0-9]*"):
        if match := _STAMP_LAST.fullmatch(_unpacked(path)):
            rotated[path] = match["log"]
    if ending := _WITH_ENDING.fullmatch(pattern):
        for path in _glob(f"{ending['stem']}[.-][0-9]*{ending['ending']}*"):
            match = _STAMP_INSIDE.fullmatch(_unpacked(path))
            if match and match["ending"] == ending["ending"]:
                rotated.setdefault(path, match["log"] + match["ending"])
    return rotated


def _unpacked(path: str) -> str:
    return path.removesuffix(packing_of(path))


def _glob(pattern: str) -> set[str]:
    paths = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute
    return {path for path in paths if not path.endswith(IGNORED_ENDINGS)}


def _status(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - one system call for all of it
    except OSError:
        return None  # gone since it was listed
    return status if stat.S_ISREG(status.st_mode) else None
