"""Reads a spool from a place on, and says what is no longer there to be read."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Protocol

from collectors.spool.files import Place, Segment
from collectors.spool.segment import (
    HEADER_BYTES,
    RECORD_HEAD_BYTES,
    Kind,
    record_bytes,
    records,
)

log = logging.getLogger("kedge.spool")


@dataclass(frozen=True, slots=True)
class Reading:
    r"""What was read in one go.

    Parameters
    ----------
    lines
        Whole lines, each ended by ``\n``.
    too_long
        The beginnings of lines that were not taken.
    lost
        Lines that lay before these and are gone: shed, or damaged on disk.
    """

    lines: bytes
    too_long: tuple[bytes, ...] = ()
    lost: int = 0


class Segments(Protocol):
    """What a reader has to know of a spool, in this process or in another."""

    def around(self, sequence: int) -> tuple[Segment | None, Segment | None]:
        """Return the segment of that number and the next one, as they stand."""

    def seal(self) -> bool:
        """Say whether what cannot be read at the end never can; False if it is being written."""


class SpoolReader:
    """Where the reading of a spool stands. Belongs to one thread, which is not the writer's.

    Parameters
    ----------
    place
        Behind what was committed; None to begin with the oldest segment that is there.
    """

    def __init__(self, spool: Segments, place: Place | None) -> None:
        self._spool = spool
        self.place = place or self._oldest()
        self.damaged_segments = 0
        self._open_sequence, self._descriptor = -1, -1

    def read(self, bytes_max: int) -> Reading | None:
        """Read on, about `bytes_max` at most; None when nothing has come."""
        lost = 0
        while True:
            here, following = self._spool.around(self.place.sequence)
            if here is not None and self.place.offset < here.size:
                reading = self._read_in(here, bytes_max)
                if reading is not None:
                    return Reading(reading.lines, reading.too_long, lost)
                following = self._behind_damage(here, following)
            if following is None:
                return Reading(b"", (), lost) if lost else None
            lost += max(0, following.lines_before - self.place.lines)
            self.place = following.begin

    def close(self) -> None:
        """Close the segment that is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._open_sequence, self._descriptor = -1, -1

    def _oldest(self) -> Place:
        _, oldest = self._spool.around(-1)
        return oldest.begin if oldest is not None else Place(0, HEADER_BYTES, 0)

    def _read_in(self, segment: Segment, bytes_max: int) -> Reading | None:
        """Read records of a segment; None when the next one is damaged, or gone."""
        left = segment.size - self.place.offset
        try:
            data = self._bytes(segment, min(bytes_max, left))
        except FileNotFoundError:
            return None
        if RECORD_HEAD_BYTES <= len(data) < record_bytes(data) <= left:
            data = self._bytes(segment, record_bytes(data))
        lines: list[bytes] = []
        too_long: list[bytes] = []
        count = end = 0
        for record, ends in records(data, 0):
            end = ends
            (lines if record.kind is Kind.LINES else too_long).append(record.payload)
            count += record.lines
        if not end:
            return None
        self.place = Place(segment.sequence, self.place.offset + end, self.place.lines + count)
        return Reading(b"".join(lines), tuple(too_long))

    def _bytes(self, segment: Segment, size: int) -> bytes:
        if self._open_sequence != segment.sequence:
            self.close()
            self._descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
            self._open_sequence = segment.sequence
        return os.pread(self._descriptor, size, self.place.offset)

    def _behind_damage(self, segment: Segment, known: Segment | None) -> Segment | None:
        """Return where to read on; None when nothing follows by now.

        Parameters
        ----------
        known
            What followed before the segment was read: if anything did, it was whole by then.
        """
        here, following = self._spool.around(segment.sequence)
        if here is None:  # shed just now
            return following
        if known is None:
            # Nothing tells where the next record begins, so the next ones go elsewhere.
            if not self._spool.seal():
                return None
            _, following = self._spool.around(segment.sequence)
        if following is not None:
            place = self.place.offset
            log.warning("%s is damaged at byte %d: its rest is passed over", segment.path, place)
            self.damaged_segments += 1
        return following
