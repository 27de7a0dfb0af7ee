"""Bodies of requests, within limits: of size, also once inflated; of time; of all together."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from aiohttp import web

#: From the first to the last byte of a body, seconds.
BODY_TIMEOUT_S: Final = 10.0
#: Bodies that are held at a time, all together.
HELD_BYTES_MAX: Final = 32 << 20
#: A sender that is refused for now comes again after so long, seconds.
RETRY_AFTER_S: Final = 1
#: Parts that a gzip body may have been put together from.
GZIP_MEMBERS_MAX: Final = 100
#: What is made of a body up to this size is made at once: a thread would take longer to ask.
AT_ONCE_BYTES: Final = 64 << 10

_GZIP_WBITS = 31
_PIECE_BYTES = 64 << 10

T = TypeVar("T")


class TooLargeError(ValueError):
    """A body inflates to more than is taken."""


class Bodies:
    """Reads bodies. Expects a server that leaves them compressed.

    Parameters
    ----------
    bytes_max
        Longest body; of a compressed one before inflation and after.
    timeout_s
        Longest time for all of a body to arrive.
    held_bytes_max
        Size of all bodies that are held at a time; further ones are refused for now.
    refused
        Told why a body was refused, where a limit was the reason.
    """

    def __init__(
        self,
        bytes_max: int,
        *,
        timeout_s: float = BODY_TIMEOUT_S,
        held_bytes_max: int = HELD_BYTES_MAX,
        refused: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._bytes_max = bytes_max
        self._timeout_s = timeout_s
        self._held_bytes_max = max(held_bytes_max, 2 * bytes_max)
        self._refused = refused
        self._held = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kedge-bodies")

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @contextlib.asynccontextmanager
    async def read(self, request: web.Request) -> AsyncIterator[bytes]:
        """Read a body; it counts as held until the block ends.

        Raises
        ------
        web.HTTPException
            408 too slow, 413 too large, 415 compressed otherwise than with gzip, 429 too many
            bodies at a time, 400 damaged.
        """
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise web.HTTPUnsupportedMediaType(
                text=f"Content-Encoding {encoding[:32]!r}: expected gzip, or none"
            )
        with contextlib.ExitStack() as held:
            body = await self._received(request, held)
            if encoding.endswith("gzip"):
                body = await self._inflated(body)
                self._hold(len(body), held)
            yield body

    async def off_loop(self, size: int, work: Callable[[], T]) -> T:
        """Do what is made of a body of that size without holding up other requests."""
        if size <= AT_ONCE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _received(self, request: web.Request, held: contextlib.ExitStack) -> bytes:
        if (request.content_length or 0) > self._bytes_max:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while piece := await request.content.readany():
                    self._hold(len(piece), held)
                    body += piece
                    if len(body) > self._bytes_max:
                        raise self._too_large()
        except TimeoutError as error:
            self._refused("slow_body")
            raise web.HTTPRequestTimeout(
                text=f"the body did not arrive within {self._timeout_s:g} s"
            ) from error
        return bytes(body)

    async def _inflated(self, body: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, inflate, body, self._bytes_max)
        except TooLargeError as error:
            raise self._too_large() from error
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"the body is not gzip: {error}") from error

    def _hold(self, size: int, held: contextlib.ExitStack) -> None:
        if self._held + size > self._held_bytes_max:
            self._refused("bodies_held")
            raise web.HTTPTooManyRequests(
                text="too many requests are being taken at this moment",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._held += size
        held.callback(self._release, size)

    def _release(self, size: int) -> None:
        self._held -= size

    def _too_large(self) -> web.HTTPException:
        self._refused("large_body")
        return web.HTTPRequestEntityTooLarge(
            self._bytes_max,
            text=f"the body is longer than [http] max_body: {self._bytes_max} bytes",
        )


def inflate(data: bytes, bytes_max: int) -> bytes:
    """Inflate a gzip text of one or more members, in memory of about `bytes_max`.

    Raises
    ------
    TooLargeError
        It inflates to more than `bytes_max`.
    ValueError
        It is damaged, ends too early, or has too many members.
    """
    out = bytearray()
    at, members = 0, 0
    while at < len(data):
        members += 1
        if members > GZIP_MEMBERS_MAX:
            raise ValueError(f"it has more than {GZIP_MEMBERS_MAX} members")
        at = _inflate_member(data, at, out, bytes_max)
    if not members:
        raise ValueError("it is empty")
    return bytes(out)


def _inflate_member(data: bytes, at: int, out: bytearray, bytes_max: int) -> int:
    """Append what the member that begins there holds; return where the next one begins."""
    inflater = zlib.decompressobj(_GZIP_WBITS)
    while not inflater.eof:
        # In small pieces: all at once, zlib would hold the whole output twice more.
        piece = inflater.unconsumed_tail
        if not piece:
            piece, at = data[at : at + _PIECE_BYTES], at + _PIECE_BYTES
        if not piece:
            raise ValueError("it ends too early")
        try:
            out += inflater.decompress(piece, _PIECE_BYTES)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if len(out) > bytes_max:
            raise TooLargeError
    return min(at, len(data)) - len(inflater.unused_data)
