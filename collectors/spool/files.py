"""The files in the folder of a spool: found again, begun, cut where a crash tore them.

The errors::

    SpoolError              the folder cannot be used, or the disk did not take the lines
    └── SpoolClosedError    the daemon is stopping
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collectors.spool.segment import (
    HEADER_BYTES,
    Header,
    pack_header,
    records,
    unpack_header,
    write_whole,
)

log = logging.getLogger("kedge.spool")

_SUFFIX = ".spool"


class SpoolError(Exception):
    """The spool cannot be opened, or lines could not be made durable."""


class SpoolClosedError(SpoolError):
    """The spool takes no more lines."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a spool: in which segment, at which byte, and how many lines lie before it."""

    sequence: int
    offset: int
    lines: int

    @classmethod
    def of(cls, position: Mapping[str, Any]) -> Place:
        """Return the place that a stored position means."""
        return cls(position["segment"], position["offset"], position["lines"])

    @property
    def position(self) -> dict[str, int]:
        """What is stored of it."""
        return {"segment": self.sequence, "offset": self.offset, "lines": self.lines}


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of the spool as it stands: `size` bytes of it are durable."""

    sequence: int
    path: Path
    lines_before: int
    size: int

    @property
    def begin(self) -> Place:
        """Its first record's place."""
        return Place(self.sequence, HEADER_BYTES, self.lines_before)


def find_segments(folder: Path) -> tuple[Sequence[Segment], int]:
    """Return the segments of a folder, oldest first, and how many files are damaged.

    A damaged file is renamed, for whoever wants to look into it; one that a crash left before
    anything was in it goes.
    """
    found: list[Segment] = []
    damaged = 0
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with path.open("rb") as file:
            header = unpack_header(file.read(HEADER_BYTES))
        size = path.stat().st_size
        if header is not None:
            found.append(Segment(header.sequence, path, header.lines_before, size))
        elif size <= HEADER_BYTES:
            path.unlink()
        else:
            log.warning("%s is damaged; what was not read of it is lost", path)
            path.replace(path.with_suffix(".damaged"))
            damaged += 1
    return found, damaged


def take_up(last: Segment) -> tuple[Segment, int, int]:
    """Cut a torn end off the last segment.

    Returns
    -------
    tuple
        The segment as it is now, how many lines lie before its end, and a descriptor to
        append with.
    """
    end, lines = HEADER_BYTES, last.lines_before
    for record, ends in records(last.path.read_bytes(), HEADER_BYTES):
        end, lines = ends, lines + record.lines
    descriptor = os.open(last.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    if end < last.size:
        torn = last.size - end
        log.warning("%s: %d bytes that were not written to their end are cut", last.path, torn)
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
    return replace(last, size=end), lines, descriptor


def begin_segment(folder: Path, header: Header) -> tuple[Segment, int]:
    """Make a segment, durably; return it and a descriptor to append with."""
    path = folder / f"{header.sequence:012d}{_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        write_whole(descriptor, pack_header(header))
        os.fsync(descriptor)
        _flush_folder(folder)
    except OSError:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return Segment(header.sequence, path, header.lines_before, HEADER_BYTES), descriptor


def lock_folder(folder: Path) -> int:
    """Make the folder, and keep other processes out of it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolError(
            f"the spool {folder} is in use. Stop the other Kedge, or give this one another path"
        ) from error
    return descriptor


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
