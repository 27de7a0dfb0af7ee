"""Which compressed file continues which stream, and which has been dealt with.

* A compressed file is compared by its decompressed bytes. One that holds what was read of a
  stream without a file continues it; one that fits none is a new stream, read from its start.
* While the file that it was made of is there, it is a copy, and waits.
* Once it was read to its end it is *sealed*: remembered by its compressed bytes, so that no
  later look, and no restart, decompresses it again.
* Compressed files that are there at the very first look are history, and are sealed unread.

What it holds behind its last line end is never counted: nothing can complete it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from collectors.tail.compressed import Inflated
from collectors.tail.log_files import FileId, Found, Version
from collectors.tail.stream import OpenFile, Stream, open_found
from collectors.tail.stream_identity import Mark, Plain, alike
from collectors.tail.stream_table import StreamTable

#: Bytes decompressed by one look in search of where reading stopped: a fraction of a second.
COMPARED_BYTES = 64 << 20
#: A file that ends in the middle of a member is taken for one being written until it rests so
#: long.
WRITING_WAIT_S = 5.0


@dataclass(slots=True)
class _Comparison:
    """A compressed file that is being compared with streams.

    Parameters
    ----------
    left
        Streams that it was not compared with yet, the shortest first; unknown at the start.
    fitting
        Streams of which it holds all that was read.
    """

    file: OpenFile
    inflated: Inflated
    left: deque[Stream] | None = None
    fitting: list[Stream] = field(default_factory=list)


class CompressedFiles:
    """The compressed files of one log pattern.

    Attributes
    ----------
    unopened
        Files that have to wait for others to be closed.
    held
        Logs of which an older file is still being compared, or was renamed while it was looked
        for, so that none of it is read yet.
    """

    def __init__(self, table: StreamTable) -> None:
        self._table = table
        self._comparing: dict[FileId, _Comparison] = {}
        self._waiting: dict[FileId, tuple[Version, Stream]] = {}
        self._given_up: dict[FileId, tuple[Version, str, str]] = {}
        self._sealed: dict[int, list[Stream]] = {}
        self.unopened: dict[str, Found] = {}
        self.held: set[str] = set()

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Files that cannot be read on, with the reason."""
        return {path: reason for _, path, reason in self._given_up.values()}

    def comparing(self) -> list[OpenFile]:
        """Return the open files that no stream is bound to."""
        return [one.file for one in self._comparing.values()]

    def look(
        self,
        found: Sequence[Found],
        *,
        now: float,
        history: Collection[FileId],
        loose: Iterable[OpenFile],
        has_room: Callable[[], bool],
    ) -> None:
        """Sort out the compressed files that were found, oldest first.

        Parameters
        ----------
        history
            Files that are not to be read.
        loose
            Open files without a stream.
        has_room
            Whether one more file may be opened.
        """
        self._finish(now)
        self._forget({one.id for one in found})
        self._sealed = {}
        for stream in self._table.streams.values():
            if stream.sealed:
                self._sealed.setdefault(stream.mark.offset, []).append(stream)
        self.unopened, self.held = {}, set()
        bytes_left = COMPARED_BYTES
        unsorted = [file for file in loose if file.size and file.copy_of is None]
        for one in found:
            if self._known(one, now) or os.path.exists(one.path.removesuffix(one.packing)):  # noqa: PTH110 - a str
                continue
            comparison = self._comparing.get(one.id) or self._open(one, now, has_room)
            if comparison is not None:
                bytes_left -= self._sort_out(comparison, now, history, unsorted, bytes_left)

    def close(self) -> None:
        """Close all files that no stream is bound to."""
        self._forget(set())

    def _known(self, found: Found, now: float) -> bool:
        """Whether nothing is to be decided about a file."""
        stream = self._table.bound.get(found.id)
        if stream is not None and stream.file is not None:
            stream.file.path, stream.file.listed_at, stream.path = found.path, now, found.path
            return True
        if self._table.is_parked(found.id, found.version):
            return True
        given_up = self._given_up.get(found.id)
        if given_up is not None and given_up[0] == found.version:
            return True
        waiting = self._waiting.pop(found.id, None)
        if waiting is None or waiting[0] != found.version or waiting[1].file is None:
            return False
        self._waiting[found.id] = waiting
        return True

    def _open(self, found: Found, now: float, has_room: Callable[[], bool]) -> _Comparison | None:
        if not has_room():
            self.unopened[found.path] = found
            return None
        try:
            file = open_found(found, now)
        except OSError as error:
            self._give_up(found.id, found.version, found.path, os.strerror(error.errno or 0))
            return None
        if file is None or file.id != found.id:
            self.held.add(found.log)  # renamed since it was listed: the next look finds it
        if file is None or file.id in self._table.bound or file.id in self._comparing:
            if file is not None:
                os.close(file.descriptor)
            return None
        file.inflated = Inflated(file.descriptor, found.packing)
        self._given_up.pop(file.id, None)
        self._comparing[file.id] = _Comparison(file, file.inflated)
        return self._comparing[file.id]

    def _sort_out(
        self,
        one: _Comparison,
        now: float,
        history: Collection[FileId],
        unsorted: Iterable[OpenFile],
        bytes_max: int,
    ) -> int:
        """Decide on a file, if that can be done by now; return the bytes decompressed for it."""
        file, inflated = one.file, one.inflated
        if file.refresh(now):
            one.left, one.fitting = None, []
        sealed = self._seal_of(file)
        if sealed is not None or file.id in history:
            self._seal(file, sealed)
            return 0
        head = inflated.head()
        if not head and inflated.fault is not None:
            self._give_up(file.id, file.version, file.path, inflated.fault)
            self._drop(file)
            return 0
        if self._copies_unread(head, unsorted, now):
            return 0
        before = inflated.ends
        compared = self._compare(one, head, bytes_max)
        if not compared:
            self.held.add(file.log)
        elif one.fitting:
            self._continue(max(one.fitting, key=_furthest), one)
        elif self._all_was_read(inflated):
            self._seal(file, None)
        elif not self._may_be_growing(one, head, now):
            self._bind(self._table.new(Mark()), file)
        return abs(inflated.ends - before)

    def _copies_unread(self, head: bytes, unsorted: Iterable[OpenFile], now: float) -> bool:
        """Whether an open file, of which nothing was read yet, begins like this one."""
        heads = (file.content.head() for file in (*self._table.unread_files(now), *unsorted))
        return any(alike(head, other) for other in heads)

    def _compare(self, one: _Comparison, head: bytes, bytes_max: int) -> bool:
        """Compare with streams, the shortest first; False if it takes another look."""
        if one.left is None:
            alike = [
                stream
                for stream in self._table.streams.values()
                if stream.mark.offset and not stream.sealed and head.startswith(stream.mark.head)
            ]
            one.left = deque(sorted(alike, key=lambda stream: stream.mark.offset))
        stop = one.inflated.ends + bytes_max
        while one.left:
            mark = one.left[0].mark
            bytes_left = stop - one.inflated.ends
            if bytes_left <= 0 or not one.inflated.reach(mark.offset - len(mark.tail), bytes_left):
                return False
            stream = one.left.popleft()
            if mark.fits(one.inflated, head, mark.offset):
                one.fitting.append(stream)
        return True

    def _continue(self, stream: Stream, one: _Comparison) -> None:
        """Decide on a file that holds all that was read of a stream."""
        if stream.file is None:
            self._bind(stream, one.file)
        elif stream.has_news or stream.file.inflated:
            pass  # the open file comes first
        elif not one.inflated.pread(1, stream.mark.offset) and one.inflated.complete:
            self._seal(one.file, None)
        else:
            self._waiting[one.file.id] = (one.file.version, stream)
            self._drop(one.file)

    def _all_was_read(self, inflated: Inflated) -> bool:
        """Whether it is a copy of the beginning of a stream, made before that was truncated."""
        if not inflated.complete:
            return False
        head, size = inflated.head(), inflated.ends
        return any(
            stream.astray and stream.mark.passed(inflated, size)
            for stream in list(self._table.streams.values())
            if not stream.sealed and stream.mark.outlasts(head, size)
        )

    def _may_be_growing(self, one: _Comparison, head: bytes, now: float) -> bool:
        """Whether it may turn out to fit a stream when it has been written to its end."""
        if one.inflated.complete or one.inflated.fault is not None:
            return False
        if now - one.file.changed_at >= WRITING_WAIT_S:
            return False
        return any(
            alike(head, stream.mark.head)
            for stream in self._table.streams.values()
            if not stream.sealed
        )

    def _finish(self, now: float) -> None:
        """Seal the files that were read to their end, and give up those that go no further."""
        for stream in list(self._table.bound.values()):
            file = stream.file
            if file is None or file.inflated is None or stream.has_news:
                continue
            if file.inflated.complete:
                self._table.part(stream)
                self._seal(file, None)
                continue
            reason = file.inflated.fault
            if reason is None and now - file.changed_at >= WRITING_WAIT_S:
                reason = "ends in the middle: damaged, or written very slowly"
            if reason is not None:
                self._give_up(file.id, file.version, file.path, reason)
                self._table.unbind(stream)

    def _seal_of(self, file: OpenFile) -> Stream | None:
        raw = Plain(file.descriptor)
        head = raw.head()
        alike = self._sealed.get(file.size, ())
        return next((one for one in alike if one.mark.fits(raw, head, file.size)), None)

    def _seal(self, file: OpenFile, sealed: Stream | None) -> None:
        """Remember that nothing is to be read of a file any more, and close it."""
        if sealed is None:
            sealed = self._table.new(Mark.of(Plain(file.descriptor), file.size), sealed=True)
            sealed.file_id, sealed.path, sealed.log = file.id, file.path, file.log
            self._table.announce(sealed)
        self._table.parked[file.id] = (file.version, sealed)
        self._drop(file)

    def _bind(self, stream: Stream, file: OpenFile) -> None:
        del self._comparing[file.id]
        self._table.bind(stream, file)

    def _drop(self, file: OpenFile) -> None:
        self._comparing.pop(file.id, None)
        os.close(file.descriptor)

    def _give_up(self, key: FileId, version: Version, path: str, reason: str) -> None:
        self._given_up[key] = (version, path, reason)

    def _forget(self, listed: set[FileId]) -> None:
        """Let go of files that are no longer found."""
        for key in [key for key in self._comparing if key not in listed]:
            self._drop(self._comparing[key].file)
        for known in (self._waiting, self._given_up):
            for key in [key for key in known if key not in listed]:
                del known[key]


def _furthest(stream: Stream) -> tuple[bool, int]:
    # A stream without a file comes first: it needs one.
    return stream.file is None, stream.mark.offset
