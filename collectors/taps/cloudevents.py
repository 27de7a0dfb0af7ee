"""The end that takes CloudEvents: of KServe's and Seldon's payload loggers, and of brokers.

They cannot sign in, so it has an address of its own. A sender is answered 202 once its events are
on disk; most never send twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from collectors.cloud_event import cloud_events
from collectors.spool.files import SpoolError
from collectors.spool.posted_lines import UnreadableBodyError
from collectors.spool.spool import Batch, Spool
from collectors.taps.settings import CloudEventsSettings
from collectors.taps.standing import CUT_OFF

log = logging.getLogger("kedge.tap")

#: Longest request, which may hold many events.
BODY_BYTES_MAX: Final = 16 << 20
#: What waits for the disk at most; beyond that senders are told to come again.
WAITING_BYTES_MAX: Final = 32 << 20
#: How often the counts are told.
TELL_S: Final = 1.0
_RETRY: Final = {"Retry-After": "1"}


class Keeper:
    """Writes lines, those of several senders under one flush, and says when they are durable.

    `keep` and `refuse` belong to the event loop, everything else to the thread.

    Parameters
    ----------
    tell
        Is given the counts by name, about once a second.
    """

    def __init__(self, spool: Spool, tell: Callable[[Mapping[str, int]], None]) -> None:
        self._spool, self._tell = spool, tell
        self._refused = dict.fromkeys(CUT_OFF, 0)
        self._kept = self._waiting_bytes = 0
        self._lock = threading.Condition()
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[None]]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kedge-tap-keeper", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def refuse(self, reason: str) -> None:
        """Count a client that was cut off by a limit."""
        self._refused[f"tap_{reason}"] += 1

    async def keep(self, lines: Sequence[bytes]) -> None:
        """Return when lines are on disk.

        Raises
        ------
        SpoolError
            They are not: the disk is slower than the senders, or does not take them.
        """
        size = sum(map(len, lines))
        if self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise SpoolError("the disk is slower than what is sent: try again later")
        durable = asyncio.get_running_loop().create_future()
        self._waiting_bytes += size
        try:
            with self._lock:
                self._waiting.append((lines, durable))
                self._lock.notify()
            # The lines are written whether or not their sender waits.
            await asyncio.shield(durable)
        finally:
            self._waiting_bytes -= size

    def stop(self) -> None:
        """Write what waits, and let go of the spool."""
        with self._lock:
            self._stopping = True
            self._lock.notify()
        self._thread.join()
        self._spool.close()

    def _run(self) -> None:
        next_tell = 0.0
        while True:
            with self._lock:
                if not self._waiting and not self._stopping:
                    self._lock.wait(TELL_S)
                waiting, self._waiting = self._waiting, []
                if self._stopping and not waiting:
                    return
            self._write(waiting)
            if time.monotonic() >= next_tell:
                next_tell = time.monotonic() + TELL_S
                self._tell({**self._refused, "tapped": self._kept})

    def _write(self, waiting: Sequence[tuple[Sequence[bytes], asyncio.Future[None]]]) -> None:
        if not waiting:
            return
        failed: SpoolError | None = None
        try:
            self._spool.append([Batch(lines, [None] * len(lines)) for lines, _ in waiting])
        except SpoolError as error:
            failed = error
        else:
            self._kept += sum(len(lines) for lines, _ in waiting)
        for _, durable in waiting:
            durable.get_loop().call_soon_threadsafe(_settle, durable, failed)


def _settle(durable: asyncio.Future[None], failed: SpoolError | None) -> None:
    if durable.done():
        return
    if failed is None:
        durable.set_result(None)
    else:
        durable.set_exception(failed)


class CloudEvents:
    """Takes CloudEvents in binary, structured and batch mode, posted to any path."""

    def __init__(self, settings: CloudEventsSettings, keeper: Keeper) -> None:
        self._settings, self._keeper = settings, keeper

    async def close(self) -> None:
        """Do nothing: there is nobody behind it."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take what is sent."""
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"], text="send events by POST")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise web.HTTPUnsupportedMediaType(text="compressed events are not taken")
        lines = await self._lines(request)
        try:
            if lines:
                await self._keeper.keep(lines)
        except SpoolError as error:
            raise web.HTTPServiceUnavailable(text=str(error), headers=_RETRY) from error
        return web.Response(status=202)

    async def _lines(self, request: web.BaseRequest) -> Sequence[bytes]:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                body = await self._read(request)
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body did not come in time") from None
        kind = request.content_type if "Content-Type" in request.headers else ""
        try:
            lines = cloud_events(request.headers, kind, body)
        except UnreadableBodyError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        most = self._settings.max_event_bytes
        if any(len(line) > most for line in lines):
            text = f"an event is at most {most} bytes"
            raise web.HTTPRequestEntityTooLarge(most, text=text)
        return lines

    async def _read(self, request: web.BaseRequest) -> bytes:
        parts: list[bytes] = []
        left = BODY_BYTES_MAX
        async for data in request.content.iter_any():
            left -= len(data)
            if left < 0:
                text = f"a request is at most {BODY_BYTES_MAX} bytes"
                raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX, text=text)
            parts.append(data)
        return b"".join(parts)
