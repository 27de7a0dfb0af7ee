"""What every source is: something that hands out lines and says where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines read from one stream, and where the stream stands once they are counted.

    Parameters
    ----------
    stream
        Identifies the stream (a file, a spool) within its source for as long as it lives.
    lines
        Bytes of whole lines, each ended by a newline; empty when only the position moved
        (a line longer than the limit was skipped).
    position
        What to store, in the transaction that counts these lines, so that a restart reads on
        behind them. Opaque to everyone but the source; JSON-serialisable.
    skipped
        Bytes at the start of lines that were too long, for the quarantine.
    shed
        Lines that lay before these and are gone unread: a limit was reached, or the disk damaged
        them.
    """

    stream: str
    lines: bytes
    position: Mapping[str, object]
    skipped: Sequence[bytes] = ()
    shed: int = 0


class Source(Protocol):
    """A source that is polled. Implementations do I/O, keep no statistics, and never block long."""

    def restore(self, positions: Mapping[str, Mapping[str, object]]) -> None:
        """Take up the stored positions (stream to position). Called once, before `poll`."""

    def poll(self) -> Sequence[Chunk]:
        """Read what has arrived, at most a few MiB; empty when nothing has.

        Chunks of one stream are in order. Each byte is handed out once; after a restart, from
        the restored position on.
        """

    def retired(self) -> Sequence[str]:
        """Streams that are gone for good since the last call: their positions may be deleted."""

    def unread_bytes(self) -> Mapping[str, int]:
        """Bytes that stand in the source and were not handed out yet, by stream.

        A stream that was read to its end is not in it. What is not a stream yet (a file that
        waits to be opened) goes by a name of its own.
        """

    def close(self) -> None:
        """Let go of files and sockets."""


@runtime_checkable
class KeepingSource(Protocol):
    """A source that keeps what it handed out until it is committed."""

    def committed(self) -> None:
        """Everything handed out so far is counted, and in the store: it may be let go."""

    def costs(self) -> Mapping[str, int]:
        """Return what limits and faults have cost by now, by name; only ever more."""


@runtime_checkable
class FilesSource(Protocol):
    """A source of files, some of which it may be unable to read."""

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Files that cannot be read at present, or not to their end, each with the reason."""
