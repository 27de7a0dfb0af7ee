"""Which stream a file holds: told by its content, never by its name.

A rotated file keeps its content and loses its name; an inode is given to another file at once.
So a stream is remembered by what was read of it: its first bytes, how far, and the last bytes
before that.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: First bytes of a stream that are remembered, so that a file can be compared while it is short.
HEAD_BYTES = 1024
#: Last bytes before the offset that are remembered.
TAIL_BYTES = 64


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
    """

    head: bytes = b""
    offset: int = 0
    tail: bytes = b""

    @classmethod
    def of(cls, descriptor: int, offset: int) -> Mark:
        """Mark a file as read up to `offset`."""
        tail = os.pread(descriptor, min(offset, TAIL_BYTES), max(0, offset - TAIL_BYTES))
        return cls(head_of(descriptor)[:offset], offset, tail)

    @classmethod
    def restored(cls, position: Mapping[str, Any]) -> Mark:
        """Take up a stored mark."""
        head, tail = (base64.b64decode(position[key]) for key in ("head", "tail"))
        return cls(head, int(position["offset"]), tail)

    def stored(self) -> dict[str, object]:
        """Return what `restored` takes; JSON-serialisable."""
        head, tail = (base64.b64encode(part).decode() for part in (self.head, self.tail))
        return {"head": head, "offset": self.offset, "tail": tail}

    def fits(self, head: bytes, descriptor: int, size: int) -> bool:
        """Whether a file of `size` bytes, which starts with `head`, holds all that was read."""
        if size < self.offset or not head.startswith(self.head):
            return False
        before = self.offset - len(self.tail)
        return os.pread(descriptor, len(self.tail), before) == self.tail

    def outlasts(self, head: bytes, size: int) -> bool:
        """Whether a file is shorter than what was read, and as far as can be told the same.

        Such a file is most often a copy that is being written.
        """
        return size < self.offset and self.head.startswith(head)

    def read(self, descriptor: int, size: int) -> tuple[bytes, int]:
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
        data = os.pread(descriptor, len(known) + size, self.offset - len(known))
        if not data.startswith(known):
            raise StaleMarkError
        # The ends of two events can be the same bytes; their beginnings, with id and time, are
        # not. Looked at after the data, so that they cannot have been cut in between.
        if known is not self.head and head_of(descriptor)[: len(self.head)] != self.head:
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
        return Mark(
            head, self.offset + end - len(self._known), data[max(0, end - TAIL_BYTES) : end]
        )


def head_of(descriptor: int) -> bytes:
    """Return the first `HEAD_BYTES` of a file."""
    return os.pread(descriptor, HEAD_BYTES, 0)


def same_bytes(one: int, other: int, size: int) -> bool:
    """Whether two files agree up to `size`, judged by a block at the end of it."""
    start = max(0, size - HEAD_BYTES)
    return os.pread(one, size - start, start) == os.pread(other, size - start, start)
