"""What reads the lines of a format, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from collectors.formats.exchange import Exchange


class Reader(Protocol):
    """Reads the lines of one source, in order."""

    def read(self, line: bytes) -> Iterable[Exchange]:
        """Return what a line tells of; nothing if it belongs to the log and holds no prediction.

        Raises
        ------
        collectors.formats.event_line.Unusable
            Why the line cannot be used. Any other error counts as ``not_mapped``.
        """


@runtime_checkable
class Remembering(Protocol):
    """A reader for which a line means something by those before it: a table, by its header."""

    def encode(self) -> bytes | None:
        """Return what to keep over a restart; None for nothing."""

    def restore(self, state: bytes) -> None:
        """Go on where `encode` stood.

        Raises
        ------
        msgspec.DecodeError
            The bytes are no such state.
        """
