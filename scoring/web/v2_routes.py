"""The paths of the Open Inference Protocol, on aiohttp."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web

from scoring.answering.live import Live, Served
from scoring.answering.v2 import V2Error, metadata
from scoring.protocol.protocol import JSON_TYPE

_PATH = "/v2/models/{name}"


class Scores(Protocol):
    """What answers a request whose version is known."""

    async def infer(self, request: web.Request) -> web.Response:
        """Return the answer to a request to infer."""


class V2Routes:
    """Health and metadata; what is to be scored goes to the server."""

    def __init__(self, live: Live, scores: Scores, version: str) -> None:
        self._live = live
        self._scores = scores
        self._version = version

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; each path of a model is there with and without its version."""
        paths = [
            web.get("/v2", self._server),
            web.get("/v2/health/live", self._is_live),
            web.get("/v2/health/ready", self._is_ready),
        ]
        for path in (_PATH, _PATH + "/versions/{version}"):
            paths += [
                web.get(path, self._metadata),
                web.get(path + "/ready", self._model_is_ready),
                web.post(path + "/infer", self._infer),
            ]
        return paths

    async def _server(self, _: web.Request) -> web.Response:
        return _json({"name": "kedge", "version": self._version, "extensions": []})

    async def _is_live(self, _: web.Request) -> web.Response:
        return _json({"live": True})

    async def _is_ready(self, _: web.Request) -> web.Response:
        # The port opens once the model has loaded.
        return _json({"ready": True})

    async def _metadata(self, request: web.Request) -> web.Response:
        served = served_by(self._live, request)
        if isinstance(served, V2Error):
            return _error(served)
        return _json(metadata(served.model, served.name, served.version))

    async def _model_is_ready(self, request: web.Request) -> web.Response:
        served = served_by(self._live, request)
        if isinstance(served, V2Error):
            return _error(served)
        return _json({"name": served.name, "ready": True})

    async def _infer(self, request: web.Request) -> web.Response:
        served = served_by(self._live, request)
        return _error(served) if isinstance(served, V2Error) else await self._scores.infer(request)


def served_by(live: Live, request: web.Request) -> Served | V2Error:
    """Return the live version if the path names it."""
    served = live.current
    name, version = request.match_info["name"], request.match_info.get("version")
    if name == served.name and version in (None, served.version):
        return served
    wanted = name if version is None else f"{name} version {version}"
    return V2Error(f"{wanted} is not served here", status=HTTPStatus.NOT_FOUND)


def _error(error: V2Error) -> web.Response:
    return web.Response(status=error.status, body=error.body(), content_type=JSON_TYPE)


def _json(value: Any) -> web.Response:  # noqa: ANN401 - JSON
    return web.Response(body=json.dumps(value).encode(), content_type=JSON_TYPE)
