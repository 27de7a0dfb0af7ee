"""A stream of lines, and the open file that it is in."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collectors.tail.compressed import Inflated
from collectors.tail.framing import Framing, Pieces
from collectors.tail.log_files import FileId, Found, Version, file_id, version
from collectors.tail.stream_identity import Content, Mark, Plain


@dataclass(slots=True)
class OpenFile:
    """A file that is open, and what was last seen of it.

    Parameters
    ----------
    inflated
        Its decompressed bytes, if it is compressed.
    copy_of
        The stream that it was last found to be a copy of, or a copy of the beginning.
    agreed
        How far that stream had been read when the file was found to hold all of it.
    """

    descriptor: int
    id: FileId
    log: str
    path: str
    rotated: bool
    version: Version
    changed_at: float
    listed_at: float
    inflated: Inflated | None = None
    copy_of: str | None = None
    agreed: Mark | None = None

    def refresh(self, now: float) -> bool:
        """Look at the file again; True if it has been written."""
        seen = version(os.fstat(self.descriptor))
        if seen == self.version:
            return False
        self.version, self.changed_at = seen, now
        return True

    @property
    def content(self) -> Content:
        """What it holds."""
        return self.inflated or Plain(self.descriptor)

    @property
    def size(self) -> int:
        """Bytes, when last looked at; compressed ones, if it is compressed."""
        return self.version.size

    def unread(self, offset: int) -> int:
        """Bytes behind an offset; of a compressed file, the compressed ones not used yet."""
        before = offset if self.inflated is None else self.inflated.raw_at
        return max(0, self.size - before)


def open_found(found: Found, now: float) -> OpenFile | None:
    """Open a file that was found; None if it is gone, or no regular file any more.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    try:
        descriptor = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # renamed since it was listed: the next look finds it
    # The path may be another file by now: what was opened counts.
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    key = file_id(status)
    return OpenFile(
        descriptor, key, found.log, found.path, found.rotated, version(status), now, now
    )


@dataclass(slots=True)
class Stream:
    """One file's worth of lines: what was read of it, and the file it is in, if one is known.

    Parameters
    ----------
    log
        The path that the log has while it is written: rotation makes several streams of one log.
    sealed
        The mark is one of compressed bytes: of a file that has been dealt with, and is told by
        them from one that has not.
    skipping
        The mark stands inside a line that is too long.
    framing, pieces
        How a container runtime wraps the lines, once known, and beginnings of lines up to the
        mark.
    read_at
        Time of day of the last read, seconds since the epoch.
    drained
        The version of the file at which it held nothing more to read.
    turn
        Rises with every read of any stream; the lowest has waited longest.
    """

    key: str
    mark: Mark = field(default_factory=Mark)
    file: OpenFile | None = None
    file_id: FileId | None = None
    path: str = ""
    log: str = ""
    sealed: bool = False
    skipping: bool = False
    framing: Framing | None = None
    pieces: Pieces = field(default_factory=dict)
    read_at: float = 0.0
    drained: Version | None = None
    turn: int = 0
    sought_since: float | None = None

    @classmethod
    def restored(cls, key: str, position: Mapping[str, Any]) -> Stream:
        """Take up a stored position."""
        return cls(
            key,
            Mark.restored(position),
            file_id=FileId(position["dev"], position["ino"]),
            path=position["path"],
            log=position.get("log", ""),
            sealed=position.get("sealed", False),
            skipping=position["skipping"],
            framing=position.get("framing"),
            pieces={
                output: None if text is None else base64.b64decode(text)
                for output, text in position.get("pieces", {}).items()
            },
            read_at=position["read_at"],
        )

    def position(self) -> dict[str, object]:
        """Return what `restored` takes."""
        device, inode = self.file_id or (0, 0)
        position: dict[str, object] = {
            **self.mark.stored(),
            "dev": device,
            "ino": inode,
            "path": self.path,
            "log": self.log,
            "skipping": self.skipping,
            "read_at": self.read_at,
        }
        if self.sealed:
            position["sealed"] = True
        if self.framing is not None:
            position["framing"] = self.framing
        if self.pieces:
            position["pieces"] = {
                output: None if text is None else base64.b64encode(text).decode()
                for output, text in self.pieces.items()
            }
        return position

    def fits(self, file: OpenFile) -> bool:
        """Whether a file holds what was read, of which there has to be something."""
        if file.inflated is not None:
            return True  # it was compared, and does not change
        size = os.fstat(file.descriptor).st_size
        content = file.content
        return self.mark.offset > 0 and self.mark.fits(content, content.head(), size)

    @property
    def astray(self) -> bool:
        """Whether it has no file, or one that no longer holds what was read."""
        return self.file is None or not self.fits(self.file)

    @property
    def has_news(self) -> bool:
        """Whether its file was written since it was read to the end."""
        return self.file is not None and self.file.version != self.drained
