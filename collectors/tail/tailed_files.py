"""Which open file continues which stream: rotation, copies, truncation, files that vanish.

The rules, and what each is for:

* A file is opened, then looked at, then told apart by what it holds. Its name says only where
  to look, and its inode only which of two equal files to prefer.
* A file that holds what was read of a stream continues it, whatever it is called now.
* A file that holds what was read of a stream whose own file is in order is a copy: it is kept
  open, unread, and takes over when the original is truncated (``copytruncate``).
* A file that is the beginning of what was read is a copy being written: it waits.
* Any other file is a new stream, read from its start.

What that cannot do: tell two logs apart that hold the same bytes, and promise that nothing is
counted twice when a log is copied and truncated at the instant Kedge is killed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any

from collectors.tail.compressed_files import CompressedFiles
from collectors.tail.log_files import FileId, Found, find
from collectors.tail.stream import OpenFile, Stream, open_found
from collectors.tail.stream_identity import Content, Mark, alike, same_bytes
from collectors.tail.stream_table import StreamTable

#: Files open at a time; those at rest are closed for others, and opened again when they grow.
FILES_OPEN_MAX = 512
#: A file that begins like a stream is taken for a copy being written until it rests so long.
COPY_WAIT_S = 2.0
#: Listings of one look at most, while files are being renamed.
LISTINGS_MAX = 4
#: Key under which it is stored that the very first look is behind us.
LOOKED = "first-look"


class TailedFiles:
    """The streams of one log pattern, and the open files that continue them.

    Parameters
    ----------
    pattern
        Glob pattern of the log's path.
    from_end
        Whether what stands in the files at the very first look is passed over.
    linger_s
        A file that is no longer found stays open so long after its last change.
    files_open_max
        Files open at a time.
    """

    def __init__(
        self, pattern: str, *, from_end: bool, linger_s: float, files_open_max: int = FILES_OPEN_MAX
    ) -> None:
        self._pattern = pattern
        self._from_end = from_end
        self._linger_s = linger_s
        self._files_open_max = files_open_max
        self._table = StreamTable()
        self._compressed = CompressedFiles(self._table)
        self._loose: dict[FileId, OpenFile] = {}
        self._resting: list[OpenFile] | None = None
        # What is not to be read of what the very first look finds; None when that is done.
        self._history: set[FileId] | None = None
        self._first_look = True
        self._unopened: dict[str, Found] = {}
        self._unreadable: dict[str, str] = {}
        self._renamed: set[str] = set()

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up stored positions."""
        self._table.restore({key: one for key, one in positions.items() if key != LOOKED})
        self._first_look = LOOKED not in positions

    @property
    def unopened(self) -> Mapping[str, Found]:
        """Files that have to wait for others to be closed."""
        return self._unopened | self._compressed.unopened

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Files that could not be opened at the last look, or not be decompressed."""
        return {**self._unreadable, **self._compressed.unreadable}

    @property
    def held(self) -> set[str]:
        """Logs that are not to be read before an older file of theirs has been sorted out.

        It may be one that was renamed after it was listed: the next look finds it.
        """
        return self._compressed.held | self._renamed

    @property
    def first_look_ended(self) -> bool:
        """Whether everything that the very first look found has been sorted out."""
        return not self._first_look

    def streams(self, now: float) -> list[Stream]:
        """Return the streams whose files are open, freshly looked at."""
        return self._table.freshly_bound(now)

    def of_log(self, log: str) -> list[Stream]:
        """Return the streams of one log."""
        return [stream for stream in self._table.streams.values() if stream.log == log]

    def look(self, now: float, wall: float) -> None:
        """List the log's files, open those that are new or changed, and sort them out."""
        found = self._list()
        if self._first_look and self._history is None:
            # Rotated files that are there at the very first look are history.
            self._history = {one.id for one in found if self._from_end or one.rotated}
        self._unopened, self._unreadable, self._resting = {}, {}, None
        self._renamed = set()
        for one in found:
            if not one.packing and not self._known(one, now) and not self._open(one, now):
                self._unopened[one.path] = one
        self._settle(now)
        self._resting = None
        self._compressed.look(
            [one for one in found if one.packing],
            now=now,
            history=self._history or (),
            loose=self._loose.values(),
            has_room=self._has_room,
        )
        listed = {one.id for one in found}
        self._let_go(listed, now)
        if not self.unopened:  # a stream may be in one of them
            self._table.forget(now, wall)
        self._leave_history(listed)

    def look_again(self, now: float) -> None:
        """Sort out files that waited and have been written since; lists nothing."""
        changed = [file for file in self._loose.values() if file.refresh(now)]
        if changed:
            self._settle(now)

    def lose(self, stream: Stream) -> None:
        """Part a stream from its file, which no longer holds what was read."""
        file = self._table.part(stream)
        if file is None:
            return
        if file.inflated is not None:
            os.close(file.descriptor)  # looked at anew, if it is still there
            return
        file.copy_of = file.agreed = None
        self._loose[file.id] = file

    def announce(self, stream: Stream) -> None:
        """Have the position of a stream stored although nothing is read of it."""
        self._table.announce(stream)

    def announced(self) -> Sequence[Stream]:
        """Streams with a position to store although nothing was read; each is returned once."""
        return self._table.announced()

    def retired(self) -> Sequence[str]:
        """Streams forgotten since the last call."""
        return self._table.retired()

    def waiting(self) -> list[OpenFile]:
        """Return the open files that may turn out to be new streams."""
        loose = [file for file in self._loose.values() if file.copy_of is None]
        return loose + self._compressed.comparing()

    def close(self) -> None:
        """Close all files."""
        self._compressed.close()
        for stream in list(self._table.bound.values()):
            self._table.unbind(stream)
        for file in self._loose.values():
            os.close(file.descriptor)
        self._loose = {}

    # Opening and closing.

    def _list(self) -> list[Found]:
        """List the log's files; if there are new ones, until a listing brings no more of them.

        A file that is renamed while a folder is listed may be missing in the list. Newer files
        must not be read before it.
        """
        known = {*self._table.bound, *self._table.parked, *self._loose}
        known |= {one.id for one in self.unopened.values()}
        found = find(self._pattern)
        for _ in range(LISTINGS_MAX - 1):
            before = {one.id for one in found}
            if before <= known:
                break
            found = find(self._pattern)
            if {one.id for one in found} <= before:
                break
        return found

    def _known(self, found: Found, now: float) -> bool:
        """Whether a listed file is open, or closed and unchanged."""
        stream = self._table.bound.get(found.id)
        file = self._loose.get(found.id) or (stream.file if stream else None)
        if file is not None:  # while it is open its inode is nobody else's
            file.path, file.listed_at = found.path, now
            if stream is not None:
                stream.path = found.path
            return True
        return self._table.is_parked(found.id, found.version)

    def _open(self, found: Found, now: float) -> bool:
        """Open a file to be sorted out; False if it has to wait."""
        if not self._has_room():
            return False
        try:
            file = open_found(found, now)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # Listing folders needs descriptors too, and so does the rest of the process.
                self._files_open_max = max(1, self._files_open * 3 // 4)
                return False
            self._unreadable[found.path] = os.strerror(error.errno or 0)
            return True
        if file is None or file.id != found.id:
            self._renamed.add(found.log)
        if file is None:
            return True
        if file.id in self._loose or file.id in self._table.bound:
            os.close(file.descriptor)
            return True
        self._table.parked.pop(file.id, None)
        self._loose[file.id] = file
        return True

    @property
    def _files_open(self) -> int:
        return len(self._loose) + len(self._table.bound) + len(self._compressed.comparing())

    def _has_room(self) -> bool:
        """Whether one more file may be open, if need be after closing some at rest."""
        while self._files_open >= self._files_open_max:
            if not self._close_one_at_rest():
                return False
        return True

    def _close_one_at_rest(self) -> bool:
        """Close the file that has been at rest longest, if one is at rest."""
        if self._resting is None:
            bound = [one.file for one in self._table.bound.values() if one.file and _rests(one)]
            empty = [file for file in self._loose.values() if not file.size]
            self._resting = sorted([*bound, *empty], key=lambda file: -file.changed_at)
        if not self._resting:
            return False
        file = self._resting.pop()
        stream = self._table.bound.get(file.id)
        if stream is not None and stream.mark.offset:
            self._table.park(stream)
            return True
        # Nothing was read of it: it is looked at as a new one when it has been written.
        self._table.parked[file.id] = (file.version, None)
        if stream is not None:
            self._table.unbind(stream)
            del self._table.streams[stream.key]
        else:
            del self._loose[file.id]
            os.close(file.descriptor)
        return True

    def _let_go(self, listed: set[FileId], now: float) -> None:
        """Close files that are no longer found, read to their end, and quiet."""
        table = self._table
        table.parked = {key: one for key, one in table.parked.items() if key in listed}
        for stream in self.streams(now):
            if stream.file is not None and self._gone(stream.file, now) and not stream.has_news:
                table.unbind(stream)
        for loose in [file for file in self._loose.values() if self._gone(file, now)]:
            del self._loose[loose.id]
            os.close(loose.descriptor)

    def _gone(self, file: OpenFile, now: float) -> bool:
        return now - max(file.listed_at, file.changed_at) > self._linger_s

    def _leave_history(self, listed: set[FileId]) -> None:
        """End the very first look once all that it found has been sorted out."""
        if self._history is not None:
            waiting = {file.id for file in self.waiting() if file.size}
            unopened = {one.id for one in self.unopened.values()}
            self._history &= listed & (waiting | unopened)
            if not self._history:
                self._first_look, self._history = False, None

    # Sorting out.

    def _settle(self, now: float) -> None:
        """Find the stream of every open file that has none."""
        for file in self._loose.values():
            file.refresh(now)
        for stream in self._table.streams.values():  # of equal files, the one it was in comes first
            own = self._loose.get(stream.file_id) if stream.file_id else None
            if stream.file is None and own is not None and stream.fits(own):
                self._bind(stream, own)
        # What the path names comes before what rotation left, so that at the first look a copy
        # is known for one; then the oldest first.
        order = sorted(self._loose.values(), key=lambda one: (one.rotated, one.version.mtime_ns))
        for file in order:
            if file.size:  # an empty file holds nothing to tell it by, nor anything to read
                self._place(file, now)

    def _place(self, file: OpenFile, now: float) -> None:
        content, size = file.content, file.size
        head = content.head()
        known = [one for one in self._table.streams.values() if one.mark.offset and not one.sealed]
        fitting = [stream for stream in known if stream.mark.fits(content, head, size)]
        if fitting:
            self._continue(max(fitting, key=_furthest), file, now)
            return
        unread = [one for one in self._table.unread_files(now) if one.size >= size]
        if any(alike(head, one.content.head()) for one in unread):
            return  # perhaps a copy of that one: told when something was read of it
        longer = [stream for stream in known if stream.mark.outlasts(head, size)]
        for stream in longer:
            if stream.file is not None and self._is_copy(file, stream.file):
                file.copy_of = stream.key
        copied = next((stream for stream in longer if stream.key == file.copy_of), None)
        if copied is not None and copied.file is None:
            self._start(file, self._read_before(file))  # all of it was read
        elif not longer and file.agreed and file.agreed.fits(content, head, size):
            self._bind(self._table.new(file.agreed), file)  # a copy that both have gone on from
        elif not longer or now - file.changed_at >= COPY_WAIT_S:
            stale = copied is not None or any(
                stream.astray and stream.mark.passed(content, size) for stream in longer
            )
            self._start(file, self._read_before(file) if stale else self._passed_over(file))

    def _continue(self, stream: Stream, file: OpenFile, now: float) -> None:
        """Decide on a file that holds all that was read of a stream."""
        if stream.file is not None and stream.astray:
            self.lose(stream)  # cut, and not yet noticed
        if stream.file is None:
            self._bind(stream, file)
            return
        file.copy_of, file.agreed = stream.key, stream.mark
        stream.file.refresh(now)
        if not stream.has_news and file.size > stream.file.size:
            # The copy has gone on where the original has not: it is a log of its own, whose
            # beginning has been read.
            self._bind(self._table.new(stream.mark), file)

    def _start(self, file: OpenFile, offset: int) -> None:
        stream = self._table.new(Mark.of(file.content, offset))
        self._bind(stream, file)
        if offset:
            self._table.announce(stream)

    def _passed_over(self, file: OpenFile) -> int:
        """Bytes of a new file that are not to be read."""
        return self._read_before(file) if file.id in (self._history or ()) else 0

    def _read_before(self, file: OpenFile) -> int:
        return end_of_lines(file.content, file.size)

    def _bind(self, stream: Stream, file: OpenFile) -> None:
        self._loose.pop(file.id, None)
        self._table.bind(stream, file)

    def _is_copy(self, file: OpenFile, original: OpenFile) -> bool:
        if original.inflated is not None:
            return False
        size = os.fstat(original.descriptor).st_size
        return size >= file.size and same_bytes(file.content, original.content, file.size)


def end_of_lines(content: Content, size: int) -> int:
    """Offset behind the last line end of a file; 0 if there is none in its last MiB."""
    start = max(0, size - _SOUGHT_BYTES)
    end = content.pread(size - start, start).rfind(b"\n")
    return start + end + 1 if end >= 0 else 0


_SOUGHT_BYTES = 1 << 20


def _rests(stream: Stream) -> bool:
    return not stream.has_news and (stream.file is None or stream.file.inflated is None)


def _furthest(stream: Stream) -> tuple[bool, int]:
    # A stream without a file comes first: it needs one.
    return stream.file is None, stream.mark.offset
