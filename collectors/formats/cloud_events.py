"""Payload loggers of KServe and Seldon: CloudEvents, request and answer one each.

A line is what the logger sent, in any of four wrappings: ``{"ce": {attributes}, "data": body}``,
as Kedge's own address for them stores it; ``{"headers": {"Ce-Id": …}, "body": "…"}``, as a tap
or a broker does; CloudEvents' own structured JSON; and a blob of KServe's logger.

Both log successes only, so no error ratio can be told. What Seldon's feedback says is true is a
label of the request that it names; its reward is none.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from collectors.formats.bodies import feature_rows, params_of, predictions
from collectors.formats.event_line import Unusable
from collectors.formats.exchange import Exchange, Half
from collectors.formats.json_record import decoded, parsed
from collectors.formats.line_format import EachLine, LineFormat
from collectors.formats.options import ColumnNames, FormatOptions

KSERVE_TYPE, SELDON_TYPE = "org.kubeflow.serving.inference.", "io.seldon.serving."
_FEEDBACK = "io.seldon.serving.feedback"
_SIDES: Mapping[str, Half] = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
    "io.seldon.serving.inference.request": "request",
    "io.seldon.serving.inference.response": "response",
}
_VERSION_KEYS = ("model-version", "model_version", "version")
_PREFIX = "ce-"


class Line(msgspec.Struct):
    """A CloudEvent, however it is wrapped; the attributes that structured JSON has are its own."""

    ce: dict[str, Any] | None = None
    headers: dict[str, Any] | None = None
    body: Any = None
    data: Any = None
    data_base64: str | None = None
    # Structured JSON, and KServe's blobs.
    id: str | None = None
    type: str | None = None
    time: str | None = None
    bytes: str | None = None
    reqType: str | None = None  # noqa: N815 - KServe's name
    occurrenceTime: str | None = None  # noqa: N815 - KServe's name
    inferenceService: str | None = None  # noqa: N815 - KServe's name
    inferenceservicename: str | None = None
    component: str | None = None
    requestid: str | None = None
    modelid: str | None = None
    annotations: Any = None

    def attributes(self) -> dict[str, Any]:
        """Attributes of the event by their names in small letters, without ``ce-``."""
        if self.ce is not None:
            return {_name(key): one for key, one in self.ce.items() if isinstance(one, str)}
        if self.headers is not None:
            return {
                _name(key): one
                for key, one in self.headers.items()
                if isinstance(one, str) and _is_attribute(key)
            }
        return {
            "id": self.id,
            "type": self.type or self.reqType,
            "time": self.time or self.occurrenceTime,
            "inferenceservicename": self.inferenceservicename or self.inferenceService,
            "component": self.component,
            "requestid": self.requestid,
            "modelid": self.modelid,
            "annotations": self.annotations,
        }

    def payload(self) -> object:
        """Return the body of the request or the answer."""
        encoded = self.data_base64 if self.data_base64 is not None else self.bytes
        given = self.body if self.body is not None else self.data
        if encoded is not None:
            try:
                given = base64.b64decode(encoded, validate=True).decode()
            except (binascii.Error, ValueError) as error:
                raise Unusable("wrong_type") from error
        return parsed(given) if isinstance(given, str) else given


_LINE = msgspec.json.Decoder(Line)


def _read(line: bytes, options: FormatOptions, types: str) -> Iterable[Exchange]:
    event = decoded(line, _LINE)
    attributes = event.attributes()
    kind = attributes.get("type")
    if not isinstance(kind, str) or attributes.get("id") is None:
        raise Unusable("missing_key")
    if not kind.startswith(types):
        raise Unusable("wrong_type")
    if not _is_meant(attributes, options):
        return []
    if kind == _FEEDBACK:
        return _labels(attributes, event.payload())
    side = _SIDES.get(kind)
    if side is None:
        return []
    is_seldon = kind.startswith(SELDON_TYPE)
    exchange = _seldon if is_seldon else _kserve
    return [exchange(attributes, event.payload(), side, options)]


def _kserve(
    attributes: Mapping[str, Any], body: object, side: Half, options: FormatOptions
) -> Exchange:
    own_id = attributes["id"]
    # An id that the caller put into the body is the one that a label will name.
    given_id = body.get("id") if isinstance(body, Mapping) else None
    version = body.get("model_version") if isinstance(body, Mapping) else None
    return _half(
        side,
        body,
        options,
        ts=attributes.get("time"),
        request_id=given_id if isinstance(given_id, str) else own_id,
        joins_on="/".join(
            str(attributes.get(key) or "")
            for key in ("namespace", "inferenceservicename", "component", "id")
        ),
        version=_annotated_version(attributes.get("annotations")) or version,
    )


def _seldon(
    attributes: Mapping[str, Any], body: object, side: Half, options: FormatOptions
) -> Exchange:
    request_id = attributes.get("requestid")
    if request_id is None:
        raise Unusable("missing_key")
    node = attributes.get("modelid")
    return _half(
        side,
        body,
        options,
        ts=attributes.get("time"),
        request_id=request_id,
        joins_on=f"{node}/{request_id}",
        version=_image_tag(body, node),
    )


def _labels(attributes: Mapping[str, Any], body: object) -> Iterable[Exchange]:
    request_id = attributes.get("requestid")
    if request_id is None:
        raise Unusable("missing_key")
    truth = body.get("truth") if isinstance(body, Mapping) else None
    labels = predictions(truth, ColumnNames())
    return [Exchange(ts=attributes.get("time"), id=request_id, labels=labels)] if labels else []


def _half(
    side: Half,
    body: object,
    options: FormatOptions,
    *,
    ts: object,
    request_id: str,
    joins_on: str,
    version: str | int | None,
) -> Exchange:
    asked = side == "request"
    return Exchange(
        ts=ts,
        id=request_id,
        features=feature_rows(body, options.columns) if asked else None,
        predictions=None if asked else predictions(body, options.columns),
        version=None if version is None else str(version),
        half=side,
        joins_on=joins_on,
        params=params_of(body) if asked else None,
        timed=True,
    )


def _is_meant(attributes: Mapping[str, Any], options: FormatOptions) -> bool:
    """Whether the event is of the service and of the part of it that are watched."""
    service = attributes.get("inferenceservicename")
    if options.service and service != options.service:
        return False
    if str(attributes["type"]).startswith(SELDON_TYPE):
        return not options.component or attributes.get("modelid") == options.component
    return (attributes.get("component") or "predictor") == (options.component or "predictor")


def _annotated_version(annotations: object) -> str | None:
    if isinstance(annotations, str):
        annotations = parsed(annotations) if annotations else None
    if not isinstance(annotations, Mapping):
        return None
    found = next((annotations[key] for key in _VERSION_KEYS if key in annotations), None)
    return found if isinstance(found, str) else None


def _image_tag(body: object, node: object) -> str | None:
    """Tag of the image that answered: ``risk/credit:7`` is version 7."""
    meta = body.get("meta") if isinstance(body, Mapping) else None
    path = meta.get("requestPath") if isinstance(meta, Mapping) else None
    image = path.get(node) if isinstance(path, Mapping) else None
    if not isinstance(image, str):
        return None
    tag = image.rpartition("/")[2].partition(":")[2].partition("@")[0]
    return tag or None


def _is_attribute(header: str) -> bool:
    return header.lower().startswith(_PREFIX)


def _name(key: str) -> str:
    return key.lower().removeprefix(_PREFIX)


def _format(types: str) -> LineFormat:
    return LineFormat(lambda options: EachLine(lambda line: _read(line, options, types)))


#: ``format = "kserve"``, ``"seldon"``, and ``"cloudevents"`` for what either sends.
KSERVE, SELDON = _format(KSERVE_TYPE), _format(SELDON_TYPE)
CLOUDEVENTS = _format("")
