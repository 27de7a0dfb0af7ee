"""Requests and answers as a line each: MLflow's scoring protocol, and the Open Inference one.

The line is ``{"request": …, "response": …}`` with the bodies as JSON or as text, or a tap's
``{"body": …, "response_body": …, "status": …}``, or the body of a request alone. Beside them
stand, if they are known, ``ts``, ``id``, ``version``, ``latency_ms``, ``status``. A line without
a time counts as of when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from collectors.formats.bodies import (
    body,
    cell,
    feature_rows,
    params_of,
    predictions,
    split_csv,
)
from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange, Half
from collectors.formats.json_record import decoded
from collectors.formats.line_format import EachLine, LineFormat
from collectors.formats.mlflow_trace import Trace, trace_exchange
from collectors.formats.options import FormatOptions
from collectors.formats.tensors import is_tensors


class Logged(msgspec.Struct):
    """A line with a request, an answer, or both; a tap's may have neither."""

    tap: str | None = None
    half: Half | None = None
    csv: str | None = None
    request: Any = None
    response: Any = None
    body: Any = None
    response_body: Any = None
    dataframe_split: Any = None
    dataframe_records: Any = None
    instances: Any = None
    inputs: Any = None
    params: Any = None
    parameters: Any = None
    ts: str | float | None = None
    time: str | float | None = None
    timestamp: str | float | None = None
    id: str | int | None = None
    request_id: str | int | None = None
    version: str | int | None = None
    latency_ms: float | None = None
    status: int | None = None

    def asked(self) -> object:
        """Return the request's body; None if there is none."""
        if self.csv is not None:
            names, *rows = split_csv(self.csv) or [[]]
            records = [dict(zip(names, map(cell, row), strict=False)) for row in rows]
            return {"dataframe_records": records}
        given = self.request if self.request is not None else self.body
        if given is not None:
            return body(given)
        for key in ("dataframe_split", "dataframe_records", "instances", "inputs"):
            if (value := getattr(self, key)) is not None:
                return {key: value, "params": self.params, "parameters": self.parameters}
        return None

    @property
    def is_bare(self) -> bool:
        """Whether a tap says how a request ended, and not what was in it."""
        bodies = (self.body, self.response_body, self.csv)
        return self.tap is not None and all(one is None for one in bodies)

    def answered(self) -> object:
        """Return the answer's body; None if there is none."""
        return body(self.response if self.response is not None else self.response_body)


_LOGGED = msgspec.json.Decoder(Logged)
_TRACE = msgspec.json.Decoder(Trace)


def _mlflow(line: bytes, options: FormatOptions) -> Iterable[Exchange]:
    if b'"spans"' in line:
        return [trace_exchange(decoded(line, _TRACE), options)]
    return [_exchange(decoded(line, _LOGGED), options)]


def _v2(line: bytes, options: FormatOptions) -> Iterator[Exchange]:
    logged = decoded(line, _LOGGED)
    asked, answered = logged.asked(), logged.answered()
    if logged.is_bare:
        yield _exchange(logged, options)
        return
    if not is_tensors(_get(asked, "inputs")) and not is_tensors(_get(answered, "outputs")):
        raise Unusable("missing_key")
    yield _exchange(logged, options)


def _exchange(logged: Logged, options: FormatOptions) -> Exchange:
    asked, answered = logged.asked(), logged.answered()
    if asked is None and answered is None and not logged.is_bare:
        raise Unusable("missing_key")
    ids = (logged.id, logged.request_id, _get(asked, "id"), _get(answered, "id"))
    versions = (logged.version, _get(answered, "model_version"))
    times = (logged.ts, logged.time, logged.timestamp)
    return Exchange(
        ts=_first(times),
        id=_first(ids),
        features=None if asked is None else feature_rows(asked, options.columns),
        predictions=predictions(answered, options.columns),
        version=_first(versions),
        latency_ms=logged.latency_ms,
        status=logged.status,
        half=logged.half if logged.tap is not None else None,
        params=params_of(asked),
    )


def _get(value: object, key: str) -> Any:  # noqa: ANN401 - JSON
    return value.get(key) if isinstance(value, Mapping) else None


def _first(values: Iterable[Any]) -> Any:  # noqa: ANN401 - JSON
    return next((value for value in values if value is not None), None)


#: ``format = "mlflow"``: bodies of MLflow's scoring protocol, and traces of its tracking server.
MLFLOW = LineFormat(lambda options: EachLine(lambda line: _mlflow(line, options)), arrives=True)
#: ``format = "v2"``: bodies of the Open Inference Protocol V2.
V2 = LineFormat(lambda options: EachLine(lambda line: _v2(line, options)), arrives=True)
