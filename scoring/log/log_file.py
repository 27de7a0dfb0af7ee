"""A file that several processes append whole lines to, and that moves aside when it has grown.

``log`` becomes ``log.1``, the former ``log.1`` becomes ``log.2``, and so on. A file that somebody
else moves or deletes is noticed with the next write, and made anew.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MODE = 0o640
#: A write grows the file page by page: half a line is looked at again before it is taken for cut.
_LOOKS = 3
_LOOK_PAUSE_S = 0.005


class LogFile:
    """An append-only file of lines.

    Parameters
    ----------
    path
        Its folder is made if missing.
    bytes_max
        Size from which on it is moved aside; None: never.
    keep
        How many files that were moved aside are kept, at least 1: a reader that follows the
        file finishes the one that was moved last.
    """

    def __init__(self, path: Path, *, bytes_max: int | None = None, keep: int = 5) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._keep = keep
        self._descriptor: int | None = None
        self._cut = False

    def append(self, lines: bytes) -> bytes:
        """Write whole lines; return what of them the disk did not take.

        With ``O_APPEND`` one write lands in one piece, so several processes may do this.

        Raises
        ------
        OSError
            Nothing was written.
        """
        descriptor = self.open()
        if self._cut:
            # A disk that filled up took half a line, and another process may write next.
            # Its end makes it a line, a broken one, and what is left starts on its own.
            os.write(descriptor, b"\n")
            self._cut = False
        written = os.write(descriptor, lines)
        if written == len(lines):
            return b""
        whole = lines.rfind(b"\n", 0, written) + 1
        self._cut = whole < written
        return lines[whole:]

    def close(self) -> None:
        """Close the file; the next `append` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def open(self) -> int:
        """Return the descriptor of the file that the path names now; it is made if missing.

        Raises
        ------
        OSError
            It cannot be opened for writing.
        """
        if self._descriptor is not None and not self._is_current(self._descriptor):
            self.close()
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, _MODE)
            self._cut = _ends_within_a_line(self._descriptor)
        return self._descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))

    def rotate(self) -> None:
        """Move the file aside if it has grown beyond the limit.

        Raises
        ------
        OSError
            It cannot be moved; it goes on growing until the next try.
        """
        if self._bytes_max is None or self._descriptor is None:
            return
        if os.fstat(self._descriptor).st_size < self._bytes_max:
            return
        with self._alone():
            # Another process may have been first.
            if self._is_current(self._descriptor):
                for number in range(self._keep, 0, -1):
                    with suppress(FileNotFoundError):
                        self._aside(number - 1).replace(self._aside(number))
        self.close()

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the other processes from moving files about at the same time."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _ends_within_a_line(descriptor: int) -> bool:
    """Tell whether the file was cut. A line that another process is writing just now is not."""
    for _ in range(_LOOKS):
        size = os.fstat(descriptor).st_size
        if not size or os.pread(descriptor, 1, size - 1) == b"\n":
            return False
        time.sleep(_LOOK_PAUSE_S)
    return True
