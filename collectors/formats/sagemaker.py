"""Data Capture of Amazon SageMaker: request and answer of an endpoint, as text of any encoding.

Times are whole seconds. There is no latency and no status, and a variant stands only in the
file's path: name it by the source's `version`. CSV has no header: name its columns by
`columns.features`.

Ground truth, as it is uploaded for SageMaker's model monitor, is read from the same source or
one of its own: labels by event id. It has no time, so it is known since it was read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from collectors.formats.bodies import cell, csv_rows, feature_rows, predictions, split_csv
from collectors.formats.event_line import Unusable, split_lines
from collectors.formats.exchange import Exchange
from collectors.formats.json_record import parsed
from collectors.formats.line_format import json_lines
from collectors.formats.options import FormatOptions


class Captured(msgspec.Struct):
    """One body."""

    data: str
    encoding: Literal["CSV", "JSON", "BASE64"] = "BASE64"
    observedContentType: str | None = None  # noqa: N815 - SageMaker's name


class CaptureData(msgspec.Struct):
    """The bodies that were captured: each may be switched off."""

    endpointInput: Captured | None = None  # noqa: N815 - SageMaker's name
    endpointOutput: Captured | None = None  # noqa: N815 - SageMaker's name


class EventMetadata(msgspec.Struct):
    """Which request it was; ground truth does not say when."""

    eventId: str  # noqa: N815 - SageMaker's name
    inferenceTime: str | None = None  # noqa: N815 - SageMaker's name
    inferenceId: str | None = None  # noqa: N815 - SageMaker's name


class Capture(msgspec.Struct):
    """A line: of a capture, or of ground truth."""

    eventMetadata: EventMetadata  # noqa: N815 - SageMaker's name
    captureData: CaptureData | None = None  # noqa: N815 - SageMaker's name
    groundTruthData: Captured | None = None  # noqa: N815 - SageMaker's name


@json_lines(Capture, arrives=True)
def SAGEMAKER(line: Capture, options: FormatOptions) -> Iterator[Exchange]:  # noqa: N802 - a constant: the format
    """Read ``format = "sagemaker"``."""
    known = line.eventMetadata
    request_id = known.inferenceId or known.eventId
    if line.groundTruthData is not None:
        labels = _predictions(line.groundTruthData, FormatOptions())
        yield Exchange(ts=known.inferenceTime, id=request_id, labels=labels or [])
        return
    captured = line.captureData or CaptureData()
    asked, answered = captured.endpointInput, captured.endpointOutput
    if known.inferenceTime is None or (asked is None and answered is None):
        raise Unusable("missing_key")
    yield Exchange(
        ts=known.inferenceTime,
        id=request_id,
        features=None if asked is None else _features(asked, options),
        predictions=None if answered is None else _predictions(answered, options),
    )


def _features(captured: Captured, options: FormatOptions) -> list[Any]:
    text, encoding = _text(captured)
    if encoding == "CSV":
        return list(csv_rows(text, options.columns.features))
    return [row for body in _json(text) for row in feature_rows(body, options.columns)]


def _predictions(captured: Captured, options: FormatOptions) -> list[Any] | None:
    text, encoding = _text(captured)
    if encoding == "CSV":
        bodies: list[Any] = [[[cell(text) for text in cells] for cells in split_csv(text)]]
    else:
        bodies = _json(text)
    found = [predictions(body, options.columns) for body in bodies]
    return [one for part in found if part is not None for one in part] or None


def _text(captured: Captured) -> tuple[str, str]:
    """Return the text of a body, and whether it is CSV or JSON."""
    if captured.encoding != "BASE64":
        return captured.data, captured.encoding
    try:
        text = base64.b64decode(captured.data, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Unusable("wrong_type") from error
    content_type = (captured.observedContentType or "").lower()
    looks_like_json = text.lstrip()[:1] in ("{", "[") and "csv" not in content_type
    return text, "JSON" if "json" in content_type or looks_like_json else "CSV"


def _json(text: str) -> list[Any]:
    """Return the one body, or one for each line of JSON lines."""
    try:
        return [parsed(text)]
    except Unusable:
        lines = split_lines(text.encode())
        if len(lines) < 2:  # noqa: PLR2004 - one line was no JSON just now
            raise
        return [parsed(line) for line in lines]
