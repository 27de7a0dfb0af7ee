"""Follows log files that others write and rotate: every whole line once.

What is promised on a local file system, with one Kedge reading:

* rotation by rename (once or often, while Kedge runs or is down, with a writer that goes on in
  the old file): nothing lost, nothing repeated, as long as the rotated file is still there,
  be it compressed (``.gz``, ``.zst``) by then;
* rotation by copy and truncate: nothing lost of what the copy holds. What is written between
  the copy and the truncation is lost by the rotation itself, or read from the file itself. When
  Kedge is killed at that moment, or the log is copied again before Kedge has looked at what was
  written since the last truncation (a second), the copy may be read twice;
* a file truncated to nothing and written anew is read from its start; one truncated to a
  length other than nothing is read again from its start;
* a last line without an end waits until it is completed; with its file gone, or compressed, it
  is never counted.
"""

from __future__ import annotations

import resource
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from collectors.formats.options import FormatOptions
from collectors.source import Chunk, Source
from collectors.tail.framing import recognise, unwrap
from collectors.tail.line_cutting import cut
from collectors.tail.stream import Stream
from collectors.tail.stream_identity import StaleMarkError
from collectors.tail.tailed_files import FILES_OPEN_MAX, LOOKED, TailedFiles

#: Bytes handed out by one poll, about: what is decoded and counted in well under a second.
POLL_BYTES = 4 << 20
#: Bytes read of one file before another has its turn.
READ_BYTES = 1 << 20
#: Time between two looks for new and rotated files. Rotation that is quicker than this, twice,
#: is noticed by the rotated files' names.
LOOK_S = 1.0
#: A file that was not written for so long is a backlog: it is read before the live ones.
REST_S = 60.0


