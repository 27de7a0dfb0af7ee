"""A spool as the one stream of a source: read, released once committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from collectors.source import Chunk
from collectors.spool.files import Place
from collectors.spool.reader import Segments, SpoolReader

#: Bytes handed out by one poll, about.
POLL_BYTES = 4 << 20
#: The one stream of a spool.
STREAM = "spool"


class Spooled(Segments, Protocol):
    """What a stream needs of a spool, in this process or in another."""

    def release(self, place: Place) -> None:
        """Delete segments that end before a place that was committed."""

    def backlog_bytes(self, place: Place) -> int:
        """Bytes behind a place."""


class SpoolStream:
    """What has been spooled, in chunks. Belongs to one thread.

    Parameters
    ----------
    place
        Behind what was committed; None to begin with the oldest segment that is there.
    """

    def __init__(self, spool: Spooled, place: Place | None) -> None:
        self._spool, self._reader = spool, SpoolReader(spool, place)

    @property
    def position(self) -> Mapping[str, int]:
        """Behind what was handed out."""
        return self._reader.place.position

    @property
    def damaged_segments(self) -> int:
        """Segments that could not be read to their ends."""
        return self._reader.damaged_segments

    def poll(self) -> Sequence[Chunk]:
        """Read on, at most about `POLL_BYTES`."""
        reading = self._reader.read(POLL_BYTES)
        if reading is None:
            return ()
        return (Chunk(STREAM, reading.lines, self.position, reading.too_long, reading.lost),)

    def committed(self) -> None:
        """Let go of segments that were read: the store knows now that they were."""
        self._spool.release(self._reader.place)

    def unread_bytes(self) -> Mapping[str, int]:
        """Bytes that were spooled and not handed out yet."""
        unread = self._spool.backlog_bytes(self._reader.place)
        return {STREAM: unread} if unread else {}

    def close(self) -> None:
        """Close the segment that is open."""
        self._reader.close()
