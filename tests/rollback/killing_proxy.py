"""Every call that an actuator makes goes through here, and one of them is its last."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Self, TypeAlias

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

When: TypeAlias = Literal["before", "after"]

#: Calls of MLflow's that change what serves.
REGISTRY_WRITES: Final = ("registered-models/alias", "model-versions/transition-stage")
_PASSED_ON: Final = ("Authorization", "Content-Type", "Accept")


class Switch:
    """A service that says which version serves, and switches once for each key."""

    def __init__(self) -> None:
        self.version = "2"
        self.keys: set[str] = set()
        self.changes: list[str] = []

    def put_back(self) -> None:
        self.version = "2"
        self.keys.clear()
        self.changes.clear()

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        key = request.headers["Idempotency-Key"]
        if key not in self.keys:
            self.keys.add(key)
            self.changes.append("switch")
            self.version = "1"
        return web.Response(text=f"{len(body)} bytes read")


class KillingProxy:
    """Passes calls on, counts them, and kills who makes them before or after the k-th.

    ``before``: the call comes to nobody. ``after``: it was done and answered, and the answer
    comes to nobody. Either way what is durable is as if the process had died anywhere between
    this call and the one before, or the one after.

    Parameters
    ----------
    registry
        Address of MLflow.
    cluster
        Address of the API server.
    """

    def __init__(self, registry: str, cluster: str) -> None:
        self._registry = registry
        self._cluster = cluster
        self.switch = Switch()
        self.serving: Callable[[], Awaitable[str]] = self._nobody
        self.begin(0, "before")

    def begin(self, k: int, when: When) -> None:
        """Count from zero, and kill at the k-th call; at none if it is 0."""
        self.calls = 0
        self.registry_writes: list[str] = []
        self.killed = False
        self._k = k
        self._when = when
        self.victim: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/serving", self._tell)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)
        await self._server.start_server()
        self._session = aiohttp.ClientSession()
        self.uri = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._server.close()

    async def _tell(self, _: web.Request) -> web.Response:
        return web.Response(text=await self.serving())

    async def _nobody(self) -> str:
        raise LookupError("nobody has said what serves")

    async def _handle(self, request: web.Request) -> web.Response:
        self.calls += 1
        last = self.calls == self._k
        body = await request.read()
        if last and self._when == "before":
            return await self._kill()
        answer = await self._passed_on(request, body)
        return await self._kill() if last else answer

    async def _kill(self) -> web.Response:
        self.killed = True
        os.kill(await self.victim, signal.SIGKILL)
        # For a program that outlives who has started it.
        return web.Response(status=503)

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
        if request.path == "/switch":
            return await self.switch.handle(request, body)
        of_registry = request.path.startswith("/api/2.0/mlflow/")
        target = self._registry if of_registry else self._cluster
        headers = {key: request.headers[key] for key in _PASSED_ON if key in request.headers}
        async with self._session.request(
            request.method, f"{target}{request.path_qs}", data=body, headers=headers
        ) as answer:
            content = await answer.read()
        if request.method == "POST" and answer.status == 200 and of_registry:
            self.registry_writes += [w for w in REGISTRY_WRITES if request.path.endswith(w)]
        return web.Response(body=content, status=answer.status, content_type="application/json")
