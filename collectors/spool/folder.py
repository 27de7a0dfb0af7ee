"""A spool that another process writes, as the one that reads it sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from collectors.spool.files import Place, Segment
from collectors.spool.segment import HEADER_BYTES, Header, unpack_header

_SUFFIX = ".spool"


class SpoolFolder:
    """The segments in a folder that :class:`collectors.spool.spool.Spool` fills elsewhere.

    What the writer deletes to make room is found missing, and counted by the numbers that lines
    have. What was read is deleted here; the writer takes that for room.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._headers: dict[str, Header] = {}

    def around(self, sequence: int) -> tuple[Segment | None, Segment | None]:
        """Return the segment of that number and the next one, as they stand.

        The next one is looked for first: if it is there, the size of the other one is its last.
        """
        here: tuple[str, Header] | None = None
        following: tuple[str, Header] | None = None
        for name, header in self._names():
            if header.sequence == sequence:
                here = name, header
            elif header.sequence > sequence:
                following = name, header
                break
        return self._segment(here), self._segment(following)

    def seal(self) -> bool:
        """Return False: a record that is not whole at the end is being written."""
        return False

    def release(self, place: Place) -> None:
        """Delete segments that end before a place that was committed."""
        for name, header in list(self._names()):
            if header.sequence >= place.sequence:
                return
            with contextlib.suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def backlog_bytes(self, place: Place) -> int:
        """Bytes behind a place."""
        unread = 0
        for name, header in self._names():
            segment = self._segment((name, header))
            if segment is not None and header.sequence >= place.sequence:
                begin = place.offset if header.sequence == place.sequence else HEADER_BYTES
                unread += max(0, segment.size - begin)
        return unread

    def _names(self) -> Iterator[tuple[str, Header]]:
        """Names and headers of the segments, oldest first; what has no header yet is not there."""
        try:
            names = sorted(path.name for path in self._folder.iterdir() if path.suffix == _SUFFIX)
        except FileNotFoundError:
            return
        self._headers = {name: self._headers[name] for name in names if name in self._headers}
        for name in names:
            header = self._headers.get(name) or self._header(name)
            if header is not None:
                self._headers[name] = header
                yield name, header

    def _header(self, name: str) -> Header | None:
        try:
            with (self._folder / name).open("rb") as file:
                return unpack_header(file.read(HEADER_BYTES))
        except FileNotFoundError:
            return None

    def _segment(self, found: tuple[str, Header] | None) -> Segment | None:
        if found is None:
            return None
        name, header = found
        path = self._folder / name
        try:
            return Segment(header.sequence, path, header.lines_before, path.stat().st_size)
        except FileNotFoundError:
            return None
