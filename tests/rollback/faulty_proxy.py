"""A reverse proxy on loopback before a real MLflow, that loses requests or answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, Self, TypeAlias

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

#: What happens to a call: it is passed on; lost on its way; done, but its answer lost; refused
#: without being done; done, but answered 503.
Fate: TypeAlias = Literal["pass", "lose", "mute", "503", "done503"]


class FaultyProxy:
    """Passes calls on to MLflow; `fates` decides about writes, `reads` about reads.

    The lists are used up from the front; when one is empty, everything passes.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.fates: list[Fate] = []
        self.reads: list[Fate] = []
        self.writes: list[str] = []
        self.before_write: Callable[[], Awaitable[None]] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)
        await self._server.start_server()
        self._session = aiohttp.ClientSession()
        self.uri = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._server.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        writes = request.method == "POST"
        if writes and self.before_write is not None:
            await self.before_write()
        queue = self.fates if writes else self.reads
        fate: Fate = queue.pop(0) if queue else "pass"
        if fate == "lose":
            await asyncio.sleep(60)
        if fate == "503":
            return web.Response(status=503)
        body = await request.read()
        async with self._session.request(
            request.method,
            f"{self._target}{request.path_qs}",
            data=body,
            headers={"Content-Type": "application/json"},
        ) as answer:
            content = await answer.read()
        if writes and answer.status == 200:
            self.writes.append(body.decode())
        if fate == "mute":
            await asyncio.sleep(60)
        if fate == "done503":
            return web.Response(status=503)
        return web.Response(body=content, status=answer.status, content_type="application/json")
