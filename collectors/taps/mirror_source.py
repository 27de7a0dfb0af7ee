"""Mirrored requests together with the access log of what mirrored them, as one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collectors.source import Chunk, Source
from collectors.spool.stream import STREAM
from collectors.tail.tail import Tail, TailSettings
from collectors.taps.settings import MirrorSettings
from collectors.taps.source import TapSource


class MirrorSource:
    """A tap, and the tail of an access log; ``format = "mirrored"`` tells their lines apart."""

    def __init__(self, name: str, settings: MirrorSettings) -> None:
        self._tap = TapSource(name, "mirror", settings)
        self._log = Tail(TailSettings(settings.access_log_path, start="end"))
        self._parts: tuple[Source, ...] = (self._tap, self._log)

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up the stored positions, each part its own."""
        self._tap.restore({STREAM: positions[STREAM]} if STREAM in positions else {})
        self._log.restore({name: at for name, at in positions.items() if name != STREAM})

    def poll(self) -> Sequence[Chunk]:
        """Read what has been spooled, and what has been logged."""
        return [chunk for part in self._parts for chunk in part.poll()]

    def committed(self) -> None:
        """Let go of what was read of the spool."""
        self._tap.committed()

    def costs(self) -> Mapping[str, int]:
        """Return what limits of the tap have cost."""
        return self._tap.costs()

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The tap while it does not run, and logs that cannot be read."""
        return {**self._tap.unreadable, **self._log.unreadable}

    def retired(self) -> Sequence[str]:
        """Return the streams of the log that are gone for good."""
        return self._log.retired()

    def unread_bytes(self) -> Mapping[str, int]:
        """Bytes that wait, by stream."""
        return {**self._tap.unread_bytes(), **self._log.unread_bytes()}

    def close(self) -> None:
        """Stop the process, and close the files."""
        for part in self._parts:
            part.close()
