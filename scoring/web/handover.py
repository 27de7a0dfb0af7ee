"""A listening socket and the connections of callers, passed from one process to the next.

The sockets go as descriptors over a Unix socket, with what of each connection had been read and
not been answered. The kernel keeps what callers send meanwhile, and who waits to be accepted, so
nobody notices. Linux.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Bytes of one connection that go along; one with more is not passed while it has them.
MOVED_BYTES_MAX: Final = 64 * 1024
_LISTENING, _CONNECTION = b"L", b"C"
_CONNECT_TIMEOUT_S: Final = 5.0


class Successor:
    """The way to the process that takes over.

    Raises
    ------
    OSError
        Nobody waits at `path`.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.settimeout(_CONNECT_TIMEOUT_S)
            self._socket.connect(str(path))
            self._socket.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        except BaseException:
            self._socket.close()
            raise

    def give_listening(self, listening: int) -> None:
        """Pass the listening socket.

        Raises
        ------
        OSError
            It did not go.
        """
        socket.send_fds(self._socket, [_LISTENING], [listening])

    def give(self, connection: int, unread: bytes) -> bool:
        """Pass a connection; return whether it went. If not, it may be tried again."""
        if len(unread) > MOVED_BYTES_MAX:
            return False
        try:
            socket.send_fds(self._socket, [_CONNECTION + unread], [connection])
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Say that this is all."""
        self._socket.close()


class Heir:
    """Waits at a path for what a predecessor passes.

    Parameters
    ----------
    listening, connection
        Get each socket, a connection with what had been read of it.
    """

    def __init__(
        self,
        path: Path,
        listening: Callable[[socket.socket], None],
        connection: Callable[[socket.socket, bytes], None],
    ) -> None:
        self._listening, self._connection = listening, connection
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._from: socket.socket | None = None
        try:
            self._waiting.bind(str(path))
            self._waiting.listen(1)
            self._waiting.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        except OSError:
            self._waiting.close()
            raise
        self._loop.add_reader(self._waiting, self._accept)

    def close(self) -> None:
        """Take nothing more."""
        for one in (self._waiting, self._from):
            if one is not None and one.fileno() >= 0:
                self._loop.remove_reader(one)
                one.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            self._from, _ = self._waiting.accept()
            self._from.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            self._loop.add_reader(self._from, self._read, self._from)
            self._loop.remove_reader(self._waiting)

    def _read(self, source: socket.socket) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(source, 1 + MOVED_BYTES_MAX, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self.close()
                return
            if not descriptors:
                continue
            self._take(data, descriptors[0])

    def _take(self, data: bytes, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the os module's own signature
        passed = socket.socket(fileno=descriptor)
        passed.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        if data[:1] == _LISTENING:
            self._listening(passed)
        else:
            self._connection(passed, data[1:])
