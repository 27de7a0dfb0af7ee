"""Access logs of NGINX and Envoy as JSON: how long requests took, and how they ended.

They say nothing of what was predicted. Lines whose method is not POST are passed over: probes
and pages are no predictions. The keys are those that docs/formats.md proposes.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange
from collectors.formats.line_format import json_lines
from collectors.formats.options import FormatOptions

_ABSENT = frozenset({"", "-"})


class NginxLine(msgspec.Struct):
    """A line of ``log_format … escape=json``; what comes of an upstream is text."""

    status: int | str
    ts: str | float | None = None
    msec: float | str | None = None
    time_iso8601: str | None = None
    request_id: str | None = None
    method: str | None = None
    request_method: str | None = None
    request_time: float | str | None = None
    upstream_response_time: str | float | None = None


@json_lines(NginxLine)
def NGINX(line: NginxLine, _options: FormatOptions) -> Iterator[Exchange]:  # noqa: N802 - a constant: the format
    """Read ``format = "nginx"``."""
    if line.request_time is None and line.upstream_response_time is None:
        raise Unusable("missing_key")
    if not _is_post(line.method or line.request_method):
        return
    if line.upstream_response_time is None:
        latency_s, spans_client = _number(line.request_time), True
    else:
        # With retries it is a list; the last one answered. It spans neither the client's slow
        # upload nor a slow mirror, as `request_time` does.
        last = str(line.upstream_response_time).replace(":", ",").rpartition(",")[2]
        latency_s, spans_client = _number(last), False
    yield Exchange(
        ts=_number(line.msec) if line.msec is not None else line.time_iso8601 or line.ts,
        id=line.request_id,
        latency_ms=None if latency_s is None else latency_s * 1000,
        latency_kind="client" if spans_client else "server",
        status=_status(line.status),
    )


class EnvoyLine(msgspec.Struct):
    """A line of a ``json_format``; an absent value is null or ``-``."""

    start_time: str
    response_code: int | str
    duration: float | str | None = None
    upstream_service_time: float | str | None = None
    request_id: str | None = None
    method: str | None = None


@json_lines(EnvoyLine)
def ENVOY(line: EnvoyLine, _options: FormatOptions) -> Iterator[Exchange]:  # noqa: N802 - a constant: the format
    """Read ``format = "envoy"``."""
    if not _is_post(line.method):
        return
    service_ms = _number(line.upstream_service_time)
    yield Exchange(
        ts=line.start_time,
        id=line.request_id,
        latency_ms=service_ms if service_ms is not None else _number(line.duration),
        latency_kind="server" if service_ms is not None else "client",
        status=_status(line.response_code),
    )


def _is_post(method: str | None) -> bool:
    return method is None or method == "POST"


def _number(value: str | float | None) -> float | None:
    if isinstance(value, str):
        value = value.strip()
        if value in _ABSENT:
            return None
        try:
            return float(value)
        except ValueError as error:
            raise Unusable("wrong_type") from error
    return value


def _status(value: str | int) -> int | None:
    """Return a status; 0 is Envoy's for a client that went away before there was one."""
    status = _number(value)
    return None if status is None else int(status)
