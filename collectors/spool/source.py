"""What is sent over the network, as a source like any other: spooled first, read from there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.formats.options import FormatOptions
from collectors.source import Chunk, Source
from collectors.spool.files import Place, SpoolClosedError, SpoolError
from collectors.spool.spool import Batch, Spool
from collectors.spool.stream import STREAM, SpoolStream

#: A spool holds at least so many events of the longest kind.
EVENTS_MIN = 4


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Events that are sent to the daemon: ``POST /api/v1/predictions``, labels, CloudEvents."""

    path: str = ""
    """Folder of the spool, which belongs to this source alone; by default ``spool/NAME`` beside
    the store. On a disk of this machine."""

    format: str = "kedge"
    """Format of what is sent. What ``POST /api/v1/cloudevents`` takes needs a source of its own,
    with a format that reads CloudEvents."""

    max_bytes: int = field(default=256 << 20, metadata={"key": "bytes_max"})
    """Size of the spool. When Kedge cannot keep up, or its store takes no commits, and the spool
    is full, the oldest events are dropped and counted as shed. 256 MiB are half a million
    events of 500 bytes."""

    max_event_bytes: int = 1 << 20
    """Longest event, in bytes; longer ones are not taken, and counted."""

    ids_max: int = 100_000
    """How many of the last events a new one is compared with, by its id: what a sender repeats
    within them counts once. 0 takes every event as new. About 10 MB for 100,000."""

    decoding: FormatOptions = field(default_factory=FormatOptions, metadata={"flat": True})
    """How what is sent is read."""

    def __post_init__(self) -> None:
        if self.max_event_bytes < 1:
            raise ValueError(f"max_event_bytes: expected at least 1, got {self.max_event_bytes}")
        least = EVENTS_MIN * self.max_event_bytes
        if self.max_bytes < least:
            raise ValueError(
                f"bytes_max: expected at least {EVENTS_MIN} times max_event_bytes ({least}), "
                f"got {self.max_bytes}"
            )
        if self.ids_max < 0:
            raise ValueError(f"ids_max: expected at least 0, got {self.ids_max}")

    def build(self, name: str) -> Source:
        """Return the source; it opens its folder when it is restored."""
        return SpoolSource(name, self)


class SpoolSource:
    """A spool between the senders and the counting.

    `append` belongs to the event loop, everything else to the thread that counts.
    """

    def __init__(self, name: str, settings: SpoolSettings) -> None:
        self.name = name
        self.settings = settings
        self._spool: Spool | None = None
        self._stream: SpoolStream | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"kedge-spool-{name}")
        self._waiting: list[tuple[Batch, asyncio.Future[int]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def append(self, batch: Batch) -> int:
        """Make a batch durable; return how many of its events were spooled before.

        Batches that come while the disk is busy share its next flush.

        Raises
        ------
        SpoolError
            The disk did not take it.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, answer))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name=f"spool {self.name}")
        return await answer

    def restore(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """Open the spool, and go on behind what was committed."""
        settings = self.settings
        place = Place.of(positions[STREAM]) if STREAM in positions else None
        self._spool = Spool(
            Path(settings.path or STREAM),
            bytes_max=settings.max_bytes,
            ids_max=settings.ids_max,
            after=place,
        )
        self._stream = SpoolStream(self._spool, place)

    def poll(self) -> Sequence[Chunk]:
        """Read what has been spooled."""
        return self._stream.poll() if self._stream is not None else ()

    def committed(self) -> None:
        """Let go of segments that were read: the store knows now that they were."""
        if self._stream is not None:
            self._stream.committed()

    def costs(self) -> Mapping[str, int]:
        """Return what was lost to damage, by kind."""
        if self._spool is None or self._stream is None:
            return {}
        damaged = self._spool.damaged_segments + self._stream.damaged_segments
        return {"torn_spool_bytes": self._spool.torn_bytes, "damaged_spool_segments": damaged}

    def retired(self) -> Sequence[str]:
        """None: a spool has one stream, for as long as it is configured."""
        return ()

    def unread_bytes(self) -> Mapping[str, int]:
        """Bytes that were spooled and not handed out yet."""
        return self._stream.unread_bytes() if self._stream is not None else {}

    def close(self) -> None:
        """Take no more events, and close the files."""
        self._closed = True
        self._thread.shutdown(wait=True)
        if self._stream is not None:
            self._stream.close()
        if self._spool is not None:
            self._spool.close()

    async def _flush(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    known = await self._on_thread([batch for batch, _ in group])
                except SpoolError as error:
                    self._answer_all(group, error)
                else:
                    for (_, answer), count in zip(group, known, strict=True):
                        if not answer.done():
                            answer.set_result(count)
        finally:
            self._flushing = None
            self._answer_all(self._waiting, SpoolClosedError("the daemon is stopping"))

    async def _on_thread(self, batches: Sequence[Batch]) -> Sequence[int]:
        spool = self._spool
        if spool is None or self._closed:
            raise SpoolClosedError("the spool is closed")
        try:
            work = asyncio.get_running_loop().run_in_executor(self._thread, spool.append, batches)
        except RuntimeError as error:  # closed just now
            raise SpoolClosedError("the spool is closed") from error
        return await work

    @staticmethod
    def _answer_all(group: Sequence[tuple[Batch, asyncio.Future[int]]], error: SpoolError) -> None:
        for _, answer in group:
            if not answer.done():
                answer.set_exception(error)
