"""A client whose head never ends."""

from __future__ import annotations

import asyncio

#: Two of them are longer than what a server reads at once by itself.
_LINE = b"X-Much: " + b"m" * 5_000 + b"\r\n"
PAUSE_S = 0.05


async def drip(writer: asyncio.StreamWriter, *, lines: int = 2) -> None:
    """Send the head of a request without an end, `lines` of it long, until it is cut off."""
    writer.write(b"POST /invocations HTTP/1.1\r\nHost: x\r\n" + _LINE * lines + b"X-Slow: ")
    try:
        async with asyncio.timeout(60):
            while True:
                writer.write(b"z")
                await writer.drain()
                await asyncio.sleep(PAUSE_S)
    except ConnectionError:
        return
