"""Inference tables of Databricks, exported as JSON lines: those of old, and the AI gateway's.

The gateway names the version by an id of the served entity. Bodies over its limit are null: such
a request counts with its latency and status, and says nothing of columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from collectors.formats.bodies import body, feature_rows, params_of, predictions
from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange
from collectors.formats.line_format import json_lines
from collectors.formats.options import FormatOptions

_OK_END = 400


class Served(msgspec.Struct):
    """A row of either table."""

    databricks_request_id: str
    status_code: int
    request: Any
    response: Any
    client_request_id: str | None = None
    sampling_fraction: float | None = None
    # The table of old.
    timestamp_ms: float | None = None
    execution_time_ms: float | None = None
    request_metadata: dict[str, Any] | None = None
    # The gateway's.
    request_time: str | float | None = None
    execution_duration_ms: float | None = None
    served_entity_id: str | None = None


@json_lines(Served)
def DATABRICKS(line: Served, options: FormatOptions) -> Iterator[Exchange]:  # noqa: N802 - a constant: the format
    """Read ``format = "databricks"``."""
    ts = line.request_time if line.timestamp_ms is None else line.timestamp_ms / 1000
    took_ms = line.execution_duration_ms
    asked = body(line.request)
    yield Exchange(
        ts=ts,
        id=line.client_request_id or line.databricks_request_id,
        features=None if asked is None else feature_rows(asked, options.columns),
        predictions=_predictions(line, options),
        version=(line.request_metadata or {}).get("model_version") or line.served_entity_id,
        latency_ms=line.execution_time_ms if took_ms is None else took_ms,
        latency_kind="model",
        status=line.status_code,
        sampling=line.sampling_fraction,
        params=params_of(asked),
    )


def _predictions(line: Served, options: FormatOptions) -> list[Any] | None:
    try:
        return predictions(body(line.response), options.columns)
    except Unusable:
        if line.status_code < _OK_END:
            raise
        return None  # the text of an error
