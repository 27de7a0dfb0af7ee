"""A bounded buffer on disk for lines that come over the network: taken when durable, read later.

What is promised:

* `append` returns when the lines are on disk; a crash or a power cut after that loses none;
* the sender never waits for the reader. When the spool is full its oldest segment is deleted,
  and what was not read of it is counted as lost, exactly, also over restarts;
* the same event sent twice within the last `ids_max` events is kept once, also over a restart
  as far back as `KEPT_BYTES` of read segments reach. Events without an id are not compared.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collectors.spool.event_key import NotAnObjectError, RecentKeys, event_key
from collectors.spool.files import (
    Place,
    Segment,
    SpoolClosedError,
    SpoolError,
    begin_segment,
    find_segments,
    lock_folder,
    take_up,
)
from collectors.spool.segment import (
    HEADER_BYTES,
    Header,
    Kind,
    Record,
    pack_record,
    packed,
    records,
    write_whole,
)

log = logging.getLogger("kedge.spool")

#: Bytes of a segment, about, in a spool of the usual size: what is shed at a time.
SEGMENT_BYTES = 8 << 20
#: Segments of a small spool.
SEGMENTS_MIN = 8
#: Bytes of lines under one checksum.
RECORD_BYTES = 256 << 10
#: Segments that were read are kept, up to so many bytes, to know their ids after a restart.
KEPT_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of one sender.

    Parameters
    ----------
    lines
        Lines without their ends.
    keys
        What makes two of them the same event, as long as `lines`; None compares with nothing.
    too_long
        The first bytes of lines that are longer than is taken.
    """

    lines: Sequence[bytes]
    keys: Sequence[int | None]
    too_long: Sequence[bytes] = ()


