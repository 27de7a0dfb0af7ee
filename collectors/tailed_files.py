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

import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collectors.log_files import FileId, Found, Version, file_id, find, version
from collectors.stream import OpenFile, Stream
from collectors.stream_identity import Mark, head_of, same_bytes

#: Files open at a time; those at rest are closed for others, and opened again when they grow.
FILES_OPEN_MAX = 512
#: A file that begins like a stream is taken for a copy being written until it rests so long.
COPY_WAIT_S = 2.0
#: Positions of streams whose file is not found are kept so long after the last read, in case
#: the file comes back (a volume that was away, a rotation that took its time).
KEPT_S = 7 * 86_400.0
#: ... and nothing is forgotten before the files were looked for in vain for so long.
SOUGHT_S = 3_600.0
#: Streams without a file that are remembered at most; those read longest ago go first.
LOST_STREAMS_MAX = 2_000


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
        self._streams: dict[str, Stream] = {}
        self._bound: dict[FileId, Stream] = {}
        self._loose: dict[FileId, OpenFile] = {}
        self._parked: dict[FileId, tuple[Version, Stream]] = {}
        self._resting: list[tuple[Stream, OpenFile]] | None = None
        self._first_look = True
        self._announced: list[Stream] = []
        self._retired: list[str] = []
        self.unopened: Mapping[str, Found] = {}
        self.unreadable: Mapping[str, str] = {}

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up stored positions; with any, the first look is behind us."""
        self._streams = {key: Stream.restored(key, one) for key, one in positions.items()}
        self._first_look = not positions

    def streams(self, now: float) -> list[Stream]:
        """Return the streams whose files are open, freshly looked at."""
        bound = list(self._bound.values())
        for stream in bound:
            if stream.file is not None:
                stream.file.refresh(now)
        return bound

    def look(self, now: float, wall: float) -> None:
        """List the log's files, open those that are new or changed, and sort them out."""
        found = find(self._pattern)
        unopened: dict[str, Found] = {}
        self.unreadable = {}
        self._resting = None
        for one in found:
            if not self._known(one, now) and not self._open(one, now):
                unopened[one.path] = one
        self.unopened = unopened
        self._settle(now)
        self._first_look = False
        self._let_go({one.id for one in found}, now)
        self._forget(now, wall)

    def look_again(self, now: float) -> None:
        """Sort out files that waited and have been written since; lists nothing."""
        changed = [file for file in self._loose.values() if file.refresh(now)]
        if changed:
            self._settle(now)

    def lose(self, stream: Stream) -> None:
        """Part a stream from its file, which no longer holds what was read."""
        file = stream.file
        if file is not None:
            stream.file, stream.drained = None, None
            del self._bound[file.id]
            file.copy_of = file.agreed = None
            self._loose[file.id] = file

    def announced(self) -> Sequence[Stream]:
        """Streams with a position to store although nothing was read; each is returned once."""
        announced, self._announced = self._announced, []
        return announced

    def retired(self) -> Sequence[str]:
        """Streams forgotten since the last call."""
        retired, self._retired = self._retired, []
        return retired

    def waiting(self) -> Iterator[OpenFile]:
        """Open files that may turn out to be new streams."""
        return (file for file in self._loose.values() if file.copy_of is None)

    def close(self) -> None:
        """Close all files."""
        for file in (*self._loose.values(), *(one.file for one in self._bound.values())):
            if file is not None:
                os.close(file.descriptor)
        self._loose, self._bound = {}, {}

    # Opening and closing.

    def _known(self, found: Found, now: float) -> bool:
        """Whether a listed file is open, or closed and unchanged."""
        stream = self._bound.get(found.id)
        file = self._loose.get(found.id) or (stream.file if stream else None)
        if file is not None:  # while it is open its inode is nobody else's
            file.path, file.listed_at = found.path, now
            if stream is not None:
                stream.path = found.path
            return True
        parked = self._parked.get(found.id)
        return parked is not None and parked[0] == found.version

    def _open(self, found: Found, now: float) -> bool:
        """Open a file to be sorted out; False if it has to wait."""
        if len(self._loose) + len(self._bound) >= self._files_open_max and not self._park():
            return False
        try:
            descriptor = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return True  # renamed since it was listed: the next look finds it
        except OSError as error:
            self.unreadable = {**self.unreadable, found.path: os.strerror(error.errno or 0)}
            return True
        status = os.fstat(descriptor)
        key = file_id(status)
        # The path may be another file by now: what was opened counts.
        if key in self._loose or key in self._bound or not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return True
        self._parked.pop(key, None)
        self._loose[key] = OpenFile(
            descriptor, key, found.log, found.path, found.rotated, version(status), now, now
        )
        return True

    def _park(self) -> bool:
        """Close the file that has been at rest longest, if one is at rest."""
        if self._resting is None:
            pairs = [(stream, stream.file) for stream in self._bound.values() if stream.file]
            resting = [pair for pair in pairs if pair[0].mark.offset and not pair[0].has_news]
            self._resting = sorted(resting, key=lambda pair: -pair[1].changed_at)
        if not self._resting:
            return False
        stream, file = self._resting.pop()
        self._parked[file.id] = (file.version, stream)
        self._unbind(stream)
        return True

    def _unbind(self, stream: Stream) -> None:
        if stream.file is not None:
            del self._bound[stream.file.id]
            os.close(stream.file.descriptor)
            stream.file = None

    def _let_go(self, listed: set[FileId], now: float) -> None:
        """Close files that are no longer found, read to their end, and quiet."""
        self._parked = {key: one for key, one in self._parked.items() if key in listed}
        for stream in self.streams(now):
            if stream.file is not None and self._gone(stream.file, now) and not stream.has_news:
                self._unbind(stream)
        for loose in [file for file in self._loose.values() if self._gone(file, now)]:
            del self._loose[loose.id]
            os.close(loose.descriptor)

    def _gone(self, file: OpenFile, now: float) -> bool:
        return now - max(file.listed_at, file.changed_at) > self._linger_s

    def _forget(self, now: float, wall: float) -> None:
        """Retire streams whose file was not found for long."""
        parked = {stream.key for _, stream in self._parked.values()}
        lost = []
        for stream in self._streams.values():
            if stream.file is not None or stream.key in parked:
                stream.sought_since = None
            else:
                lost.append(stream)
                if stream.sought_since is None:
                    stream.sought_since = now
        lost.sort(key=lambda stream: stream.read_at)
        surplus = len(lost) - LOST_STREAMS_MAX
        for i, stream in enumerate(lost):
            sought_s = now - (stream.sought_since or now)
            if i < surplus or (sought_s > SOUGHT_S and wall - stream.read_at > KEPT_S):
                del self._streams[stream.key]
                self._retired.append(stream.key)

    # Sorting out.

    def _settle(self, now: float) -> None:
        """Find the stream of every open file that has none."""
        for file in self._loose.values():
            file.refresh(now)
        for stream in self._streams.values():  # of equal files, the one it was in comes first
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
        head = head_of(file.descriptor)
        fitting = [
            stream
            for stream in self._streams.values()
            if stream.mark.offset and stream.mark.fits(head, file.descriptor, file.size)
        ]
        if fitting:
            self._continue(max(fitting, key=_furthest), file, now)
            return
        longer = [s for s in self._streams.values() if s.mark.outlasts(head, file.size)]
        for stream in longer:
            if stream.file is not None and self._is_copy(file, stream.file):
                file.copy_of = stream.key
        copied = next((stream for stream in longer if stream.key == file.copy_of), None)
        if copied is not None and copied.file is None:
            self._start(file, self._read_before(file))  # all of it was read
        elif not longer and file.agreed and file.agreed.fits(head, file.descriptor, file.size):
            self._bind(self._new(file.agreed), file)  # a copy that both have gone on from
        elif not longer or now - file.changed_at >= COPY_WAIT_S:
            self._start(file, self._read_before(file) if copied else self._passed_over(file))

    def _continue(self, stream: Stream, file: OpenFile, now: float) -> None:
        """Decide on a file that holds all that was read of a stream."""
        if stream.file is not None and not stream.fits(stream.file):
            self.lose(stream)  # cut, and not yet noticed
        if stream.file is None:
            self._bind(stream, file)
            return
        file.copy_of, file.agreed = stream.key, stream.mark
        stream.file.refresh(now)
        if not stream.has_news and file.size > stream.file.size:
            # The copy has gone on where the original has not: it is a log of its own, whose
            # beginning has been read.
            self._bind(self._new(stream.mark), file)

    def _start(self, file: OpenFile, offset: int) -> None:
        stream = self._new(Mark.of(file.descriptor, offset))
        self._bind(stream, file)
        if offset:
            self._announced.append(stream)

    def _passed_over(self, file: OpenFile) -> int:
        """Bytes of a new file that are not to be read."""
        # Rotated files that are there at the very first look are history.
        history = self._first_look and (self._from_end or file.rotated)
        return self._read_before(file) if history else 0

    def _read_before(self, file: OpenFile) -> int:
        return end_of_lines(file.descriptor, file.size)

    def _new(self, mark: Mark) -> Stream:
        stream = Stream(secrets.token_hex(8), mark)
        self._streams[stream.key] = stream
        return stream

    def _bind(self, stream: Stream, file: OpenFile) -> None:
        self._loose.pop(file.id, None)
        self._bound[file.id] = stream
        stream.file, stream.file_id, stream.path = file, file.id, file.path
        stream.drained, file.copy_of, file.agreed = None, None, None

    def _is_copy(self, file: OpenFile, original: OpenFile) -> bool:
        size = os.fstat(original.descriptor).st_size
        return size >= file.size and same_bytes(file.descriptor, original.descriptor, file.size)


def end_of_lines(descriptor: int, size: int) -> int:
    """Offset behind the last line end of a file; 0 if there is none in its last MiB."""
    start = max(0, size - _SOUGHT_BYTES)
    end = os.pread(descriptor, size - start, start).rfind(b"\n")
    return start + end + 1 if end >= 0 else 0


_SOUGHT_BYTES = 1 << 20


def _furthest(stream: Stream) -> tuple[bool, int]:
    # A stream without a file comes first: it needs one.
    return stream.file is None, stream.mark.offset
