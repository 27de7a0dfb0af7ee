"""A stream of lines, and the open file that it is in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collectors.log_files import FileId, Version, version
from collectors.stream_identity import Mark, head_of


@dataclass(slots=True)
class OpenFile:
    """A file that is open, and what was last seen of it.

    Parameters
    ----------
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
    def size(self) -> int:
        """Bytes, when last looked at."""
        return self.version.size


@dataclass(slots=True)
class Stream:
    """One file's worth of lines: what was read of it, and the file it is in, if one is known.

    Parameters
    ----------
    skipping
        The mark stands inside a line that is too long.
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
    skipping: bool = False
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
            skipping=position["skipping"],
            read_at=position["read_at"],
        )

    def position(self) -> dict[str, object]:
        """Return what `restored` takes."""
        device, inode = self.file_id or (0, 0)
        return {
            **self.mark.stored(),
            "dev": device,
            "ino": inode,
            "path": self.path,
            "skipping": self.skipping,
            "read_at": self.read_at,
        }

    def fits(self, file: OpenFile) -> bool:
        """Whether a file holds what was read, of which there has to be something."""
        size = os.fstat(file.descriptor).st_size
        head = head_of(file.descriptor)
        return self.mark.offset > 0 and self.mark.fits(head, file.descriptor, size)

    @property
    def has_news(self) -> bool:
        """Whether its file was written since it was read to the end."""
        return self.file is not None and self.file.version != self.drained
