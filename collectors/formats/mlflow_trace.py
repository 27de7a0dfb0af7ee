"""Traces of MLflow, one a line: what a function with ``@mlflow.trace`` was given and returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from collectors.formats.bodies import Row, feature_rows, predictions
from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange
from collectors.formats.json_record import parsed
from collectors.formats.options import ColumnNames, FormatOptions

_STATUSES = {"OK": 200, "ERROR": 500}


class Info(msgspec.Struct):
    """What a trace says of itself."""

    trace_id: str
    request_time: str | float
    state: str | None = None
    execution_duration_ms: float | None = None
    client_request_id: str | None = None


class Span(msgspec.Struct):
    """One call; its attributes are JSON within text."""

    parent_span_id: str | None = None
    attributes: dict[str, Any] = {}


class Data(msgspec.Struct):
    """The calls of a trace."""

    spans: list[Span]


class Trace(msgspec.Struct):
    """A whole trace."""

    info: Info
    data: Data


def trace_exchange(trace: Trace, options: FormatOptions) -> Exchange:
    """Return the outermost call as a request.

    Raises
    ------
    Unusable
        The trace has no such call, or one without inputs.
    """
    root = next((span for span in trace.data.spans if span.parent_span_id is None), None)
    if root is None:
        raise Unusable("missing_key")
    attributes = {name: _plain(value) for name, value in root.attributes.items()}
    version = attributes.get("version", attributes.get("model_version"))
    return Exchange(
        ts=trace.info.request_time,
        id=trace.info.client_request_id or trace.info.trace_id,
        features=_inputs(attributes.get("mlflow.spanInputs"), options.columns),
        predictions=predictions(attributes.get("mlflow.spanOutputs"), options.columns),
        version=None if version is None else str(version),
        latency_ms=trace.info.execution_duration_ms,
        latency_kind="model",
        status=_STATUSES.get(trace.info.state or ""),
    )


def _inputs(inputs: object, names: ColumnNames) -> list[Row]:
    """Rows of a function's arguments: those of its only argument, if it holds rows."""
    if not isinstance(inputs, Mapping):
        raise Unusable("missing_key")
    if len(inputs) == 1:
        (only,) = inputs.values()
        if isinstance(only, dict | list):
            return feature_rows(only, names)
    return feature_rows(inputs, names)


def _plain(value: object) -> object:
    try:
        return parsed(value) if isinstance(value, str) else value
    except Unusable:
        return value