class Spool:
    """Segments in a folder: one thread appends, another one reads and releases.

    Parameters
    ----------
    folder
        Where the segments are; of this spool alone.
    bytes_max
        Size of all segments together.
    ids_max
        Events that a new one is compared with.
    after
        Up to where the spool was read by the last commit; None where nothing was.

    Raises
    ------
    SpoolError
        The folder cannot be used, or belongs to another process.
    """

    def __init__(
        self, folder: Path, *, bytes_max: int, ids_max: int, after: Place | None = None
    ) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._segment_bytes = min(SEGMENT_BYTES, bytes_max // SEGMENTS_MIN)
        self._ids_max = ids_max
        self._keys = RecentKeys(ids_max)
        self._writing, self._state = threading.Lock(), threading.Lock()
        self._closed = False
        self._segments: dict[int, Segment] = {}
        self._descriptor = -1
        #: Bytes of the last segment, and lines ever spooled, those included that are not durable.
        self._size = self._lines = 0
        self._durable_lines = 0
        #: Bytes cut from the end after a crash, and segments that could not be read to the end.
        self.torn_bytes = self.damaged_segments = 0
        try:
            self._lock = lock_folder(folder)
            self._load(after)
        except OSError as error:
            raise SpoolError(f"could not open the spool {folder}: {error.strerror}") from error
        self._remember()

    def append(self, batches: Sequence[Batch]) -> list[int]:
        """Make lines durable, all under one flush; return how many of each batch were known.

        Raises
        ------
        SpoolError
            The disk did not take them: none, or not all, of the lines are kept, and the same
            batches may be sent again.
        """
        with self._writing:
            if self._closed:
                raise SpoolClosedError("the spool is closed")
            lines: list[bytes] = []
            keys: list[int | None] = []
            known = [self._select(batch, lines, keys) for batch in batches]
            begin = self._durable_lines
            try:
                for record in packed(lines, min(RECORD_BYTES, self._segment_bytes)):
                    self._put(record)
                for beginning in (start for batch in batches for start in batch.too_long):
                    self._put(Record(Kind.TOO_LONG, 1, beginning))
                self._flush()
            except OSError as error:
                self._undo()
                kept = self._durable_lines - begin
                self._keys.forget(key for key in keys[kept:] if key is not None)
                raise SpoolError(
                    f"could not write to the spool {self._folder}: {error.strerror}"
                ) from error
            return known

    def around(self, sequence: int) -> tuple[Segment | None, Segment | None]:
        """Return the segment of that number and the next one, as they stand."""
        with self._state:
            behind = (number for number in self._segments if number > sequence)
            following = next(behind, None)
            return (
                self._segments.get(sequence),
                None if following is None else self._segments[following],
            )

    def seal(self) -> bool:
        """Go on in a new segment, because what follows in the last one cannot be found.

        Returns
        -------
        bool
            True: what cannot be read by now never can.
        """
        with self._writing, contextlib.suppress(OSError):
            if not self._closed:
                self._roll()
        return True

    def skip(self, lines: int) -> None:
        """Count lines that never came here as lost, at this place.

        Raises
        ------
        SpoolError
            The disk did not take the note; nothing is counted.
        """
        with self._writing:
            if self._closed:
                raise SpoolClosedError("the spool is closed")
            with self._state:
                number = next(reversed(self._segments))
            try:
                self._begin(Header(number + 1, self._durable_lines + lines))
            except OSError as error:
                raise SpoolError(
                    f"could not write to the spool {self._folder}: {error.strerror}"
                ) from error
            self._durable_lines = self._lines

    @property
    def durable_lines(self) -> int:
        """Lines ever spooled, those that were skipped or shed included."""
        return self._durable_lines

    def release(self, place: Place) -> None:
        """Delete segments that end before a place that was committed, and whose ids are old."""
        with self._state:
            for segment, following in zip(
                list(self._segments.values()), list(self._segments.values())[1:], strict=False
            ):
                if segment.sequence >= place.sequence or self._is_kept(following, place):
                    return
                with contextlib.suppress(OSError):
                    segment.path.unlink(missing_ok=True)
                    del self._segments[segment.sequence]

    def backlog_bytes(self, place: Place) -> int:
        """Bytes behind a place."""
        with self._state:
            return sum(
                segment.size - (place.offset if number == place.sequence else HEADER_BYTES)
                for number, segment in self._segments.items()
                if number >= place.sequence
            )

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        with self._state:
            return sum(segment.size for segment in self._segments.values())

    def close(self) -> None:
        """Take no more lines, and let go of the folder."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
            self._close_descriptor()
            os.close(self._lock)

    def _select(self, batch: Batch, lines: list[bytes], keys: list[int | None]) -> int:
        """Add the lines that were not spooled lately; return how many were."""
        known = 0
        for line, key in zip(batch.lines, batch.keys, strict=True):
            if self._ids_max and key is not None and not self._keys.add(key):
                known += 1
            else:
                lines.append(line)
                keys.append(key)
        return known

    def _put(self, record: Record) -> None:
        if self._descriptor < 0 or (
            self._size > HEADER_BYTES and self._size + record.size > self._segment_bytes
        ):
            self._roll()
        self._make_room(record.size)
        write_whole(self._descriptor, pack_record(record))
        self._size += record.size
        self._lines += record.lines

    def _make_room(self, needed: int) -> None:
        """Delete the oldest segments until there is room; never the one being written."""
        with self._state:
            last = next(reversed(self._segments))
            used = self._size + needed
            used += sum(one.size for one in self._segments.values() if one.sequence != last)
            while used > self._bytes_max and len(self._segments) > 1:
                oldest = self._segments[next(iter(self._segments))]
                oldest.path.unlink(missing_ok=True)
                del self._segments[oldest.sequence]
                used -= oldest.size

    def _flush(self) -> None:
        with self._state:
            last = self._segments[next(reversed(self._segments))]
        if self._descriptor < 0 or self._size == last.size:
            return
        os.fdatasync(self._descriptor)
        with self._state:
            self._segments[last.sequence] = replace(last, size=self._size)
            self._durable_lines = self._lines

    def _undo(self) -> None:
        """Cut what did not become durable; go on in a new segment if even that fails."""
        with self._state:
            last = self._segments[next(reversed(self._segments))]
        self._size, self._lines = last.size, self._durable_lines
        try:
            os.ftruncate(self._descriptor, last.size)
        except OSError:
            self._close_descriptor()

    def _roll(self) -> None:
        self._flush()
        with self._state:
            number = next(reversed(self._segments))
        self._begin(Header(number + 1, self._lines))

    def _begin(self, header: Header) -> None:
        """Begin a segment; the one before stays the last one if the disk does not take it."""
        segment, descriptor = begin_segment(self._folder, header)
        self._close_descriptor()
        self._descriptor = descriptor
        self._size, self._lines = segment.size, segment.lines_before
        with self._state:
            self._segments[segment.sequence] = segment

    def _close_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_kept(self, following: Segment, place: Place) -> bool:
        """Whether the segment before `following`, which was read, holds ids of late."""
        if following.lines_before + self._ids_max <= self._durable_lines:
            return False
        read = sum(one.size for one in self._segments.values() if one.sequence < place.sequence)
        return read <= KEPT_BYTES

    def _load(self, after: Place | None) -> None:
        """Take up the segments that are there, and cut a torn end off the last one."""
        found, self.damaged_segments = find_segments(self._folder)
        self._segments = {segment.sequence: segment for segment in found}
        end = (0, 0)
        if found:
            last, self._lines, self._descriptor = take_up(found[-1])
            self.torn_bytes = found[-1].size - last.size
            self._segments[last.sequence], self._size = last, last.size
            end = last.sequence, last.size
        if after is not None and end < (after.sequence, after.offset):
            # The folder is older than the store, or new: what comes now is not to be taken for
            # what was read then.
            self._begin(Header(after.sequence + 1, max(after.lines, self._lines)))
        elif not found:
            self._begin(Header(1, 0))
        self._durable_lines = self._lines

    def _remember(self) -> None:
        """Learn the ids of the last events again, from the segments that are still there."""
        tail: list[Segment] = []
        for segment in reversed(self._segments.values() if self._ids_max else ()):
            tail.append(segment)
            if segment.lines_before + self._ids_max <= self._lines:
                break
        for segment in reversed(tail):
            try:
                data = segment.path.read_bytes()
            except OSError as error:
                log.warning("the ids in %s are not known again: %s", segment.path, error.strerror)
                continue
            for record, _ in records(data[: segment.size], HEADER_BYTES):
                if record.kind is Kind.LINES:
                    self._learn(record.payload.split(b"\n"))

    def _learn(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            with contextlib.suppress(NotAnObjectError):
                key = event_key(line)
                if key is not None:
                    self._keys.add(key)
