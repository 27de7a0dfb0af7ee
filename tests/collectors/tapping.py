"""A real tap as a process, and a model server behind it, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from collectors.taps.settings import ProxySettings
from collectors.taps.source import TapSource
from collectors.taps.standing import Standing, read_standing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DEADLINE_S = 30.0


async def eventually(probe: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:  # noqa: ANN401 - of any type
    """Return what the probe returns as soon as that is true."""
    try:
        async with asyncio.timeout(deadline_s):
            while not (found := probe()):  # noqa: ASYNC110 - what is waited for is in another process
                await asyncio.sleep(0.02)
            return found
    except TimeoutError:
        raise AssertionError(f"{what}: not within {deadline_s:g} s") from None


@dataclass
class Tap:
    """A tap, and what Kedge reads of it."""

    source: TapSource
    folder: Path
    url: str
    shed: int = 0

    def standing(self) -> Standing | None:
        return read_standing(self.folder)

    def read(self) -> list[dict[str, Any]]:
        """Read what has been recorded since the last call."""
        found: list[dict[str, Any]] = []
        while chunks := self.source.poll():
            for chunk in chunks:
                self.shed += chunk.shed
                found += [json.loads(line) for line in chunk.lines.splitlines()]
        self.source.committed()
        return found

    async def records(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many records."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found.extend(self.read())
            return len(found) >= count

        await eventually(enough, f"{count} records")
        return found


@contextlib.asynccontextmanager
async def tapping(settings: ProxySettings, folder: Path, kind: str = "proxy") -> AsyncIterator[Tap]:
    """Start the tap, wait until it listens, and stop it with the block."""
    source = TapSource("tap", kind, replace(settings, path=str(folder)))
    source.restore({})
    try:
        yield await listening(source, folder)
    finally:
        await asyncio.to_thread(source.close)


async def listening(source: TapSource, folder: Path, other_than: int = 0) -> Tap:
    """Wait until the process of a tap listens; one of another number than `other_than`."""

    def found() -> Standing | None:
        there = read_standing(folder)
        trouble = source.unreadable
        return there if there and there.pid != other_than and not trouble else None

    standing = await eventually(found, "the tap listens")
    return Tap(source, folder, standing.address)


@contextlib.asynccontextmanager
async def model_server(handler: Handler) -> AsyncIterator[str]:
    """Serve a handler for every path; yield the address."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def settings_for(upstream: str, **given: Any) -> ProxySettings:  # noqa: ANN401 - of any type
    """Return settings of a proxy on a port that the system picks."""
    return ProxySettings(**{"listen": "127.0.0.1:0", "upstream": upstream, **given})
