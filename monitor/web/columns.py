"""Routes that show the columns of a version's last window beside their reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from aiohttp import web

from detectors.columns.side_by_side import Bin, SideBySide
from monitor.pictures.last_windows import Held, last_window
from monitor.store.queries import rfc3339


class ColumnsView(Protocol):
    """What these routes ask of the running daemon."""

    def status(self) -> Mapping[str, Any]:
        """Body of ``/api/v1/status``."""

    def last_windows(self) -> Mapping[str, Held]:
        """Return the last window of each version, as `monitor.pictures.last_windows` holds it."""


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
        frame, columns = self._window(request)
        rows = [_counted(name, column) for name, column in columns.items()]
        return _json({**frame, "columns": rows})

    async def _one(self, request: web.Request) -> web.Response:
        name = request.match_info["column"]
        frame, columns = self._window(request)
        column = columns.get(name)
        if column is None:
            raise web.HTTPNotFound(
                text=f"no window of version {frame['version'] or 'unknown'!r} with a column "
                f"{name[:64]!r} that has a reference is kept; GET /api/v1/columns lists those "
                "that are"
            )
        bins = [_bin(one) for one in column.bins]
        return _json({**frame, **_counted(name, column), "bins": bins})

    def _window(self, request: web.Request) -> tuple[dict[str, Any], Mapping[str, SideBySide]]:
        unknown = sorted(set(request.query) - {"version", "segment"})
        if unknown:
            raise web.HTTPBadRequest(
                text=f"unknown parameter {unknown[0][:64]!r}; known: version, segment"
            )
        model = self._view.status()["model"]
        version = request.query.get("version", model["live_version"])
        segment = request.query.get("segment", "")
        window = last_window(self._view.last_windows(), version, segment) if version else None
        frame = {
            "model": model["name"],
            "version": version,
            "segment": segment,
            "window_start": None if window is None else rfc3339(window.begins),
            "window_end": None if window is None else rfc3339(window.ends),
        }
        return frame, {} if window is None else window.columns


def _counted(name: str, column: SideBySide) -> dict[str, Any]:
    return {
        "column": name,
        "kind": column.kind,
        "reference": {"rows": column.reference_rows, "missing": column.reference_missing},
        "current": {
            "rows": column.current_rows,
            "missing": column.current_missing,
            "new": column.new,
        },
    }


def _bin(one: Bin) -> dict[str, Any]:
    # JSON has no infinite numbers.
    finite = not isinstance(one.value, float) or math.isfinite(one.value)
    return {
        "label": one.label,
        "from": one.low,
        "to": one.high,
        "value": one.value if finite else one.label,
        "reference": one.reference,
        "current": one.current,
        "new": one.new,
    }


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
