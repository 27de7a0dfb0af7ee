"""Routes that show the columns of a version's last window beside their reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from aiohttp import web

from detectors.side_by_side import SideBySide
from monitor.last_windows import LastWindow, last_window
from monitor.queries import rfc3339


class ColumnsView(Protocol):
    """What these routes ask of the running daemon."""

    def status(self) -> Mapping[str, Any]:
        """Body of ``/api/v1/status``."""

    def last_windows(self) -> Mapping[str, bytes]:
        """Return the last window of each version, as :mod:`monitor.last_windows` keeps it."""


class Columns:
    """``/api/v1/columns`` and ``/api/v1/columns/{column}``."""

    def __init__(self, view: ColumnsView) -> None:
        self._view = view

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.get("/api/v1/columns", self._list),
            # A column may be named with a slash.
            web.get("/api/v1/columns/{column:.+}", self._one),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        version = self._version(request)
        window = last_window(self._view.last_windows(), version) if version else None
        columns = {} if window is None else window.columns
        rows = [_counted(name, column) for name, column in columns.items()]
        return _json({**_frame(self._model(), version, window), "columns": rows})

    async def _one(self, request: web.Request) -> web.Response:
        version, name = self._version(request), request.match_info["column"]
        window = last_window(self._view.last_windows(), version) if version else None
        column = None if window is None else window.columns.get(name)
        if column is None:
            raise web.HTTPNotFound(
                text=f"no window of version {version or 'unknown'!r} with a column {name[:64]!r} "
                "that has a reference is kept; GET /api/v1/columns lists those that are"
            )
        bins = [
            {
                "from": one.low,
                "to": one.high,
                "value": one.value,
                "reference": one.reference,
                "current": one.current,
            }
            for one in column.bins
        ]
        frame = _frame(self._model(), version, window)
        return _json({**frame, **_counted(name, column), "bins": bins})

    def _version(self, request: web.Request) -> str | None:
        unknown = sorted(set(request.query) - {"version"})
        if unknown:
            raise web.HTTPBadRequest(text=f"unknown parameter {unknown[0][:64]!r}; known: version")
        live: str | None = self._view.status()["model"]["live_version"]
        return request.query.get("version", live)

    def _model(self) -> str:
        return str(self._view.status()["model"]["name"])


def _frame(model: str, version: str | None, window: LastWindow | None) -> dict[str, Any]:
    return {
        "model": model,
        "version": version,
        "window_start": None if window is None else rfc3339(window.begins),
        "window_end": None if window is None else rfc3339(window.ends),
    }


def _counted(name: str, column: SideBySide) -> dict[str, Any]:
    return {
        "column": name,
        "kind": column.kind,
        "reference": {"rows": column.reference_rows, "missing": column.reference_missing},
        "current": {"rows": column.current_rows, "missing": column.current_missing},
    }


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