@dataclass(frozen=True, slots=True)
class TailSettings:
    """A log that is written on this machine, by any process."""

    path: str = field(metadata={"pattern": True})
    """Path of the log; a glob pattern (``*``, ``?``, ``[…]``, ``**``) for several. Files that
    rotation leaves beside it (``<path>.1``, ``<path>-20260304``, ``<path>.2.gz``) are found by
    themselves. Nothing matching is no error: Kedge waits for the file."""

    format: str = "kedge"
    """Format of the lines, or ``auto`` to tell it by the first of them. Kedge's own event is what
    its scoring server writes; docs/formats.md lists the others."""

    framing: Literal["auto", "lines", "cri", "docker"] = "auto"
    """How the lines stand in the file: as they are (``lines``), or wrapped by a container
    runtime (``cri`` of containerd and CRI-O, ``docker`` of Docker's json-file driver), with
    long lines in pieces. ``auto`` tells it by the first line of each file: a prediction event
    looks like none of the two."""

    start: Literal["beginning", "end"] = "beginning"
    """Where to start in files that are there when Kedge looks for the very first time; after
    that it reads on where it stopped. From the beginning, because a new monitor is useful at
    once when there is something to look back on. Rotated files that are there by then are
    history and are not read."""

    max_event_bytes: int = 1 << 20
    """Longest line, in bytes; longer ones are skipped and counted. 1 MiB is far above any
    event of named features, and bounds what one line can take of the memory."""

    linger_s: float = 30.0
    """How long a file that was renamed out of sight or deleted stays open after its last
    change, in seconds, for a writer that still has it open. Most writers reopen within
    seconds; a deleted file takes up disk space for as long."""

    decoding: FormatOptions = field(default_factory=FormatOptions, metadata={"flat": True})
    """How its lines are read."""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path: expected the path of a log, got nothing")
        if self.max_event_bytes < 1:
            raise ValueError(f"max_event_bytes: expected at least 1, got {self.max_event_bytes}")

    def build(self, name: str) -> Source:  # noqa: ARG002 - every kind of source is built so
        """Return the source; it opens nothing before it is polled."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The other half is for what else the process opens.
        return Tail(self, files_open_max=max(1, min(FILES_OPEN_MAX, limit // 2)))


class Tail:
    """Source of the lines of the files of one log pattern.

    Parameters
    ----------
    settings
        What to follow.
    monotonic, wall
        Clocks, seconds: for intervals, and for the age of files and of positions.
    files_open_max
        Files open at a time.
    """

    def __init__(
        self,
        settings: TailSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        files_open_max: int = FILES_OPEN_MAX,
    ) -> None:
        self._framing = settings.framing
        self._line_bytes_max = settings.max_event_bytes
        # One byte more than a line may have, to know that it is too long.
        self._read_bytes = max(READ_BYTES, settings.max_event_bytes + 1)
        self._files = TailedFiles(
            settings.path,
            from_end=settings.start == "end",
            linger_s=settings.linger_s,
            files_open_max=files_open_max,
        )
        self._monotonic = monotonic
        self._wall = wall
        self._next_look: float | None = None
        self._turn = 0
        self._looked = False

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Files that cannot be read, with the reason."""
        return self._files.unreadable

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up the stored positions."""
        self._files.restore(positions)
        self._looked = self._files.first_look_ended

    def poll(self) -> Sequence[Chunk]:
        """Read what has arrived, at most about `POLL_BYTES`."""
        now = self._monotonic()
        if self._next_look is None or now >= self._next_look:
            self._files.look(now, self._wall())
            # Files that wait for others to be closed are looked for again at once.
            again = self._files.unopened or self._files.held
            self._next_look = now if again else now + LOOK_S
        else:
            self._files.look_again(now)
        chunks = []
        left = POLL_BYTES
        queue = self._queue(now)
        while queue and left > 0:
            log, rests = queue.popleft()
            before = log[0].mark.offset
            chunk = self._read(log[0])
            if chunk is None:
                log.popleft()
            else:
                left -= log[0].mark.offset - before
                chunks.append(chunk)
            if log:
                (queue.appendleft if rests else queue.append)((log, rests))
        # In the same poll as the chunks that depend on them.
        chunks += [self._chunk(stream, b"", ()) for stream in self._files.announced()]
        if not self._looked and self._files.first_look_ended:
            # From now on a rotated file is no history, even if nothing else was ever stored.
            self._looked = True
            chunks.append(Chunk(LOOKED, b"", {"at": self._wall()}))
        return chunks

    def retired(self) -> Sequence[str]:
        """Streams whose file has been gone for days."""
        return self._files.retired()

    def unread_bytes(self) -> Mapping[str, int]:
        """Bytes not handed out yet, a last line without its end included; files by their paths."""
        unread = {path: found.version.size for path, found in self._files.unopened.items()}
        unread |= {file.path: file.size for file in self._files.waiting()}
        for stream in self._files.streams(self._monotonic()):
            if stream.file is not None:
                unread[stream.key] = stream.file.unread(stream.mark.offset)
        return {name: size for name, size in unread.items() if size}

    def close(self) -> None:
        """Close all files."""
        self._files.close()

    def _queue(self, now: float) -> deque[tuple[deque[Stream], bool]]:
        """Return the logs with something to read, in turn; of each log its files, oldest first.

        Files of one log are read one after the other, so that event time does not jump ahead
        into the newest file and make the rest of the older ones late. For the same reason logs
        at rest come first, one by one; live logs take turns.
        """
        logs: dict[str, list[Stream]] = defaultdict(list)
        for stream in self._files.streams(now):
            if stream.file is not None and stream.has_news and stream.log not in self._files.held:
                logs[stream.log].append(stream)
        rest_ns = int((self._wall() - REST_S) * 1e9)
        resting: list[tuple[int, deque[Stream]]] = []
        live: list[tuple[int, deque[Stream]]] = []
        for streams in logs.values():
            streams.sort(key=_written_ns)
            oldest_ns = _written_ns(streams[0])
            if oldest_ns < rest_ns:
                resting.append((oldest_ns, deque(streams)))
            else:
                live.append((max(stream.turn for stream in streams), deque(streams)))
        resting.sort(key=lambda one: one[0])
        live.sort(key=lambda one: one[0])
        return deque([*((log, True) for _, log in resting), *((log, False) for _, log in live)])

    def _read(self, stream: Stream) -> Chunk | None:
        """Read on in one stream; None when it has no further whole line now."""
        file = stream.file
        if file is None or not stream.has_news:
            return None
        try:
            data, begin = stream.mark.read(file.content, self._read_bytes)
        except (StaleMarkError, OSError):
            # Before it is called truncated, all files are looked at once more: what was in it
            # may have been copied.
            self._files.lose(stream)
            self._next_look = self._monotonic()
            return None
        full = len(data) - begin == self._read_bytes
        part = cut(
            data,
            begin,
            line_bytes_max=self._line_bytes_max,
            skipping=stream.skipping,
            full=full,
        )
        if not full:
            stream.drained = file.version
        if part.end == begin:
            return None
        self._turn += 1
        stream.turn = self._turn
        lines, skipped = part.lines, part.skipped
        if stream.framing != "lines" and lines:
            lines, joined_skipped = self._unwrap(stream, lines)
            skipped = (*skipped, *joined_skipped)
        stream.mark = stream.mark.moved(data, part.end)
        stream.skipping = part.skipping
        return self._chunk(stream, lines, skipped)

    def _unwrap(self, stream: Stream, lines: bytes) -> tuple[bytes, Sequence[bytes]]:
        """Take off the wrapping of a container runtime, if there is one."""
        if stream.framing is None:
            stream.framing = recognise(lines) if self._framing == "auto" else self._framing
        if stream.framing == "lines":
            return lines, ()
        if not stream.mark.offset:
            self._take_over_pieces(stream)
        unwrapped = unwrap(
            stream.framing, lines, stream.pieces, line_bytes_max=self._line_bytes_max
        )
        stream.pieces = unwrapped.pieces
        return unwrapped.lines, unwrapped.skipped

    def _take_over_pieces(self, stream: Stream) -> None:
        """Go on with the line that an older file of the log ended in the middle of."""
        for older in self._files.of_log(stream.log):
            if older is not stream and older.pieces:
                stream.pieces, older.pieces = {**stream.pieces, **older.pieces}, {}
                self._files.announce(older)

    def _chunk(self, stream: Stream, lines: bytes, skipped: Sequence[bytes]) -> Chunk:
        stream.read_at = self._wall()
        return Chunk(stream.key, lines, stream.position(), skipped)


def _written_ns(stream: Stream) -> int:
    return stream.file.version.mtime_ns if stream.file is not None else 0
