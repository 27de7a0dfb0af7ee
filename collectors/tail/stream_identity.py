"""Which stream a file holds: told by its content, never by its name.

A rotated file keeps its content and loses its name; an inode is given to another file at once.
So a stream is remembered by what was read of it: its first bytes, how far, and the last bytes
before that.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

#: First bytes of a stream that are remembered, so that a file can be compared while it is short.
HEAD_BYTES = 1024
#: Last bytes before the offset that are remembered.
TAIL_BYTES = 64
#: Bytes that a waypoint is the digest of.
WAYPOINT_BYTES = 256


class Content(Protocol):
    """The bytes of a file, decompressed where it is compressed."""

    def head(self) -> bytes:
        """Return the first `HEAD_BYTES`, or as many as there are."""

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on; fewer only at the end."""


@dataclass(frozen=True, slots=True)
class Plain:
    """The bytes of an open file as they are."""

    descriptor: int

    def head(self) -> bytes:
        """Return the first `HEAD_BYTES`."""
        return os.pread(self.descriptor, HEAD_BYTES, 0)

    def pread(self, size: int, offset: int) -> bytes:
        """Read at an offset."""
        return os.pread(self.descriptor, size, offset)


class Waypoint(NamedTuple):
    """The digest of the `WAYPOINT_BYTES` before an offset that was read past."""

    offset: int
    digest: str


class StaleMarkError(Exception):
    """The file no longer holds what was read of it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a stream was read, and what it held up to there.

    Parameters
    ----------
    head
        Its first bytes: all that was read, or `HEAD_BYTES` of it.
    offset
        Bytes read.
    tail
        The `TAIL_BYTES` before `offset`, or as many as there are.
    waypoints
        Digests at offsets that at least double, ascending: what tells a stale copy, which ends
        before `offset`, from another log with the same first bytes.
    """

    head: bytes = b""
    offset: int = 0
    tail: bytes = b""
    waypoints: Sequence[Waypoint] = ()

    @classmethod
    def of(cls, content: Content, offset: int) -> Mark:
        """Mark a file as read up to `offset`."""
        tail = content.pread(min(offset, TAIL_BYTES), max(0, offset - TAIL_BYTES))
        return cls(content.head()[:offset], offset, tail)

    @classmethod
    def restored(cls, position: Mapping[str, Any]) -> Mark:
        """Take up a stored mark."""
        head, tail = (base64.b64decode(position[key]) for key in ("head", "tail"))
        waypoints = tuple(Waypoint(*one) for one in position.get("waypoints", ()))
        return cls(head, int(position["offset"]), tail, waypoints)

    def stored(self) -> dict[str, object]:
        """Return what `restored` takes; JSON-serialisable."""
        head, tail = (base64.b64encode(part).decode() for part in (self.head, self.tail))
        waypoints = [list(one) for one in self.waypoints]
        return {"head": head, "offset": self.offset, "tail": tail, "waypoints": waypoints}

    def fits(self, content: Content, head: bytes, size: int) -> bool:
        """Whether a file of `size` bytes, which starts with `head`, holds all that was read."""
        if size < self.offset or not head.startswith(self.head):
            return False
        before = self.offset - len(self.tail)
        return content.pread(len(self.tail), before) == self.tail

    def outlasts(self, head: bytes, size: int) -> bool:
        """Whether a file is shorter than what was read, and as far as can be told the same.

        Such a file is most often a copy that is being written.
        """
        return size < self.offset and self.head.startswith(head)

    def passed(self, content: Content, size: int) -> bool:
        """Whether it is certain that a file of `size` bytes is the beginning of what was read.

        Certain by a waypoint; of files with the same head only that is asked.
        """
        known = [point for point in self.waypoints if point.offset <= size < self.offset]
        if not known:
            return False
        before = known[-1].offset - WAYPOINT_BYTES
        return _digest(content.pread(WAYPOINT_BYTES, before)) == known[-1].digest

    def read(self, content: Content, size: int) -> tuple[bytes, int]:
        """Read up to `size` bytes from behind the mark.

        Returns
        -------
        tuple
            Bytes, and where in them the new ones begin. (Cutting them off would be a copy.)

        Raises
        ------
        StaleMarkError
            The file does not hold what was read of it.
        """
        known = self._known
        # One read for the check and the data: of a file that is cut and filled again in
        # between, nothing is used.
        data = content.pread(len(known) + size, self.offset - len(known))
        if not data.startswith(known):
            raise StaleMarkError
        # The ends of two events can be the same bytes; their beginnings, with id and time, are
        # not. Looked at after the data, so that they cannot have been cut in between.
        if known is not self.head and content.head()[: len(self.head)] != self.head:
            raise StaleMarkError
        return data, len(known)

    @property
    def _known(self) -> bytes:
        """What a read is checked against: a short stream's head is all of it."""
        return self.head if self.offset <= HEAD_BYTES else self.tail

    def moved(self, data: bytes, end: int) -> Mark:
        """Mark the stream as read further, up to `end` in the bytes that `read` returned."""
        head = self.head if len(self.head) == HEAD_BYTES else data[: min(end, HEAD_BYTES)]
        # What `read` returns begins with a whole tail, or with all there is.
        offset = self.offset + end - len(self._known)
        tail = data[max(0, end - TAIL_BYTES) : end]
        return Mark(head, offset, tail, self._waypoints_with(offset, data, end))

    def _waypoints_with(self, offset: int, data: bytes, end: int) -> Sequence[Waypoint]:
        last = self.waypoints[-1].offset if self.waypoints else HEAD_BYTES // 2
        if offset < 2 * last or end < WAYPOINT_BYTES:
            return self.waypoints
        return (*self.waypoints, Waypoint(offset, _digest(data[end - WAYPOINT_BYTES : end])))


def same_bytes(one: Content, other: Content, size: int) -> bool:
    """Whether two files agree up to `size`, judged by a block at the end of it."""
    start = max(0, size - HEAD_BYTES)
    return one.pread(size - start, start) == other.pread(size - start, start)


def alike(one: bytes, other: bytes) -> bool:
    """Whether two beginnings agree as far as both go, and go anywhere."""
    shared = min(len(one), len(other))
    return shared > 0 and one[:shared] == other[:shared]


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=9).hexdigest()
