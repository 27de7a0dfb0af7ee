"""A tap as a source like any other: its process spools, and this reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collectors.source import Chunk
from collectors.spool.files import Place
from collectors.spool.folder import SpoolFolder
from collectors.spool.stream import STREAM, SpoolStream
from collectors.taps.settings import MirrorSettings, ProxySettings, TapSettings
from collectors.taps.standing import Errand
from collectors.taps.watch import TapWatch

#: What a process counts for itself, and no limit.
_OWN = ("tapped",)


class TapSource:
    """Source of what a tap has recorded.

    Parameters
    ----------
    kind
        Which tap it is, for people.
    """

    def __init__(self, name: str, kind: str, settings: TapSettings) -> None:
        self.name, self._kind, self._settings = name, kind, settings
        self._watch: TapWatch | None = None
        self._stream: SpoolStream | None = None

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Start the process, and go on behind what was committed."""
        path = Path(self._settings.path or STREAM)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        after = positions.get(STREAM)
        self._stream = SpoolStream(SpoolFolder(path), None if after is None else Place.of(after))
        settings = self._settings
        if isinstance(settings, ProxySettings):
            errand = Errand(name=self.name, proxy=settings, after=after)
        elif isinstance(settings, MirrorSettings):
            errand = Errand(name=self.name, mirror=settings, after=after)
        else:
            errand = Errand(name=self.name, cloudevents=settings, after=after)
        self._watch = TapWatch(errand)
        self._watch.start()

    def poll(self) -> Sequence[Chunk]:
        """Read what has been spooled."""
        if self._stream is None or self._watch is None:
            return ()
        chunks = self._stream.poll()
        if chunks:
            self._watch.place = self._stream.position
        return chunks

    def committed(self) -> None:
        """Let go of segments that were read: the store knows now that they were."""
        if self._stream is not None:
            self._stream.committed()

    def costs(self) -> Mapping[str, int]:
        """Return what limits of the tap, and damage to its spool, have cost."""
        if self._watch is None or self._stream is None:
            return {}
        counts = {name: n for name, n in self._watch.counts().items() if name not in _OWN}
        return {**counts, "damaged_spool_segments": self._stream.damaged_segments}

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The tap, while it does not run."""
        trouble = self._watch.trouble if self._watch is not None else None
        return {} if trouble is None else {f"the {self._kind}": trouble}

    def retired(self) -> Sequence[str]:
        """None: a spool has one stream, for as long as it is configured."""
        return ()

    def unread_bytes(self) -> Mapping[str, int]:
        """Bytes that were spooled and not handed out yet."""
        return self._stream.unread_bytes() if self._stream is not None else {}

    def close(self) -> None:
        """Stop the process, and close the files."""
        if self._watch is not None:
            self._watch.stop()
        if self._stream is not None:
            self._stream.close()
