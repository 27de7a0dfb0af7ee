"""The streams of one log pattern: which are known, and which file each is in.

A stream is *bound* to the open file that continues it. One whose file was closed because it is
at rest is *parked*: nothing is to be done about the file before it changes. Any other stream has
no file, and is kept in case it comes back.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from collectors.tail.log_files import FileId, Version
from collectors.tail.stream import OpenFile, Stream
from collectors.tail.stream_identity import Mark

#: Positions of streams whose file is not found are kept so long after the last read, in case
#: the file comes back (a volume that was away, a rotation that took its time).
KEPT_S = 7 * 86_400.0
#: ... and nothing is forgotten before the files were looked for in vain for so long.
SOUGHT_S = 3_600.0
#: Streams without a file that are remembered at most; those read longest ago go first.
LOST_STREAMS_MAX = 2_000


class StreamTable:
    """The streams by key, and the files that they are in.

    Attributes
    ----------
    streams
        Every stream that is remembered.
    bound
        Open files, and the streams that they continue.
    parked
        Closed files by their version, each with its stream; none for a file without content.
    """

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.bound: dict[FileId, Stream] = {}
        self.parked: dict[FileId, tuple[Version, Stream | None]] = {}
        self._announced: dict[str, Stream] = {}
        self._retired: list[str] = []

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up stored positions."""
        self.streams = {key: Stream.restored(key, one) for key, one in positions.items()}

    def new(self, mark: Mark, *, sealed: bool = False) -> Stream:
        """Add a stream that was read up to a mark."""
        stream = Stream(secrets.token_hex(8), mark, sealed=sealed)
        self.streams[stream.key] = stream
        return stream

    def bind(self, stream: Stream, file: OpenFile) -> None:
        """Let an open file continue a stream."""
        self.bound[file.id] = stream
        stream.file, stream.file_id, stream.path, stream.log = file, file.id, file.path, file.log
        stream.drained, file.copy_of, file.agreed = None, None, None

    def unbind(self, stream: Stream) -> None:
        """Close the file of a stream."""
        file = self.part(stream)
        if file is not None:
            os.close(file.descriptor)

    def part(self, stream: Stream) -> OpenFile | None:
        """Take its file away from a stream, and leave it open."""
        file, stream.file, stream.drained = stream.file, None, None
        if file is not None:
            del self.bound[file.id]
        return file

    def park(self, stream: Stream) -> None:
        """Close a file that is at rest, and remember in which state it was."""
        if stream.file is not None:
            self.parked[stream.file.id] = (stream.file.version, stream)
            self.unbind(stream)

    def is_parked(self, key: FileId, version: Version) -> bool:
        """Whether a file is closed and has not changed since."""
        parked = self.parked.get(key)
        return parked is not None and parked[0] == version

    def announce(self, stream: Stream) -> None:
        """Have the position of a stream stored although nothing is read of it."""
        self._announced[stream.key] = stream

    def announced(self) -> Sequence[Stream]:
        """Streams with a position to store; each is returned once."""
        announced, self._announced = self._announced, {}
        return list(announced.values())

    def retired(self) -> Sequence[str]:
        """Streams forgotten since the last call."""
        retired, self._retired = self._retired, []
        return retired

    def unread_files(self, now: float) -> list[OpenFile]:
        """Return the open files, not compressed ones, of which nothing was read yet."""
        return [
            stream.file
            for stream in self.freshly_bound(now)
            if not stream.mark.offset and stream.file is not None and not stream.file.inflated
        ]

    def freshly_bound(self, now: float) -> list[Stream]:
        """Return the streams whose files are open, freshly looked at."""
        bound = list(self.bound.values())
        for stream in bound:
            if stream.file is not None:
                stream.file.refresh(now)
        return bound

    def forget(self, now: float, wall: float) -> None:
        """Retire streams whose file was not found for long."""
        parked = {stream.key for _, stream in self.parked.values() if stream is not None}
        lost = []
        for stream in self.streams.values():
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
                self.retire(stream)

    def retire(self, stream: Stream) -> None:
        """Forget a stream."""
        del self.streams[stream.key]
        self._announced.pop(stream.key, None)
        self._retired.append(stream.key)
